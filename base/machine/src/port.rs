//! I/O ports.
use core::arch::asm;

/// Reads a byte from `port`.
///
/// # Safety
/// Reading the port must have no effect that breaks memory safety.
#[inline]
#[must_use]
pub unsafe fn read_u8(port: u16) -> u8 {
    let value;
    // SAFETY: the caller vouches for the device's reaction; the instruction itself
    // touches no memory.
    unsafe {
        asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags))
    };
    value
}

/// Writes a byte to `port`.
///
/// # Safety
/// The device's reaction must not break memory safety.
#[inline]
pub unsafe fn write_u8(port: u16, value: u8) {
    // SAFETY: as for `read_u8`.
    unsafe {
        asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags))
    };
}

/// Reads a double word from `port`.
///
/// # Safety
/// Reading the port must have no effect that breaks memory safety.
#[inline]
#[must_use]
pub unsafe fn read_u32(port: u16) -> u32 {
    let value;
    // SAFETY: as for `read_u8`.
    unsafe {
        asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags))
    };
    value
}

/// Writes a double word to `port`.
///
/// # Safety
/// The device's reaction must not break memory safety.
#[inline]
pub unsafe fn write_u32(port: u16, value: u32) {
    // SAFETY: as for `read_u8`.
    unsafe {
        asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags))
    };
}

/// In Bochs, stops the emulator for whoever watches it, at the same instruction in every
/// run: the run has come to its end. Elsewhere nothing happens.
///
/// XCHG of BX with itself is the breakpoint that Bochs knows when `magic_break` is
/// enabled; to every processor it is a no-operation.
pub fn stop_emulator() {
    // SAFETY: changes no register and no memory.
    unsafe { asm!("xchg bx, bx", options(nomem, nostack, preserves_flags)) };
}

/// Masks all lines of the legacy interrupt controllers and moves their vectors out of
/// the exceptions' range. Their reset mapping puts the timer's tick on vector 8, which
/// is the double fault.
///
/// # Safety
/// The caller owns the legacy interrupt controllers.
pub unsafe fn disable_legacy_interrupt_controllers() {
    const MAIN: u16 = 0x20;
    const SECOND: u16 = 0xa0;
    // Intel 8259A data sheet: ICW1 (edge, cascade, ICW4), ICW2 (vector), ICW3
    // (cascade on line 2), ICW4 (8086 mode), then OCW1 (mask).
    for (port, vector, cascade) in [(MAIN, 0xf0, 4), (SECOND, 0xf8, 2)] {
        for (offset, value) in [(0, 0x11), (1, vector), (1, cascade), (1, 1), (1, 0xff)] {
            // SAFETY: the caller owns the controllers.
            unsafe { write_u8(port + offset, value) };
        }
    }
}
