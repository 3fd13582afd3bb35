//! The sandbox's free memory: page frames handed out once, during boot, each zeroed.
use super::layout::{KernelImage, direct};
use crate::sync::interrupt_cell::InterruptCell;
use core::ptr::NonNull;
use tern_units::{GuestPhysical, PAGE_SIZE};

/// A frame of 4 KiB that belongs to whoever holds this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame(GuestPhysical);

impl Frame {
    /// The frame at `address`, which a page-table entry refers to.
    pub(super) const fn of_table(address: GuestPhysical) -> Self {
        Self(address)
    }

    /// Its guest-physical address.
    #[must_use]
    pub const fn address(self) -> GuestPhysical {
        self.0
    }

    /// Its bytes in the direct map.
    #[must_use]
    pub fn bytes(self) -> NonNull<[u8; PAGE_SIZE]> {
        let pointer = direct(self.0) as *mut [u8; PAGE_SIZE];
        // SAFETY: the direct map's base is not zero.
        unsafe { NonNull::new_unchecked(pointer) }
    }
}

#[derive(Debug)]
struct Free {
    next: u64,
    end: u64,
}

static FREE: InterruptCell<Free> = InterruptCell::new(Free { next: 0, end: 0 });

/// Makes the memory from the kernel's end to `memory_bytes` available.
pub fn initialize(memory_bytes: u64) {
    FREE.with(|free| {
        free.next = KernelImage::running().end.as_u64();
        free.end = memory_bytes;
    });
}

/// A zeroed frame.
///
/// # Panics
/// If the sandbox's memory is used up: the message says which key to change. Frames
/// are allocated during boot alone.
#[must_use]
pub fn allocate() -> Frame {
    let address = FREE.with(|free| {
        assert!(
            free.next + PAGE_SIZE as u64 <= free.end,
            "the sandbox's memory is used up: give it more `memory` in the system description"
        );
        let address = free.next;
        free.next += PAGE_SIZE as u64;
        address
    });
    let frame = Frame(GuestPhysical::new(address));
    // SAFETY: the frame is inside the sandbox's memory, past the kernel, mapped in the
    // direct map, and handed out only once.
    unsafe { frame.bytes().as_ptr().write_bytes(0, 1) };
    frame
}

/// The first address of `bytes` of memory in one piece, in whole frames, for the heap. Not
/// zeroed here: the hypervisor hands over zeroed memory, and nobody has had this before.
///
/// # Panics
/// As for [`allocate`].
#[must_use]
pub fn allocate_heap(bytes: u64) -> GuestPhysical {
    let bytes = bytes.next_multiple_of(PAGE_SIZE as u64);
    FREE.with(|free| {
        assert!(
            bytes <= free.end - free.next,
            "the sandbox's memory is used up: give it more `memory` in the system description"
        );
        let address = free.next;
        free.next += bytes;
        GuestPhysical::new(address)
    })
}

/// Bytes of memory still free.
#[must_use]
pub fn free_bytes() -> u64 {
    FREE.with(|free| free.end - free.next)
}
