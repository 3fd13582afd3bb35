//! A serial port that three sandboxes share: it is the one's whom a majority has sealed, and
//! nobody else's, whatever those do that had it before.
use super::{BYSTANDER, judge_bystander};
use std::time::Duration;
use tern_abi::directory::ExitReason;
use tern_config::Description;
use tern_tests::{Built, Platform, QEMU, QEMU_10, Running, Wire, text};
use tern_units::HostPhysical;
use xtask::emulator::tables::mapped;

/// Sandboxes that share the device, after the bystander.
const MEMBERS: usize = 3;
const FIRST: usize = 1;
/// What `guest-owner` says of itself.
const WORDS: usize = 4;
/// The longest time from a first request that was refused to the device, in ticks of Bochs: an
/// exit of the old owner's core, and the request that is made again.
const LONGEST: u64 = 1500;

/// A bystander and those that share the device; the first one does this after the first epoch.
/// `lowest` is the lowest place that has the device from then on.
fn system(does: &str, lowest: usize, epochs: u64) -> Built {
    let mut description = String::from(
        "[system]\nname = \"handover\"\ntrace = \"64KiB\"\n\
         [[device]]\nname = \"line\"\nport = 0x2f8\ninterrupt = 3\n",
    );
    description += &text::load("bystander", BYSTANDER);
    for place in 0..MEMBERS {
        let does = if place == 0 { does } else { "turns" };
        let line = format!("{place} {does} {lowest} {epochs}");
        description += &text::guest(&format!("m{place}"), FIRST + place, "guest-owner", &line);
        description += match place {
            0 => "devices = [\"line\"]\n",
            2 => "may_shut_down = true\n",
            _ => "",
        };
    }
    for (name, keys) in [("owner", "seal = \"100us\""), ("done", "")] {
        for place in 0..MEMBERS {
            let others = (0..MEMBERS).filter(|other| *other != place);
            let readers: Vec<_> = others.map(|other| format!("m{other}")).collect();
            description += &format!(
                "[[channel]]\nname = \"{name}-{place}\"\nwriter = \"m{place}\"\n\
                 readers = {readers:?}\nsize = \"4KiB\"\n{keys}\n"
            );
        }
    }
    let parsed = Description::parse("test", &description);
    let mut system = parsed
        .unwrap_or_else(|problems| panic!("{problems}"))
        .system;
    // No description says so yet.
    system.devices[0].verdicts = (0..MEMBERS as u32).collect();
    for sandbox in &mut system.sandboxes[FIRST + 1..] {
        sandbox.devices = vec![0];
    }
    Built::of(system)
}

/// Starts it with a line at the device's other end.
fn start(built: &Built, platform: Platform) -> Running {
    let wire = match platform {
        Platform::Qemu(_) => Wire::Noise(1),
        Platform::Bochs(_) => Wire::Flood,
    };
    Running::start_with(built, platform, wire)
}

/// What the members say.
fn said(machine: &mut Running) -> [[u64; WORDS]; MEMBERS] {
    let channels = machine.directory().channels;
    [3, 4, 5].map(|channel| machine.memory().words(channels[channel]).unwrap())
}

/// Runs it to its end, and returns what the members say.
fn run(
    platform: Platform,
    does: &str,
    lowest: usize,
    epochs: u64,
) -> (Running, [[u64; WORDS]; MEMBERS]) {
    let built = system(does, lowest, epochs);
    let mut machine = start(&built, platform);
    machine.run_to_the_end();
    let said = said(&mut machine);
    for (place, [done, wrong, ..]) in said.iter().enumerate() {
        assert_eq!(*wrong, 0, "{platform}, {does}: {place}: {said:?}");
        assert!(
            place < lowest || *done == epochs,
            "{platform}, {does}: {said:?}"
        );
    }
    let longest = said.iter().map(|it| it[3]).max().unwrap_or(0);
    println!("{platform}, {does}: {said:?}, longest {longest}");
    if let Platform::Bochs(_) = platform {
        assert!(longest <= LONGEST, "{platform}, {does}: {said:?}");
    }
    judge_bystander(&mut machine, &built.system, does);
    (machine, said)
}

/// Epochs in which it goes round, and in which one of the three holds on to it.
const EPOCHS: u64 = 60;
const FEW: u64 = 10;

/// The device goes round in every epoch, 10,000 times a second, while those that do not have it
/// write to it.
pub fn it_goes_to_whom_a_majority_names(platform: Platform) {
    let (mut machine, said) = run(platform, "turns", 0, EPOCHS);
    for (place, [.., refused, _]) in said.iter().enumerate() {
        let exits = machine.exits(FIRST + place);
        let asked = exits.of(ExitReason::Attend);
        // It has it in every third epoch, and is made to leave it after each.
        assert!(asked >= EPOCHS / 3 - 1, "{platform}: {place}: {asked}");
        assert!(exits.of(ExitReason::DeviceAway) > 0);
        // Whoever had it has to leave it first.
        assert!(*refused > 0, "{platform}: {place}");
        assert!(exits.of(ExitReason::Take) >= EPOCHS / 3 + refused);
        // That of the end of the run.
        assert!(exits.of(ExitReason::Nmi) <= 1, "{platform}: {place}");
        assert!(machine.violation(FIRST + place).is_none());
    }
    what_others_seal_is_read_where_it_counts(&mut machine);
    let lines = machine.lines();
    assert!(!lines.iter().any(|line| line.contains("NMI")), "{lines:#?}");
}

/// The hypervisor on the core of each of those that share the device reads what they seal, and
/// writes none of it; on another core it has nothing of that.
fn what_others_seal_is_read_where_it_counts(machine: &mut Running) {
    machine.run_for(Duration::from_millis(1));
    let channels = machine.directory().channels;
    for core in 0..FIRST + MEMBERS {
        let root = machine.registers(core as u32).root;
        let memory = machine.memory();
        let pages = mapped(|table| memory.words(HostPhysical::new(table)), root).unwrap();
        for channel in &channels[..MEMBERS] {
            for half in [0, 4096] {
                let frame = channel.as_u64() + half;
                let seen = pages.iter().filter(|it| it.frame == frame);
                let writable: Vec<_> = seen.map(|it| it.writable).collect();
                let expected = if core == BYSTANDER {
                    vec![]
                } else {
                    vec![false]
                };
                assert_eq!(writable, expected, "core {core}, {frame:#x}");
            }
        }
    }
}

/// Whatever the first owner does when another is to have it, it is made to leave it, once.
pub fn nobody_keeps_it(platform: Platform) {
    for does in ["spins", "halts", "calls", "lies"] {
        let (mut machine, _) = run(platform, does, 1, FEW);
        let exits = machine.exits(FIRST);
        assert_eq!(exits.of(ExitReason::Attend), 1, "{platform}: {does}");
        assert!(machine.violation(FIRST).is_none(), "{platform}: {does}");
        let is_away = exits.of(ExitReason::DeviceAway) > 0;
        assert_eq!(is_away, does == "lies", "{platform}: {does}");
    }
    // It writes to where no device is, as long as it likes; but an instruction that has it from
    // memory is not looked into.
    let (machine, _) = &mut run(platform, "prints", 1, FEW);
    let violation = machine.violation(FIRST).map(|it| (it.reason, it.object));
    assert!(machine.exits(FIRST).of(ExitReason::DeviceAway) > 0);
    assert_eq!(
        violation,
        Some((ExitReason::Port as u64 + 1, 0x2ff)),
        "{platform}"
    );
}

/// Epochs in which it goes round meanwhile: far more than pass while they are sent, as the
/// machine mostly stands still then.
const MANY: u64 = 300;

/// NMIs that nobody sent come to all that share the device while it goes round: none of those that
/// ask for it is taken for one of them, and it goes round as ever.
fn it_goes_round_among_strange_nmis(platform: Platform) {
    let mut machine = start(&system("turns", 0, MANY), platform);
    machine.until("the first epochs", |it| {
        said(it).iter().all(|[done, ..]| *done > 1)
    });
    for _ in 0..5 {
        for core in FIRST..FIRST + MEMBERS {
            machine.send_nmi(core as u64);
        }
    }
    machine.run_to_the_end();
    for [done, wrong, ..] in said(&mut machine) {
        assert_eq!((done, wrong), (MANY, 0), "{platform}");
    }
    for member in FIRST..FIRST + MEMBERS {
        assert!(machine.violation(member).is_none(), "{platform}: {member}");
    }
    // One that comes while a core is asked counts as the one that asks it, and then that one.
    let lines = machine.lines();
    let last = lines.iter().find(|line| line.contains("NMIs came"));
    println!("{platform}: {last:?}");
    assert!(last.is_some(), "{platform}: {lines:#?}");
}

#[test]
fn a_shared_device_goes_round_among_nmis_that_nobody_sent_on_qemu() {
    it_goes_round_among_strange_nmis(QEMU);
}

#[test]
fn a_shared_device_goes_round_among_nmis_that_nobody_sent_on_qemu_10() {
    it_goes_round_among_strange_nmis(QEMU_10);
}
