//! Where things are: the guest-physical memory of a sandbox and the virtual memory
//! of a program. Memory of the sandbox starts at guest-physical zero.
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

/// First vector for devices: interrupt line `n` of the legacy controllers arrives
/// at vector `DEVICE_VECTOR_BASE + n`.
pub const DEVICE_VECTOR_BASE: u8 = 0x30;
/// Vector of the sandbox's one-shot timer.
pub const TIMER_VECTOR: u8 = 0x40;
/// Vector of a doorbell from another sandbox along a declared channel.
pub const DOORBELL_VECTOR: u8 = 0x41;
/// Spurious interrupts of the local APIC.
pub const SPURIOUS_VECTOR: u8 = 0xff;

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
