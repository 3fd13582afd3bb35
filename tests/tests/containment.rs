//! What goes wrong in a sandbox kernel itself: it is said on the console, it stops that
//! sandbox, and the next one misses nothing.
use tern_tests::{Built, Platform, Running, on_each_machine, symbol, text};
use xtask::build;
use xtask::emulator::Registers;

/// The kernel's stacks: `kernel/src/memory/layout.rs`. The idle thread has slot 0; its
/// lower half is the guard.
const IDLE_STACK: u64 = 0xffff_a000_0000_0000;
const GUARD: u64 = 8 * 4096;

/// Two sandboxes with one load each; the first one runs `program` as its.
fn system(program: &str) -> String {
    let (alpha, beta) = (text::load("alpha", 0), text::load("beta", 1));
    let alpha = alpha.replace("\"load\"", &format!("\"{program}\""));
    format!("[system]\nname = \"containment\"\n{alpha}\n{beta}")
}

/// Sandbox beta completes five jobs more, none of them late.
fn beta_goes_on(machine: &mut Running) {
    machine.goes_on(1, 5);
}

fn a_kernel_panics(platform: Platform) {
    // Given a file that is a program of another kind, linked for where no program may be,
    let mut machine = Running::start(&Built::parse(&system("tern-kernel")), platform);
    // when the kernel loads it,
    let line = machine.wait_for("kernel panic");
    // then it says what to do, and beta goes on.
    assert!(line.contains("[alpha]"), "{line}");
    assert!(line.contains("link it with tern-app's script"), "{line}");
    machine.wait_for("sandbox alpha stopped");
    beta_goes_on(&mut machine);
}

/// Starts the machine and puts core 0, while its kernel is idle, at instruction `rip`
/// with stack pointer `rsp`.
fn derail(platform: Platform, rip: u64, rsp: u64) -> Running {
    let mut machine = Running::start(&Built::parse(&system("load")), platform);
    machine.goes_on(1, 1);
    let idle = IDLE_STACK + GUARD..IDLE_STACK + 2 * GUARD;
    let is_idle = |at: &Registers| idle.contains(&at.general[Registers::STACK]);
    machine.derail(0, is_idle, rip, rsp);
    machine
}

fn a_kernel_stack_overflows(platform: Platform) {
    // Given a stack pointer at the very bottom of the idle thread's stack,
    // when a function there saves a register,
    let bottom = IDLE_STACK + GUARD;
    let enter_user = symbol(build::KERNEL, |name| name == "enter_user").start;
    let mut machine = derail(platform, enter_user, bottom);
    // then the guard is hit, its owner is named, and beta goes on.
    let line = machine.wait_for("stack overflow");
    assert!(
        line.contains("[alpha]") && line.contains("\"idle\""),
        "{line}"
    );
    machine.wait_for("sandbox alpha stopped");
    beta_goes_on(&mut machine);
}

fn a_kernel_faults(platform: Platform) {
    let top = IDLE_STACK + 2 * GUARD;
    let mut machine = derail(platform, 0x1000, top);
    let line = machine.wait_for("page fault in the kernel");
    assert!(
        line.contains("[alpha]") && line.contains("in idle"),
        "{line}"
    );
    machine.wait_for("sandbox alpha stopped");
    beta_goes_on(&mut machine);
}

on_each_machine! {
    a_kernel_that_panics_says_so_and_stops_alone => a_kernel_panics;
    a_kernel_stack_that_overflows_is_named_and_stops_its_sandbox_alone => a_kernel_stack_overflows;
    an_exception_in_the_kernel_is_said_and_stops_its_sandbox_alone => a_kernel_faults;
}
