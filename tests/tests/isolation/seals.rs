//! Sandboxes that would change what their readers read already: by writing a sealed half, the
//! half that is not theirs yet, or the seal's word; by sealing what is another's, a number again,
//! or one whose time has not come; and without end. And readers that would close what is not
//! theirs to close, what is not late, or numbers without end; and a writer that is late.
use super::attacks::Ending;
use super::floods::FLOOD;
use super::{ATTACKERS, BYSTANDER, JOBS, OTHERS, judge};
use tern_abi::directory::ExitReason;
use tern_abi::hypercall::HypercallError;
use tern_config::{System, channel_address};
use tern_tests::{Built, Platform, Running, text};

/// Attacks on sealed channels, each by the writer of one; the word behind it is a channel's
/// number.
const ATTACKS: [&str; 8] = [
    "seal-write",
    "seal-other-half",
    "seal-word",
    "seal-foreign",
    "seal-again",
    "seal-early",
    "seal-flood",
    "seal-exchange",
];

/// Attacks on sealed channels that readers close, each by the writer of one that reads that of the
/// attacker before; the word behind it is the number of the channel that it attacks.
const CLOSING: [&str; ATTACKERS] = [
    "seal-closed",
    "close-first",
    "close-beyond",
    "close-early",
    "close-denied",
    "close-flood",
];

/// Seals that `seal-exchange` makes, one a millisecond.
const EXCHANGES: i64 = 50;

/// The first attacks' system: the bystander, who reads every channel, one that ends the run, and the attackers, each of whom
/// writes a sealed channel of its own: number n is attacker n's.
fn sealing(attacks: &[&str]) -> String {
    let target = |index: usize| match attacks[index] {
        "seal-foreign" => (index + 1) % attacks.len(),
        _ => index,
    };
    let channel = |index: usize| {
        format!(
            r#"
            [[channel]]
            name = "sealed-{index}"
            writer = "attacker-{index}"
            readers = ["bystander", "other"]
            size = "4KiB"
            seal = "1ms"
            "#
        )
    };
    system(attacks, target, channel)
}

/// The same, where each attacker reads the channel of the one before, and may close it unless it
/// tries just that.
fn closing() -> String {
    let before = |index: usize| (index + CLOSING.len() - 1) % CLOSING.len();
    let target = |index: usize| match CLOSING[index] {
        "seal-closed" => index,
        _ => before(index),
    };
    let channel = |index: usize| {
        let reader = (index + 1) % CLOSING.len();
        let close = match CLOSING[reader] {
            "close-denied" => "",
            _ => "close = \"500us\"",
        };
        format!(
            r#"
            [[channel]]
            name = "sealed-{index}"
            writer = "attacker-{index}"
            readers = ["bystander", "attacker-{reader}"]
            size = "4KiB"
            seal = "1ms"
            {close}
            "#
        )
    };
    system(&CLOSING, target, channel)
}

fn system(
    attacks: &[&str],
    target: impl Fn(usize) -> usize,
    channel: impl Fn(usize) -> String,
) -> String {
    let mut description = String::from("[system]\nname = \"seals\"\ntrace = \"64KiB\"\n");
    description += &text::load("bystander", BYSTANDER);
    description += &text::guest("other", 1, "guest-hello", "130");
    description += "may_shut_down = true\n";
    for (index, attack) in attacks.iter().enumerate() {
        let line = format!("{attack} {:x}", target(index));
        let name = format!("attacker-{index}");
        description += &text::guest(&name, OTHERS + index, "guest-hostile", &line);
    }
    description.extend((0..attacks.len()).map(channel));
    description
}

/// How the attack of the writer of channel `index` ends.
fn ending(attack: &str, system: &System, index: usize) -> Ending {
    let channel = &system.channels[index];
    let begin = channel_address(system, index).unwrap().as_u64();
    let stopped = |offset| {
        let what = "write of guest-physical";
        Ending::Stopped(ExitReason::NestedPageFault, begin + offset, what)
    };
    match attack {
        "seal-write" => stopped(channel.half_offset(0)),
        "seal-other-half" => stopped(channel.half_offset(1)),
        "seal-word" => stopped(channel.seal_offset()),
        "seal-foreign" => Ending::Refused(HypercallError::NotPermitted as i64),
        "seal-again" => Ending::Refused(HypercallError::BadArgument as i64),
        "seal-early" => Ending::Refused(HypercallError::TooSoon as i64),
        "seal-flood" | "close-flood" => Ending::Endured,
        "seal-closed" => Ending::Refused(HypercallError::BadArgument as i64),
        "close-first" => Ending::Refused(0),
        "close-beyond" | "close-denied" => Ending::Refused(HypercallError::NotPermitted as i64),
        "close-early" => Ending::Refused(HypercallError::TooSoon as i64),
        "seal-exchange" => Ending::Refused(EXCHANGES),
        other => panic!("no attack {other}"),
    }
}

/// Runs a system of attackers to its end: each ends as it should, and nobody beside them suffers.
fn attack(platform: Platform, attacks: &[&str], description: &str) -> Running {
    let built = Built::parse(description);
    let mut machine = Running::start(&built, platform);
    machine.run_to_the_end();
    for (index, attack) in attacks.iter().enumerate() {
        let ending = ending(attack, &built.system, index);
        let judged = judge(&mut machine, OTHERS + index, ending);
        assert_eq!(judged, Ok(()), "{platform}: {attack}");
    }
    let jobs = machine.jobs(BYSTANDER);
    assert!(
        jobs.missed == 0 && jobs.completed >= JOBS,
        "{platform}: the bystander of {attacks:?}: {jobs:?}"
    );
    let trace = machine.whole_trace(&built.system);
    let late = super::floods::beyond_bounds(platform, &built.system, &trace);
    assert!(late.is_empty(), "{platform}: {attacks:?}: {late:?}");
    for other in 0..OTHERS {
        assert!(
            machine.violation(other).is_none(),
            "{platform}: {attacks:?}"
        );
    }
    machine
}

pub fn no_reader_is_shown_something_else(platform: Platform) {
    for attacks in ATTACKS.chunks(ATTACKERS) {
        attack(platform, attacks, &sealing(attacks));
    }
}

pub fn readers_close_what_is_late_and_nothing_else(platform: Platform) {
    let mut machine = attack(platform, &CLOSING, &closing());
    for (index, attack) in CLOSING.iter().enumerate() {
        let closes = machine.exits(OTHERS + index).of(ExitReason::Close);
        let expected = match *attack {
            "seal-closed" => 0..=0,
            "close-first" | "close-denied" => 1..=1,
            "close-beyond" => 2..=2,
            "close-early" => 3..=3,
            _ => FLOOD..=u64::MAX,
        };
        assert!(expected.contains(&closes), "{platform}: {attack}: {closes}");
    }
}

/// Numbers that `guest-race` races for, and what it says became of one.
const RACES: usize = 200;
const SEALED: u64 = 1;
const CLOSED: u64 = 2;

/// A writer and two readers, who at the deadline of each number seal and close it.
fn race() -> String {
    let mut description = String::from("[system]\nname = \"race\"\n");
    let names = ["writer", "first", "second"];
    for (index, name) in names.iter().enumerate() {
        let line = format!("{index} 50 20");
        description += &text::guest(name, index, "guest-race", &line);
        if index == 0 {
            description += "may_shut_down = true\n";
        }
    }
    let channel = |name: &str, writer: usize, keys: &str| {
        let readers: Vec<_> = names.iter().filter(|it| **it != names[writer]).collect();
        format!(
            "[[channel]]\nname = \"{name}\"\nwriter = \"{}\"\nreaders = {readers:?}\n\
             size = \"4KiB\"\n{keys}\n",
            names[writer]
        )
    };
    description += &channel("raced", 0, "seal = \"50us\"\nclose = \"20us\"");
    for (index, name) in names.iter().enumerate() {
        description += &channel(&format!("of-{name}"), index, "");
    }
    description
}

pub fn all_agree_what_became_of_a_number(platform: Platform) {
    let mut machine = Running::start(&Built::parse(&race()), platform);
    machine.run_to_the_end();
    let channels = machine.directory().channels;
    let [writer, first, second] = [1, 2, 3].map(|channel| {
        let words: [u64; 1 + RACES] = machine.memory().words(channels[channel]).unwrap();
        assert_eq!(words[0], RACES as u64, "{platform}: channel {channel}");
        words[1..].to_vec()
    });
    let mut won = [0; 2];
    for number in 0..RACES {
        let all = [writer[number], first[number], second[number]];
        let agreed = all == [all[0]; 3] && matches!(all[0], SEALED | CLOSED);
        assert!(agreed, "{platform}: number {number}: {all:?}");
        match number % 8 {
            // The writer waits for the readers, or they wait for it.
            0 => assert_eq!(all[0], SEALED, "{platform}: number {number}"),
            1 => assert_eq!(all[0], CLOSED, "{platform}: number {number}"),
            _ => won[all[0] as usize - 1] += 1,
        }
    }
    println!(
        "{platform}: of {RACES} races {} sealed, {} closed",
        won[0], won[1]
    );
    assert!(won[0] > 0 && won[1] > 0, "{platform}: {won:?}");
}
