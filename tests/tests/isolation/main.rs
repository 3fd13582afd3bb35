//! A sandbox that attacks: it is stopped and recorded, or refused, and the sandboxes
//! beside it miss nothing. `attacks.rs` has the list, `tests/systems/guests` the attacker; the
//! same list holds on every machine, with six attackers in each run.
mod attacks;
mod console;
mod floods;
mod handover;
mod seals;

use attacks::{Attack, Ending, Places};
use tern_config::{Description, System, channel_address};
use tern_tests::{Built, Platform, Running, on_each_machine, text};

/// Attackers in one run.
const ATTACKERS: usize = 6;
/// Sandboxes before the attackers: the bystander and the one that ends the run.
const OTHERS: usize = 2;
const BYSTANDER: usize = 0;
/// Of each guest.
const MEMORY_MIB: u64 = 4;
/// Of the ring, its header's page included.
const TRACE_BYTES: u64 = (64 << 10) + 4096;
/// Indices of channels in [`system`].
const READ_BY_ATTACKERS: usize = 0;
const OF_OTHERS: usize = 1;
/// Jobs that the bystander is released for before the run ends.
const JOBS: u64 = 3;

/// A bystander with a periodic load and its deadlines, one sandbox that shares a channel
/// with it and ends the run after 130 ms, and the attackers, who begin after 10 ms.
fn system<'a>(attacks: impl Iterator<Item = &'a str>) -> String {
    let mut description = String::from("[system]\nname = \"isolation\"\ntrace = \"64KiB\"\n");
    description += &text::load("bystander", BYSTANDER);
    description += &text::guest("other", 1, "guest-hello", "130");
    description += "may_shut_down = true\n";
    let mut readers = Vec::new();
    for (index, attack) in attacks.enumerate() {
        let name = format!("attacker-{index}");
        description += &text::guest(&name, OTHERS + index, "guest-hostile", attack);
        readers.push(format!("\"{name}\""));
    }
    description
        + &format!(
            r#"
        [[channel]]
        name = "news"
        writer = "bystander"
        readers = [{}]
        size = "4KiB"
        [[channel]]
        name = "private"
        writer = "bystander"
        readers = ["other"]
        size = "4KiB"
        "#,
            readers.join(", ")
        )
}

/// The attacks, with the addresses of [`system`].
fn attacks() -> Vec<Attack> {
    let system = Description::parse("test", &system(["none"].into_iter()))
        .unwrap()
        .system;
    let channel = |index| channel_address(&system, index).unwrap().as_u64();
    attacks::all(Places {
        memory: MEMORY_MIB << 20,
        trace: TRACE_BYTES,
        read_channel: channel(READ_BY_ATTACKERS),
        foreign_channel: (OF_OTHERS, channel(OF_OTHERS)),
    })
}

/// Whether the attack of sandbox `index` ended as it should, with what it says if not.
fn judge(machine: &mut Running, index: usize, ending: Ending) -> Result<(), String> {
    let name = format!("attacker-{}", index - OTHERS);
    let lines = machine.lines();
    let lines: Vec<_> = lines.iter().filter(|line| line.contains(&name)).collect();
    let said = |text: &str| lines.iter().any(|line| line.contains(text));
    let fail = |what: String| Err(format!("{what}; its console: {lines:#?}"));
    let record = machine.violation(index);
    if !said("attacking: ") {
        return fail("it did not begin".into());
    }
    match (ending, record) {
        (Ending::Stopped(reason, object, what), Some(record)) => {
            if (record.reason, record.object) != (reason as u64 + 1, object) {
                return fail(format!("not {reason:?} {object:#x}, but {record:x?}"));
            }
            if record.tsc <= machine.directory().header.epoch_tsc {
                return fail("stopped before the time epoch".into());
            }
            if !said(what) || said("survived") {
                return fail(format!("its line does not say '{what}'"));
            }
        }
        (Ending::Stopped(..), None) => return fail("not stopped".into()),
        (_, Some(record)) => return fail(format!("stopped: {record:x?}")),
        (Ending::Refused(result), None) => {
            let answer = format!(" gave {:#x}", result as u64);
            if !lines
                .iter()
                .any(|line| line.contains("survived: ") && line.ends_with(&answer))
            {
                return fail(format!("not answered with{answer}"));
            }
        }
        (Ending::Endured, None) if said("survived") => return fail("it came to an end".into()),
        (Ending::Endured, None) => {}
    }
    Ok(())
}

/// Tries all attacks that `wanted` selects and that can be tried on `platform`, six at a
/// time, and expects their endings there.
fn attacks_end_as_they_should(platform: Platform, wanted: impl Fn(Ending) -> bool) {
    let attacks: Vec<_> = attacks()
        .into_iter()
        .filter(|attack| wanted(attack.ending))
        .filter_map(|attack| match attack.ending_on(platform) {
            Ok(ending) => Some((attack, ending)),
            Err(why) => {
                println!("{}: not on {platform}: {why}", attack.name);
                None
            }
        })
        .collect();
    let mut failures = Vec::new();
    for some in attacks.chunks(ATTACKERS) {
        let built = Built::parse(&system(some.iter().map(|(attack, _)| attack.line.as_str())));
        let mut machine = Running::start(&built, platform);
        machine.run_to_the_end();
        for (index, (attack, ending)) in some.iter().enumerate() {
            if let Err(what) = judge(&mut machine, OTHERS + index, *ending) {
                failures.push(format!("{}: {what}", attack.name));
            }
        }
        let names: Vec<_> = some.iter().map(|(attack, _)| attack.name).collect();
        let jobs = machine.jobs(BYSTANDER);
        if jobs.missed > 0 || jobs.completed < JOBS {
            failures.push(format!("the bystander of {names:?}: {jobs:?}"));
        }
        let trace = machine.whole_trace(&built.system);
        for late in floods::beyond_bounds(platform, &built.system, &trace) {
            failures.push(format!("the bystander of {names:?}: {late}"));
        }
        for other in 0..OTHERS {
            if let Some(record) = machine.violation(other) {
                failures.push(format!(
                    "sandbox {other} beside {names:?}: stopped: {record:x?}"
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{platform}: {failures:#?}");
}

/// Sees that the bystander beside `what` missed nothing, and was not late.
fn judge_bystander(machine: &mut Running, system: &System, what: &str) {
    let platform = machine.platform();
    let jobs = machine.jobs(BYSTANDER);
    assert!(
        jobs.missed == 0,
        "{platform}: the bystander of {what}: {jobs:?}"
    );
    let trace = machine.whole_trace(system);
    let late = floods::beyond_bounds(platform, system, &trace);
    assert!(
        late.is_empty(),
        "{platform}: the bystander of {what}: {late:?}"
    );
    assert!(machine.violation(BYSTANDER).is_none(), "{platform}: {what}");
}

/// A guest that reads a port of a device of its own; `plant` is a line of the
/// program in the other sandbox.
fn reader_of_its_own_port(plant: &str) -> Built {
    Built::parse(&format!(
        r#"
        [system]
        name = "ports"
        [[device]]
        name = "own"
        port = 0x2f8
        interrupt = 3
        {}
        {plant}
        {}
        devices = ["own"]
        [[sandbox.server]]
        name = "driver"
        budget = "1ms"
        period = "10ms"
        [[sandbox.server.thread]]
        name = "driver"
        driver = "own"
        "#,
        text::load("other", 0),
        text::guest("reader", 1, "guest-hostile", "port-read 2ff"),
    ))
}

fn simulated_ports_are_nobodys(platform: Platform) {
    for (plant, said) in [
        ("", "[reader] survived: port-read"),
        ("simulates = \"own\"", "reader stopped: read of port 0x2ff"),
    ] {
        Running::start(&reader_of_its_own_port(plant), platform).wait_for(said);
    }
}

on_each_machine! {
    attacks_are_stopped_and_recorded => |platform| {
        attacks_end_as_they_should(platform, |ending| matches!(ending, Ending::Stopped(..)));
    };
    attacks_that_are_refused_harm_nobody => |platform| {
        attacks_end_as_they_should(platform, |ending| matches!(ending, Ending::Refused(_)));
    };
    attacks_without_end_harm_nobody => |platform| {
        attacks_end_as_they_should(platform, |ending| ending == Ending::Endured);
    };
    doorbells_ring_no_more_often_than_granted_whoever_rings => floods::along_channels;
    nobody_hears_a_replica_or_an_arbitrator_that_rings => floods::along_what_a_set_implies;
    no_reader_of_a_sealed_channel_is_shown_something_else
        => seals::no_reader_is_shown_something_else;
    readers_close_what_is_late_and_nothing_else
        => seals::readers_close_what_is_late_and_nothing_else;
    all_agree_whether_a_number_was_sealed_or_closed => seals::all_agree_what_became_of_a_number;
    a_shared_device_is_whose_a_majority_says => handover::it_goes_to_whom_a_majority_names;
    nobody_keeps_a_shared_device_that_is_anothers => handover::nobody_keeps_it;
    a_sandbox_that_floods_the_console_costs_its_neighbours_nothing => console::from_beside;
    a_program_that_floods_the_console_costs_the_threads_beside_it_nothing => console::from_within;
    the_ports_of_a_device_are_its_sandboxs_unless_a_plant_simulates_it
        => simulated_ports_are_nobodys;
}
