//! The machines of Bochs, with VT-x and with AMD-V: they start soon, time is the same in
//! every run, hypercalls cost what they may, and an emulator that ends says why.
use std::time::{Duration, Instant};
use tern_config::System;
use tern_tests::{Built, text};
use tern_trace::Event;
use xtask::emulator::Directory;
use xtask::emulator::bochs::{Machine, Model, Options};
use xtask::setup;

/// For a sandbox that may end the run.
const MAY_END: &str = "may_shut_down = true\n";

/// Four sandboxes with one guest each; the first may end the run.
fn four(guests: [(&str, &str); 4]) -> Built {
    let mut description = String::from("[system]\nname = \"four\"\n");
    for (core, (kernel, line)) in guests.iter().enumerate() {
        description += &text::guest(&format!("s{core}"), core, kernel, line);
        description += if core == 0 { MAY_END } else { "" };
    }
    Built::parse(&description)
}

fn start(built: &Built, model: Model) -> Machine {
    let options = Options {
        emulator: setup::ensure_bochs().unwrap_or_else(|error| panic!("{error}")),
        ..Options::for_system(&built.system, built.module.clone(), model)
    };
    Machine::start(&options).unwrap_or_else(|error| panic!("{error}"))
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
fn an_emulator_that_ends_is_noticed_at_once_with_its_last_words() {
    // Given a program that does not know Bochs's options, and says so,
    let options = Options {
        emulator: "mkdir".into(),
        ..Options::for_system(&System::default(), Vec::new(), Model::Intel)
    };
    let begun = Instant::now();
    let error = Machine::start(&options).unwrap_err().to_string();
    // then nobody waits for its debugger.
    assert!(begun.elapsed() < Duration::from_secs(5), "{error}");
    assert!(
        error.starts_with("the emulator ended with exit status: 1: "),
        "{error}"
    );
    assert!(error.contains("mkdir"), "{error}");
}

/// From the start of the emulator to the first job of the demo system, on four cores.
///
/// The target is 6 s on a host with nothing else to do, where the emulator's one thread
/// runs without a pause: so that is the processor time that it takes, and other work of the
/// host's does not change what is measured. What the host spends beside the emulator is
/// less than a tenth of a second.
/// Some four seconds of a host core that does nothing else.
const FIRST_JOB_TICKS: u64 = 100_000_000;

fn the_first_job_comes_soon(model: Model) {
    let built = Built::new("systems/pendulum/arbitrator.toml");
    let mut machine = start(&built, model);
    let mut first_job = || {
        let stop = machine.run_for(1_000_000).unwrap();
        let lines = machine.console.lines();
        let address = lines.iter().find_map(|line| Directory::address(line))?;
        let directory = Directory::read(&machine.memory, address).unwrap();
        let core = xtask::record::core(&machine.memory, &directory.entries[0], "alpha").unwrap();
        let mut events = core.events().map(|event| event.unwrap().1);
        events
            .any(|event| matches!(event, Event::Release { .. }))
            .then_some(stop.ticks)
    };
    let ticks = (0..200).find_map(|_| first_job()).expect("no job came");
    let time = machine.processor_time().unwrap();
    println!(
        "{}: first job at tick {ticks}, after {time:.2?}",
        model.name()
    );
    assert!(ticks < FIRST_JOB_TICKS, "{ticks}");
}

#[test]
fn the_first_job_comes_within_a_hundred_million_ticks_under_vt_x() {
    the_first_job_comes_soon(Model::Intel);
}

#[test]
fn the_first_job_comes_within_a_hundred_million_ticks_under_amd_v() {
    the_first_job_comes_soon(Model::Amd);
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
    let guest = text::guest("alpha", 0, "guest-measure", "");
    let built = Built::parse(&format!("[system]\nname = \"measure\"\n{guest}{MAY_END}"));
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

#[test]
fn a_core_whose_firmware_gave_memory_other_types_is_told_of() {
    // Given firmware that makes memory write-back on the boot core alone (the default type, 6, and
    // range registers on, Intel SDM vol. 3 §12.11.2.1),
    const MEMORY_TYPES: (u32, u64) = (0x2ff, 1 << 11 | 6);
    let built = four([
        ("guest-hello", "5"),
        ("guest-hello", ""),
        ("guest-hello", ""),
        ("guest-hello", ""),
    ]);
    for (register, told) in [(Some(MEMORY_TYPES), true), (None, false)] {
        let options = Options {
            emulator: setup::ensure_bochs().unwrap_or_else(|error| panic!("{error}")),
            firmware_register: register,
            ..Options::for_system(&built.system, built.module.clone(), Model::Intel)
        };
        let mut machine = Machine::start(&options).unwrap_or_else(|error| panic!("{error}"));
        machine.resume().unwrap();
        end(&mut machine);
        // then each of the other cores says so, and the system runs.
        let lines = machine.console.lines();
        for core in 1..4 {
            let line =
                format!("core {core}: its memory types (MTRRs) are not those of the boot core");
            let said = lines.iter().any(|other| other.contains(&line));
            assert_eq!(said, told, "{lines:#?}");
        }
    }
}
