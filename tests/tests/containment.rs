//! What goes wrong in a sandbox kernel itself: it is said on the console, it stops that
//! sandbox, and the next one misses nothing.
use elf::ElfBytes;
use elf::endian::LittleEndian;
use std::time::Duration;
use tern_tests::{Built, Emulator, directory};
use tern_trace::{Core, Event};
use xtask::emulator::{Directory, Machine};
use xtask::{build, record};

/// Numbers of registers in the debugger stub's order.
const RSP: usize = 7;
const RIP: usize = 16;
/// The kernel's stacks: `kernel/src/memory/layout.rs`. The idle thread has slot 0; its
/// lower half is the guard.
const IDLE_STACK: u64 = 0xffff_a000_0000_0000;
const GUARD: u64 = 8 * 4096;

/// Two sandboxes with one load each; the first one's program has `heap_pages`.
fn system(heap_pages: u32) -> String {
    let sandbox = |name: &str, core: u32, heap: u32| {
        format!(
            r#"
            [[sandbox]]
            name = "{name}"
            core = {core}
            memory = "8MiB"
            [[sandbox.server]]
            name = "load"
            budget = "20ms"
            period = "200ms"
            [[sandbox.server.thread]]
            name = "load"
            wcet = "10ms"
            period = "200ms"
            program = "load"
            heap_pages = {heap}
            "#
        )
    };
    let (alpha, beta) = (sandbox("alpha", 0, heap_pages), sandbox("beta", 1, 0));
    format!("[system]\nname = \"containment\"\n{alpha}{beta}")
}

fn wait_for(machine: &mut Machine, text: &str) -> String {
    machine
        .wait_for(text)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Sandbox beta's trace, read while the machine stands still.
fn beta(machine: &mut Machine, directory: &Directory) -> Core {
    machine.monitor.stop().unwrap();
    let core = record::core(&machine.memory, &directory.entries[1], "beta").unwrap();
    machine.monitor.resume().unwrap();
    core
}

fn count(core: &Core, wanted: impl Fn(&Event) -> bool) -> usize {
    let events = core.events().map(|event| event.unwrap().1);
    events.filter(|event| wanted(event)).count()
}

/// Waits until beta has completed five jobs more, none of them late.
fn beta_goes_on(machine: &mut Machine, directory: &Directory) {
    let completed = |core: &Core| count(core, |it| matches!(it, Event::Complete { .. }));
    let before = completed(&beta(machine, directory));
    loop {
        let core = beta(machine, directory);
        assert_eq!(count(&core, |it| matches!(it, Event::Miss { .. })), 0);
        if completed(&core) >= before + 5 {
            return;
        }
        machine.check().unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_kernel_that_panics_says_so_and_stops_alone() {
    // Given a program whose heap does not fit the sandbox's memory,
    let mut machine = Built::parse(&system(10_000)).start(Emulator::Installed);
    let directory = directory(&mut machine);
    // when the kernel loads it,
    let line = wait_for(&mut machine, "kernel panic");
    wait_for(&mut machine, "[beta] kernel: ");
    // then it says what to do, and beta goes on.
    assert!(line.contains("[alpha]"), "{line}");
    assert!(line.contains("give it more `memory`"), "{line}");
    wait_for(&mut machine, "sandbox alpha stopped");
    beta_goes_on(&mut machine, &directory);
}

/// The address of a symbol of the kernel.
fn kernel_symbol(name: &str) -> u64 {
    let file = std::fs::read(build::output_directory().join(build::KERNEL)).unwrap();
    let elf = ElfBytes::<LittleEndian>::minimal_parse(&file).unwrap();
    let (symbols, names) = elf.symbol_table().unwrap().unwrap();
    symbols
        .iter()
        .find(|symbol| names.get(symbol.st_name as usize).ok() == Some(name))
        .unwrap_or_else(|| panic!("the kernel has no symbol {name}"))
        .st_value
}

/// Starts the machine and puts core 0, while its kernel is idle, at instruction `rip`
/// with stack pointer `rsp`.
fn derail(rip: u64, rsp: u64) -> (Machine, Directory) {
    let mut machine = Built::parse(&system(0)).start(Emulator::Installed);
    let directory = directory(&mut machine);
    wait_for(&mut machine, "[beta] kernel: ");
    while count(&beta(&mut machine, &directory), |it| {
        matches!(it, Event::Complete { .. })
    }) == 0
    {
        machine.check().unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    let idle = IDLE_STACK + GUARD..IDLE_STACK + 2 * GUARD;
    // The machine stands still while a debugger is attached.
    let mut debugger = loop {
        let mut debugger = machine.debugger().unwrap();
        if idle.contains(&debugger.registers(0).unwrap().general[RSP]) {
            break debugger;
        }
        debugger.detach().unwrap();
        machine.check().unwrap();
        std::thread::sleep(Duration::from_millis(3));
    };
    debugger.set_register(0, RSP, rsp).unwrap();
    debugger.set_register(0, RIP, rip).unwrap();
    debugger.detach().unwrap();
    (machine, directory)
}

#[test]
fn a_kernel_stack_that_overflows_is_named_and_stops_its_sandbox_alone() {
    // Given a stack pointer at the very bottom of the idle thread's stack,
    // when a function there saves a register,
    let bottom = IDLE_STACK + GUARD;
    let (mut machine, directory) = derail(kernel_symbol("enter_user"), bottom);
    // then the guard is hit, its owner is named, and beta goes on.
    let line = wait_for(&mut machine, "stack overflow");
    assert!(
        line.contains("[alpha]") && line.contains("\"idle\""),
        "{line}"
    );
    wait_for(&mut machine, "sandbox alpha stopped");
    beta_goes_on(&mut machine, &directory);
}

#[test]
fn an_exception_in_the_kernel_is_said_and_stops_its_sandbox_alone() {
    let top = IDLE_STACK + 2 * GUARD;
    let (mut machine, directory) = derail(0x1000, top);
    let line = wait_for(&mut machine, "page fault in the kernel");
    assert!(
        line.contains("[alpha]") && line.contains("in idle"),
        "{line}"
    );
    wait_for(&mut machine, "sandbox alpha stopped");
    beta_goes_on(&mut machine, &directory);
}
