//! Programs that break rules: the kernel stops each of them alone, says why, and the
//! others meet their deadlines. `tests/systems/misbehave` has one program per rule.
use tern_tests::{Built, Platform, Running, on_each_machine};
use tern_trace::{Core, Event, Kind};

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
    // A debug exception; QEMU 7.2 does not know INT1.
    ("shadowed-debug", "stopped by "),
    // An invalid opcode; general protection where the processor looks at CR4.TSD first.
    ("read-time-and-core", "stopped by "),
    ("read-clock-counters", "stopped by "),
];

/// The servers of `tests/systems/misbehave/system.toml`.
const ENDLESS_SERVER: u16 = 2;
const BYSTANDER: u16 = 0;

fn misbehave(platform: Platform) {
    let built = Built::new("tests/systems/misbehave/system.toml");
    let mut machine = Running::start(&built, platform);
    for (program, answer) in ANSWERS {
        machine.wait_for(&format!("{program}: {answer}"));
    }
    // The endless program takes a few periods to be out of budget twice.
    machine.until("the endless program to be out of budget", |machine| {
        let core = machine.trace(0);
        assert_eq!((core.dropped, core.damage.as_str()), (0, ""));
        exhausted(&core) > 1
    });
    the_bystander_is_well(&machine.trace(0));
}

/// How often the endless program's server was out of budget.
fn exhausted(core: &Core) -> usize {
    count(
        core,
        |it| matches!(it, Event::Exhaust { server, .. } if *server == ENDLESS_SERVER),
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

fn count(core: &Core, wanted: impl Fn(&Event) -> bool) -> usize {
    core.events()
        .filter(|event| wanted(&event.as_ref().unwrap().1))
        .count()
}

on_each_machine! {
    each_program_that_breaks_a_rule_is_stopped_alone => misbehave;
}
