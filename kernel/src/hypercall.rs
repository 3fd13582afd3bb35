//! Hypercalls, by the instruction that the vendor's virtualization has for them. The
//! trace has those to the console; those to the APIC only the hypervisor counts: they
//! would double every record of an interrupt.
use crate::trace;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};
use tern_abi::boot::Vendor;
use tern_abi::hypercall::{CONSOLE_WRITE_MAX, Hypercall};
use tern_machine::cpu::halt_forever;
use tern_trace::Event;
use tern_units::GuestPhysical;

static INTEL: AtomicBool = AtomicBool::new(false);

/// Chooses the instruction.
pub fn initialize(vendor: Vendor) {
    INTEL.store(vendor == Vendor::Intel, Ordering::Relaxed);
}

/// Makes a hypercall; negative results are errors.
///
/// # Safety
/// What the call does to the sandbox must be intended; memory it names must be valid.
#[inline]
unsafe fn call(number: Hypercall, first: u64, second: u64) -> i64 {
    let result: i64;
    if INTEL.load(Ordering::Relaxed) {
        // SAFETY: the caller vouches for the call; only RAX changes.
        unsafe {
            asm!("vmcall", inlateout("rax") number as u64 => result, in("rdi") first, in("rsi") second, options(nostack));
        }
    } else {
        // SAFETY: as above.
        unsafe {
            asm!("vmmcall", inlateout("rax") number as u64 => result, in("rdi") first, in("rsi") second, options(nostack));
        }
    }
    result
}

/// Writes `bytes` bytes at `at` to the machine's console, at most [`CONSOLE_WRITE_MAX`], and
/// returns how many of the sandbox's are not printed yet.
///
/// # Safety
/// The range must be the sandbox's memory.
pub unsafe fn console_write(at: GuestPhysical, bytes: u64) -> u64 {
    trace::record(Event::Hypercall {
        number: Hypercall::ConsoleWrite as u16,
    });
    // SAFETY: the hypervisor only reads the range.
    let left = unsafe {
        call(
            Hypercall::ConsoleWrite,
            at.as_u64(),
            bytes.min(CONSOLE_WRITE_MAX),
        )
    };
    // A refusal leaves nothing.
    left.max(0) as u64
}

/// Moves the console's text on by what the line takes at once, and returns how many bytes of the
/// sandbox's are not printed yet.
pub fn console_drain() -> u64 {
    trace::record(Event::Hypercall {
        number: Hypercall::ConsoleDrain as u16,
    });
    // SAFETY: it takes no argument, and touches nothing of the sandbox's.
    let left = unsafe { call(Hypercall::ConsoleDrain, 0, 0) };
    left.max(0) as u64
}

/// Seals what stands in the open half of a channel of the sandbox's own as `number`, and opens the
/// other half. Returns whether it has: a number as high must not have been given before, and its
/// time must have come.
pub fn seal(channel: u32, number: u64) -> bool {
    trace::record(Event::Hypercall {
        number: Hypercall::Seal as u16,
    });
    // SAFETY: it takes no memory. What it takes the right to write away is written nowhere else.
    unsafe { call(Hypercall::Seal, u64::from(channel), number) == 0 }
}

/// Closes `number` of the channels that this sandbox may close and that have their bits set: what
/// is not sealed as that then never is. Returns whether it is so: its time must have come.
pub fn close(channels: u64, number: u64) -> bool {
    trace::record(Event::Hypercall {
        number: Hypercall::Close as u16,
    });
    // SAFETY: it takes no memory, and nothing away that this sandbox has.
    unsafe { call(Hypercall::Close, channels, number) == 0 }
}

/// Takes a device that this sandbox shares with others, which most of them have sealed for `epoch`
/// that it has. Returns whether it has it: not before who had it has been made to leave it.
pub fn take(device: u32, epoch: u64) -> bool {
    trace::record(Event::Hypercall {
        number: Hypercall::Take as u16,
    });
    // SAFETY: it takes no memory; the ports of the device are reached by its driver alone.
    unsafe { call(Hypercall::Take, u64::from(device), epoch) == 0 }
}

/// Writes a register of the local APIC that the sandbox does not own.
///
/// # Safety
/// What the write sets off must be intended.
#[inline]
pub unsafe fn apic_write(register: u16, value: u32) {
    // SAFETY: the caller vouches for it; the hypervisor checks register and value.
    unsafe { call(Hypercall::ApicWrite, u64::from(register), u64::from(value)) };
}

/// Why a sandbox stopped itself, for the hypervisor's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum StopReason {
    /// The boot information, the image or the processor is unfit.
    Boot = 1,
    /// The kernel panicked.
    Panic = 2,
    /// A kernel stack overflowed.
    StackOverflow = 3,
    /// An exception in the kernel itself.
    Exception = 4,
}

/// Stops this sandbox for good; the others go on.
pub fn stop(reason: StopReason) -> ! {
    // SAFETY: it is meant to stop.
    unsafe { call(Hypercall::Stop, reason as u64, 0) };
    halt_forever()
}
