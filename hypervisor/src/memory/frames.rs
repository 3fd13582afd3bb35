//! Memory for what lives as long as the machine runs: given out at boot, zeroed, and
//! never taken back.
use crate::ranges::{Range, Ranges};
use core::ptr::NonNull;
use tern_units::{HostPhysical, PAGE_SIZE};

/// Bytes of a large page.
pub const LARGE_PAGE: u64 = 2 << 20;

/// Free memory that the hypervisor has mapped to itself.
#[derive(Debug)]
pub struct Frames {
    free: Ranges,
}

/// There is no such piece of memory left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Bytes that were asked for.
    pub bytes: u64,
}

/// Memory above the first MiB, where firmware and the start-up page are.
const ABOVE_LEGACY: Range = Range {
    start: 1 << 20,
    end: u64::MAX,
};

impl Frames {
    /// Gives out `free`.
    ///
    /// # Safety
    /// All of it must be memory that nothing else uses, mapped to itself.
    #[must_use]
    pub unsafe fn new(free: Ranges) -> Self {
        Self { free }
    }

    /// Takes `bytes` zeroed, in whole pages, from a multiple of `alignment` on (a power
    /// of two, at least a page).
    ///
    /// # Errors
    /// If there is no such piece.
    pub fn take(&mut self, bytes: u64, alignment: u64) -> Result<HostPhysical, OutOfMemory> {
        let bytes = bytes.next_multiple_of(PAGE_SIZE as u64);
        let found = self.free.take(bytes, alignment, ABOVE_LEGACY);
        let address = found.ok_or(OutOfMemory { bytes })?;
        // SAFETY: the range is memory that `new`'s caller gave away, mapped to itself.
        unsafe { (address.as_u64() as *mut u8).write_bytes(0, bytes as usize) };
        Ok(address)
    }

    /// Takes one page.
    ///
    /// # Errors
    /// If none is left.
    pub fn page(&mut self) -> Result<HostPhysical, OutOfMemory> {
        self.take(PAGE_SIZE as u64, PAGE_SIZE as u64)
    }

    /// Takes zeroed pages for a `T`, for which all zeroes must be a value.
    ///
    /// # Errors
    /// If none are left.
    ///
    /// # Safety
    /// All zeroes must be a valid `T`.
    pub unsafe fn place<T>(&mut self) -> Result<&'static mut T, OutOfMemory> {
        const { assert!(align_of::<T>() <= PAGE_SIZE) };
        let address = self.take(size_of::<T>() as u64, PAGE_SIZE as u64)?;
        // SAFETY: fresh memory of the right size and alignment, that is never given out
        // again; the caller vouches for the zeroes.
        Ok(unsafe { &mut *(address.as_u64() as *mut T) })
    }

    /// Takes a page below 1 MiB for the cores' start-up code.
    ///
    /// # Errors
    /// If none is free there.
    pub fn low_page(&mut self) -> Result<NonNull<u8>, OutOfMemory> {
        let page = PAGE_SIZE as u64;
        let window = Range {
            start: page,
            end: 1 << 20,
        };
        let address = self
            .free
            .take(page, page, window)
            .ok_or(OutOfMemory { bytes: page })?;
        NonNull::new(address.as_u64() as *mut u8).ok_or(OutOfMemory { bytes: page })
    }

    /// Gives out more.
    ///
    /// # Safety
    /// As for [`Frames::new`].
    pub unsafe fn add(&mut self, more: &Ranges) {
        for range in more.iter() {
            self.free.add(range);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    extern crate std;
    use super::*;
    use std::alloc::{Layout, alloc_zeroed};

    /// Frames on the host, where a process sees its memory at the addresses that it has for it.
    pub fn of_host(bytes: u64) -> Frames {
        let layout = Layout::from_size_align(bytes as usize, LARGE_PAGE as usize).unwrap();
        let mut free = Ranges::new();
        // SAFETY: not empty; the memory is leaked, so that it is the frames' for good.
        free.add(Range::new(unsafe { alloc_zeroed(layout) } as u64, bytes));
        // SAFETY: fresh memory, at its own address.
        unsafe { Frames::new(free) }
    }

    #[test]
    fn what_is_given_out_is_aligned_zero_and_not_given_out_again() {
        let mut frames = of_host(4 << 20);
        let first = frames.take(5000, 4096).unwrap();
        let second = frames.take(LARGE_PAGE, LARGE_PAGE).unwrap();
        assert!(second.is_aligned(LARGE_PAGE));
        assert!(second.as_u64() >= first.as_u64() + 8192);
        assert_eq!(
            frames.take(LARGE_PAGE, 4096),
            Err(OutOfMemory { bytes: LARGE_PAGE })
        );
        assert_eq!(frames.page().unwrap().as_u64(), first.as_u64() + 8192);
    }
}
