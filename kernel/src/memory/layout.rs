//! Where the kernel's half of the address space puts things, and the way between a
//! guest-physical address and the virtual ones that reach it.
use tern_units::GuestPhysical;

/// The kernel image is linked at its guest-physical address plus this.
pub const KERNEL_OFFSET: u64 = 0xffff_ffff_8000_0000;
/// All guest-physical memory that the kernel may touch is mapped at its address plus
/// this: the sandbox's memory, channels, trace ring, system image and exit counts.
pub const DIRECT_BASE: u64 = 0xffff_8000_0000_0000;

/// The virtual address in the direct map of guest-physical `address`.
#[must_use]
pub const fn direct(address: GuestPhysical) -> u64 {
    DIRECT_BASE + address.as_u64()
}

unsafe extern "C" {
    static kernel_text_start: u8;
    static kernel_rodata_start: u8;
    static kernel_data_start: u8;
    static kernel_end: u8;
}

/// The guest-physical ranges of the kernel image, each page-aligned.
#[derive(Clone, Copy, Debug)]
pub struct KernelImage {
    /// Start of the code.
    pub text: GuestPhysical,
    /// Start of the constants.
    pub rodata: GuestPhysical,
    /// Start of the data.
    pub data: GuestPhysical,
    /// First address past the image.
    pub end: GuestPhysical,
}

impl KernelImage {
    /// The image that is running, from the linker script's symbols.
    #[must_use]
    pub fn running() -> Self {
        let physical = |symbol: *const u8| GuestPhysical::new(symbol as u64 - KERNEL_OFFSET);
        Self {
            text: physical(&raw const kernel_text_start),
            rodata: physical(&raw const kernel_rodata_start),
            data: physical(&raw const kernel_data_start),
            end: physical(&raw const kernel_end),
        }
    }
}
