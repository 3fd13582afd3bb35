//! Sections that run with interrupts off.
use core::arch::asm;

/// Whether interrupts were on before they were turned off.
#[inline]
fn interrupts_off() -> bool {
    let flags: u64;
    // SAFETY: reads the flags and clears IF; the stack use is declared by default.
    unsafe { asm!("pushfq", "pop {}", "cli", out(reg) flags) };
    flags & (1 << 9) != 0
}

/// Runs `section` with interrupts off, and leaves them as they were.
#[inline]
pub fn without_interrupts<R>(section: impl FnOnce() -> R) -> R {
    let were_on = interrupts_off();
    let result = section();
    if were_on {
        // SAFETY: they were on before.
        unsafe { asm!("sti", options(nostack)) };
    }
    result
}
