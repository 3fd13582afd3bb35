//! The idle thread: halts the core, and between two halts has the console's text printed on.
use crate::cpu::apic;
use crate::{clock, console};
use core::arch::asm;
use tern_abi::hypercall::CONSOLE_PACE_NANOS;
use tern_machine::cpu::timestamp;
use tern_units::{Duration, Instant};

/// Between two times that the hypervisor is asked to print on.
const PACE: Duration = Duration::from_nanos(CONSOLE_PACE_NANOS);
/// As many of them make a second.
const DRAINS_PER_SECOND: u64 = 1_000_000_000 / CONSOLE_PACE_NANOS;
/// No work is begun on the console this close to the instant that the timer is armed for. It is
/// longer than the handler of the timer, an exit and the port accesses of a drain take.
const CLOSE: Duration = Duration::from_micros(100);

/// Has the text of boot printed, which a sandbox without idle time would keep: until shortly before
/// the time epoch, as no thread runs before that. Interrupts are off.
pub(super) fn print_boot() {
    let Some(epoch) = clock::clock().ticks(Instant::EPOCH) else {
        return;
    };
    let pace = clock::clock().hertz() / DRAINS_PER_SECOND;
    let mut next = timestamp();
    while console::is_left() && next.saturating_add(pace) < epoch {
        while timestamp() < next {
            core::hint::spin_loop();
        }
        console::drain();
        next = timestamp().saturating_add(pace);
    }
}

/// Halts the core whenever nothing else runs.
///
/// # Safety
/// Everything is set up for interrupts to be on.
pub(super) unsafe fn idle() -> ! {
    loop {
        // SAFETY: interrupts are on again below.
        unsafe { asm!("cli", options(nomem, nostack)) };
        // When nothing is left this is a load and a branch, and no exit.
        if console::is_left() {
            print_on();
        }
        // SAFETY: as the caller vouches; STI takes effect after HLT has begun, so no
        // interrupt is missed between the two.
        unsafe { asm!("sti", "hlt", options(nomem, nostack)) };
    }
}

/// Asks the hypervisor once to print on, and arms the timer for the next time. What the timer is
/// armed for comes first: close before it nothing is done, and the idle thread is back after it.
/// Interrupts are off.
#[cold]
#[inline(never)]
fn print_on() {
    let (now, armed) = (clock::now(), apic::armed());
    if armed <= now.saturating_add(CLOSE) {
        return;
    }
    let is_left = console::drain();
    let again = now.saturating_add(PACE);
    if is_left && again.saturating_add(CLOSE) < armed {
        apic::arm(again);
    }
}
