//! The machines of Bochs, with VT-x and with AMD-V: the same system boots on both, time
//! is the same in every run, and attacks end as they do everywhere.
use tern_abi::directory::ExitReason;
use tern_tests::Built;
use xtask::emulator::bochs::{Machine, Model, Options};
use xtask::emulator::{Directory, ExitCounts, directory};
use xtask::setup;

/// The most ticks from the machine's start to the guests'. A host that is not busy does
/// ten million of them a second with four cores.
const BOOT_TICKS: u64 = 20_000_000;
/// From the guests' start to the time epoch, which is the first release.
const LEAD_TICKS: u64 = 50_000_000;

/// Four sandboxes with one guest each; the first may end the run.
fn four(guests: [(&str, &str); 4]) -> Built {
    let mut text = String::from("[system]\nname = \"four\"\n");
    for (core, (kernel, line)) in guests.iter().enumerate() {
        text += &format!(
            r#"
            [[sandbox]]
            name = "s{core}"
            core = {core}
            memory = "4MiB"
            kernel = "{kernel}"
            command_line = "{line}"
            may_shut_down = {}
            "#,
            core == 0
        );
    }
    Built::parse(&text)
}

fn start(built: &Built, model: Model) -> Machine {
    let options = Options {
        emulator: setup::ensure_bochs().unwrap_or_else(|error| panic!("{error}")),
        ..Options::for_system(&built.system, built.module.clone(), model)
    };
    Machine::start(&options).unwrap_or_else(|error| panic!("{error}"))
}

fn directory_of(machine: &mut Machine) -> Directory {
    let line = machine.wait_for("directory at 0x").unwrap();
    let address = Directory::address(&line).unwrap();
    Directory::read(&machine.memory, address).unwrap()
}

/// The tick at which the machine stopped after its guests had ended its run.
fn end(machine: &mut Machine) -> u64 {
    let stop = machine.wait_for_stop().unwrap();
    machine.wait_for("shut down with status 0").unwrap();
    stop.ticks
}

fn four_cores_run_the_same_instructions_every_time(model: Model, vendor: &str) {
    let built = four([
        ("guest-hello", "20"),
        ("guest-hello", "10"),
        ("guest-hello", "5"),
        ("guest-hello", ""),
    ]);
    let run = || {
        let mut machine = start(&built, model);
        machine.resume().unwrap();
        let ticks = end(&mut machine);
        let lines = machine.console.lines().to_vec();
        (ticks, lines)
    };
    let first = run();
    let facts = first.1.iter().find(|line| line.contains("4 cores"));
    assert!(facts.is_some_and(|line| line.contains(vendor)), "{first:?}");
    for index in 0..4 {
        let hello = format!("[s{index}] hello from sandbox {index}");
        assert!(first.1.iter().any(|line| line.contains(&hello)), "{hello}");
    }
    assert_eq!(run(), first);
}

#[test]
fn four_cores_run_the_same_instructions_every_time_under_vt_x() {
    four_cores_run_the_same_instructions_every_time(Model::Intel, "VT-x by x2APIC");
}

#[test]
fn four_cores_run_the_same_instructions_every_time_under_amd_v() {
    four_cores_run_the_same_instructions_every_time(Model::Amd, "AMD-V by xAPIC");
}

#[test]
fn the_first_job_comes_soon_and_no_job_makes_an_exit_under_vt_x() {
    let built = Built::new("systems/load/system.toml");
    let mut machine = start(&built, Model::Intel);
    // The time epoch is half a second after the start of the guests.
    machine.run_for(70_000_000).unwrap();
    let directory = directory_of(&mut machine);
    let start = directory.header.epoch_tsc - LEAD_TICKS;
    assert!(start < BOOT_TICKS, "guests start at tick {start}");
    let entry = &directory.entries[0];
    let counts = |machine: &Machine| ExitCounts::read(&machine.memory, entry).unwrap();
    let before = counts(&machine);
    machine.run_for(100_000_000).unwrap();
    let exits: Vec<(ExitReason, u64)> = counts(&machine).since(before).collect();
    assert_eq!(exits, []);
    let core = xtask::record::core(&machine.memory, entry, "alpha").unwrap();
    let jobs = core
        .events()
        .filter(|event| matches!(event, Ok((_, tern_trace::Event::Complete { .. }))));
    // The fast load's period is a tenth of that time.
    assert!(jobs.count() >= 9);
}

/// What the hypervisor says of each attack, on both vendors.
const STOPPED: &[(&str, &str)] = &[
    ("memory-read", "read of guest-physical 0x400000"),
    ("memory-write", "write of guest-physical 0x400000"),
    (
        "memory-execute",
        "instruction fetch from guest-physical 0x400000",
    ),
    ("apic-page", "write of guest-physical 0xfee00310"),
    ("apic-init-page", "write of guest-physical 0xfee00300"),
    ("port-read", "read of port 0x60"),
    ("port-write", "write of port 0x21"),
    ("pci", "write of port 0xcf8"),
    ("msr-read", "read of model-specific register 0xc0010117"),
    (
        "msr-write",
        "write of 0xfee00000 to model-specific register 0xc0010117",
    ),
    (
        "msr-apic-base",
        "write of 0xfee00000 to model-specific register 0x1b",
    ),
    ("msr-unknown", "read of model-specific register 0x40000000"),
    ("image-write", "write of guest-physical 0x3000000000"),
    ("exit-counts-write", "write of guest-physical 0x4000000000"),
    ("trace-outside", "write of guest-physical 0x20"),
    ("xsetbv", "XSETBV executed"),
    ("invd", "INVD executed"),
    ("wbinvd", "WBINVD executed"),
    ("rdpmc", "RDPMC executed"),
];

/// What only VT-x knows or intercepts, and what Bochs 2.7 does not under AMD-V: there a
/// triple fault ends its machine, and MONITOR on memory that no firmware made write-back
/// does nothing.
const STOPPED_BY_VT_X: &[(&str, &str)] = &[
    ("triple-fault", "triple fault"),
    ("monitor", "MONITOR executed"),
    ("vmxon", "an instruction of VT-x executed"),
    ("vmclear", "an instruction of VT-x executed"),
    ("rdrand", "RDRAND executed"),
    ("rdseed", "RDSEED executed"),
];

/// Attacks that need an x2APIC to be more than a foreign register.
const X2APIC: &[(&str, &str)] = &[
    ("interrupt", "interrupt sent to core 0"),
    ("init", "INIT sent to core 0"),
    ("startup", "start-up interrupt sent to core 0"),
    ("nmi", "NMI sent to core 0"),
    ("broadcast", "interrupt sent to core 0"),
];

/// Attacks that come to nothing without being stopped.
const HARMLESS: &[(&str, &str)] = &[
    (
        "hypercall-arguments",
        "survived: hypercall-arguments gave 0x0",
    ),
    (
        "console-outside",
        "survived: console-outside gave 0xfffffffffffffffe",
    ),
    ("shut-down", "survived: shut-down gave 0xfffffffffffffffd"),
    ("doorbell", "survived: doorbell gave 0xfffffffffffffffd"),
    (
        "apic-hypercall",
        "survived: apic-hypercall gave 0xfffffffffffffffd",
    ),
    ("spin", "attacking: spin"),
    ("hypercall-flood", "attacking: hypercall-flood"),
    ("debug-loop", "attacking: debug-loop"),
    ("exception-loop", "attacking: exception-loop"),
];

/// Runs the attacks, three at a time beside a guest that must not notice.
fn attacks_end_as_they_should(model: Model, attacks: &[(&str, &str)]) {
    for three in attacks.chunks(3) {
        let attack = |index: usize| {
            let name = three.get(index).map_or("spin", |attack| attack.0);
            ("guest-hostile", name)
        };
        let built = four([("guest-hello", "60"), attack(0), attack(1), attack(2)]);
        let mut machine = start(&built, model);
        machine.resume().unwrap();
        let directory = directory_of(&mut machine);
        end(&mut machine);
        let lines = machine.console.lines().to_vec();
        assert!(
            lines.iter().any(|line| line.contains("[s0] still here")),
            "{lines:#?}"
        );
        for (index, (name, wanted)) in three.iter().enumerate() {
            let sandbox = format!("s{}", index + 1);
            let found = lines
                .iter()
                .any(|line| line.contains(&sandbox) && line.contains(wanted));
            assert!(found, "{name}: no '{wanted}' of {sandbox} in {lines:#?}");
            let entry = &directory.entries[index + 1];
            let violation = directory::violation(&machine.memory, entry).unwrap();
            let stopped = lines
                .iter()
                .any(|line| line.contains(&format!("{sandbox} stopped")));
            assert_eq!(violation.is_some(), stopped, "{name}");
        }
    }
}

#[test]
fn attacks_are_stopped_and_recorded_under_vt_x() {
    attacks_end_as_they_should(Model::Intel, STOPPED);
    attacks_end_as_they_should(Model::Intel, STOPPED_BY_VT_X);
    attacks_end_as_they_should(Model::Intel, X2APIC);
}

#[test]
fn attacks_are_stopped_and_recorded_under_amd_v() {
    attacks_end_as_they_should(Model::Amd, STOPPED);
}

#[test]
fn attacks_that_are_not_stopped_disturb_nobody_under_vt_x() {
    attacks_end_as_they_should(Model::Intel, HARMLESS);
}

#[test]
fn attacks_that_are_not_stopped_disturb_nobody_under_amd_v() {
    attacks_end_as_they_should(Model::Amd, HARMLESS);
}

/// Least, median and most ticks that the measuring guest prints of `what`.
fn measured(lines: &[String], what: &str) -> [u64; 3] {
    let line = lines.iter().find(|line| line.contains(what)).unwrap();
    let numbers = line.split(' ').filter_map(|word| word.parse().ok());
    let numbers: Vec<u64> = numbers.collect();
    numbers.try_into().unwrap()
}

fn hypercalls_cost_at_most(model: Model, most: u64) {
    // Given a guest that measures, on one core, where a tick is an instruction,
    let built = Built::parse(
        r#"
        [system]
        name = "measure"
        [[sandbox]]
        name = "alpha"
        core = 0
        memory = "4MiB"
        kernel = "guest-measure"
        may_shut_down = true
        "#,
    );
    let mut machine = start(&built, model);
    machine.resume().unwrap();
    end(&mut machine);
    // when it has ended, then the smallest hypercall costs what it may.
    let lines = machine.console.lines();
    let [empty, call] = ["nothing", "hypercall"].map(|what| measured(lines, what)[1]);
    println!("{lines:#?}");
    assert!(
        call - empty <= most,
        "{call} ticks, {empty} of them to measure"
    );
}

#[test]
fn the_smallest_hypercall_costs_at_most_150_ticks_under_vt_x() {
    hypercalls_cost_at_most(Model::Intel, 150);
}

#[test]
fn the_smallest_hypercall_costs_at_most_150_ticks_under_amd_v() {
    hypercalls_cost_at_most(Model::Amd, 150);
}
