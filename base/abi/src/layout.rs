//! Where things are: the guest-physical memory of a sandbox, its interrupt vectors, and the
//! virtual memory of a program. Memory of the sandbox starts at guest-physical zero.
use tern_units::{GuestPhysical, UserVirtual};

/// Shared channels, in the order of the system description, each at the same
/// guest-physical address in every sandbox that may see it.
pub const CHANNEL_BASE: GuestPhysical = GuestPhysical::new(0x10_0000_0000);
/// The trace ring of the sandbox's core, readable and writable.
pub const TRACE_BASE: GuestPhysical = GuestPhysical::new(0x20_0000_0000);
/// The system image, read-only.
pub const IMAGE_BASE: GuestPhysical = GuestPhysical::new(0x30_0000_0000);
/// Counts of VM exits by reason, one `u64` per [`crate::directory::ExitReason`], read-only.
pub const EXIT_COUNTS_BASE: GuestPhysical = GuestPhysical::new(0x40_0000_0000);

/// Lines of the legacy interrupt controllers.
pub const LINES: u8 = 16;

/// Vector of doorbells from other sandboxes along declared channels, in the lowest class that
/// interrupts may have.
pub const DOORBELL_VECTOR: u8 = 0x20;
/// The highest class of device lines. Above it is the timer's alone, so that no flood of
/// interrupts holds off the end of a budget.
pub const HIGHEST_DEVICE_CLASS: u8 = 14;
/// The lowest class of device lines, above the doorbells'.
pub const LOWEST_DEVICE_CLASS: u8 = priority_class(DOORBELL_VECTOR) + 1;
/// Vector of the sandbox's one-shot timer, in the highest class.
pub const TIMER_VECTOR: u8 = 0xf0;
/// Spurious interrupts of the local APIC.
pub const SPURIOUS_VECTOR: u8 = 0xff;

/// Returns the class by which the local APIC holds off a vector: its upper four bits.
#[must_use]
pub const fn priority_class(vector: u8) -> u8 {
    vector >> 4
}

/// Returns the vector of a legacy line in a class; `tern_config::InterruptPlan` has the class
/// of each line.
#[must_use]
pub const fn line_vector(class: u8, line: u8) -> u8 {
    (class << 4) + line % LINES
}

/// First address of a program's image.
pub const PROGRAM_BASE: UserVirtual = UserVirtual::new(0x40_0000);
/// First address of a program's heap: zeroed writable pages, their number from the
/// system description.
pub const HEAP_BASE: UserVirtual = UserVirtual::new(0x2000_0000);
/// The page frozen at each release, read-only: see [`crate::system_call::input`].
pub const INPUT_PAGE: UserVirtual = UserVirtual::new(0x5000_0000);
/// The page a job leaves its outputs in.
pub const OUTPUT_PAGE: UserVirtual = UserVirtual::new(0x5000_1000);
/// First address past a program's stack; the page below the stack is a guard.
pub const STACK_TOP: UserVirtual = UserVirtual::new(0x6000_0000);
