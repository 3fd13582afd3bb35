//! Programs that break rules: the kernel stops each of them alone, says why, and the
//! others meet their deadlines. `systems/misbehave` has one program per rule.
use std::time::Duration;
use tern_tests::{Built, Emulator, directory};
use tern_trace::{Core, Event, Kind};
use xtask::emulator::bochs::{self, Model};
use xtask::emulator::{Directory, Machine};
use xtask::{record, setup};

/// What the console says of each program, and whether the program lives on.
const ANSWERS: &[(&str, &str)] = &[
    ("write-null", "stopped by page fault"),
    ("write-code", "stopped by page fault"),
    ("write-input", "stopped by page fault"),
    ("write-past-stack", "stopped by page fault"),
    ("read-kernel-memory", "stopped by page fault"),
    ("read-kernel-code", "stopped by page fault"),
    ("read-non-canonical", "stopped by general protection"),
    ("execute-stack", "stopped by page fault"),
    ("overflow-stack", "stopped by page fault"),
    ("disable-interrupts", "stopped by general protection"),
    ("halt", "stopped by general protection"),
    ("read-port", "stopped by general protection"),
    ("read-timestamp", "stopped by general protection"),
    ("read-register", "stopped by general protection"),
    ("load-page-tables", "stopped by general protection"),
    ("raise-yield", "stopped by general protection"),
    ("raise-vector", "stopped by general protection"),
    ("invalid-opcode", "stopped by invalid opcode"),
    ("breakpoint", "stopped by general protection"),
    ("divide-by-zero", "stopped by divide error"),
    ("hypercall", "stopped by invalid opcode"),
    ("read-counter", "stopped by general protection"),
    ("write-interrupt-command", "stopped by general protection"),
    ("bad-system-calls", "every bad system call was refused"),
    ("trap-flag", "got away"),
    // A stack fault; QEMU raises general protection instead.
    ("bad-stack-pointer", "stopped by "),
    ("exit", "ended with status 26"),
    ("panic", "ended with status 101"),
    ("foreign-segments", "got away"),
    ("float-exceptions", "got away"),
    ("read-processor-id", "stopped by general protection"),
    ("single-step", "stopped by debug"),
    ("shadowed-trap", "got away"),
];

/// The servers of `systems/misbehave/system.toml`.
const ENDLESS_SERVER: u16 = 2;
const BYSTANDER: u16 = 0;

fn misbehave(emulator: Emulator) {
    let built = Built::new("systems/misbehave/system.toml");
    let mut machine = built.start(emulator);
    let directory = directory(&mut machine);
    for (program, answer) in ANSWERS {
        let line = format!("{program}: {answer}");
        machine
            .wait_for(&line)
            .unwrap_or_else(|error| panic!("{error}"));
    }
    // The endless program takes a few periods to be out of budget twice.
    let core = loop {
        let core = standing_still(&mut machine, &directory);
        assert_eq!((core.dropped, core.damage.as_str()), (0, ""));
        if exhausted(&core) > 1 {
            break core;
        }
        machine
            .check()
            .unwrap_or_else(|error| panic!("the endless program was never out of budget: {error}"));
        std::thread::sleep(Duration::from_millis(200));
    };
    the_bystander_is_well(&core);
}

/// The same in Bochs, whose processors deliver some exceptions where QEMU's do not.
fn misbehave_in_bochs(model: Model) {
    let built = Built::new("systems/misbehave/system.toml");
    let options = bochs::Options {
        emulator: setup::ensure_bochs().unwrap_or_else(|error| panic!("{error}")),
        ..bochs::Options::for_system(&built.system, built.module.clone(), model)
    };
    let mut machine = bochs::Machine::start(&options).unwrap_or_else(|error| panic!("{error}"));
    machine.resume().unwrap();
    let line = machine.wait_for("directory at 0x").unwrap();
    let directory = Directory::read(&machine.memory, Directory::address(&line).unwrap()).unwrap();
    machine.wait_for("kernel: ").unwrap();
    machine.interrupt().unwrap();
    // Half a second to the time epoch, and ten periods of the programs.
    machine.run_for(150_000_000).unwrap();
    for (program, answer) in ANSWERS {
        let line = format!("{program}: {answer}");
        let lines = machine.console.lines();
        assert!(
            lines.iter().any(|it| it.contains(&line)),
            "'{line}' is not in {lines:#?}"
        );
    }
    let core = record::core(&machine.memory, &directory.entries[0], "alpha").unwrap();
    let exhausted = exhausted(&core);
    assert!(exhausted > 1, "the endless program was never out of budget");
    the_bystander_is_well(&core);
}

/// How often the endless program's server was out of budget.
fn exhausted(core: &Core) -> usize {
    count(
        core,
        |it| matches!(it, Event::Exhaust { server } if *server == ENDLESS_SERVER),
    )
}

/// The bystander met its deadlines, and each fault is in the trace.
fn the_bystander_is_well(core: &Core) {
    let completed = count(
        core,
        |it| matches!(it, Event::Complete { thread, .. } if *thread == BYSTANDER),
    );
    assert!(completed > 10, "the bystander ran {completed} jobs");
    let missed = count(
        core,
        |it| matches!(it, Event::Miss { thread, .. } if *thread == BYSTANDER),
    );
    assert_eq!(missed, 0, "the bystander missed deadlines");
    let faults = ANSWERS
        .iter()
        .filter(|(_, answer)| answer.starts_with("stopped"));
    assert_eq!(core.counters[Kind::Fault as usize], faults.count() as u64);
}

/// The trace of the only sandbox, read while the machine stands still.
fn standing_still(machine: &mut Machine, directory: &Directory) -> Core {
    machine.monitor.stop().unwrap();
    let core = record::core(&machine.memory, &directory.entries[0], "alpha").unwrap();
    machine.monitor.resume().unwrap();
    core
}

fn count(core: &Core, wanted: impl Fn(&Event) -> bool) -> usize {
    core.events()
        .filter(|event| wanted(&event.as_ref().unwrap().1))
        .count()
}

#[test]
fn each_program_that_breaks_a_rule_is_stopped_alone() {
    misbehave(Emulator::Installed);
}

#[test]
fn each_program_that_breaks_a_rule_is_stopped_alone_with_x2apic() {
    misbehave(Emulator::Qemu10);
}

#[test]
fn each_program_that_breaks_a_rule_is_stopped_alone_under_vt_x() {
    misbehave_in_bochs(Model::Intel);
}

#[test]
fn each_program_that_breaks_a_rule_is_stopped_alone_on_another_amd() {
    misbehave_in_bochs(Model::Amd);
}
