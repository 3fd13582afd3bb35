//! Sandboxes that would change what their readers read already: by writing a sealed half, the
//! half that is not theirs yet, or the seal's word; by sealing what is another's, a number again,
//! or one whose time has not come; and without end.
use super::attacks::Ending;
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

/// Seals that `seal-exchange` makes, one a millisecond.
const EXCHANGES: i64 = 50;

/// The bystander, who reads every channel, one that ends the run, and the attackers, each of whom
/// writes a sealed channel of its own: number n is attacker n's.
fn system(attacks: &[&str]) -> String {
    let mut description = String::from("[system]\nname = \"seals\"\ntrace = \"64KiB\"\n");
    description += &text::load("bystander", BYSTANDER);
    description += &text::guest("other", 1, "guest-hello", "130");
    description += "may_shut_down = true\n";
    for (index, attack) in attacks.iter().enumerate() {
        let channel = match *attack {
            "seal-foreign" => (index + 1) % attacks.len(),
            _ => index,
        };
        let line = format!("{attack} {channel:x}");
        let name = format!("attacker-{index}");
        description += &text::guest(&name, OTHERS + index, "guest-hostile", &line);
    }
    for index in 0..attacks.len() {
        description += &format!(
            r#"
            [[channel]]
            name = "sealed-{index}"
            writer = "attacker-{index}"
            readers = ["bystander", "other"]
            size = "4KiB"
            seal = "1ms"
            "#
        );
    }
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
        "seal-flood" => Ending::Endured,
        "seal-exchange" => Ending::Refused(EXCHANGES),
        other => panic!("no attack {other}"),
    }
}

pub fn no_reader_is_shown_something_else(platform: Platform) {
    for attacks in ATTACKS.chunks(ATTACKERS) {
        let built = Built::parse(&system(attacks));
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
    }
}
