//! An allocator for boot: hands out a static arena once, front to back, and is then
//! sealed. After that an allocation fails, which in these images means a panic that
//! names it: nothing allocates in steady state.
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// An arena of `BYTES` bytes.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct SealedBump<const BYTES: usize> {
    arena: UnsafeCell<[u8; BYTES]>,
    used: AtomicUsize,
    sealed: AtomicBool,
}

// SAFETY: the arena's bytes are reached only through allocations, and `used` hands out
// disjoint ranges.
unsafe impl<const BYTES: usize> Sync for SealedBump<BYTES> {}

impl<const BYTES: usize> SealedBump<BYTES> {
    /// An empty arena.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            arena: UnsafeCell::new([0; BYTES]),
            used: AtomicUsize::new(0),
            sealed: AtomicBool::new(false),
        }
    }

    /// Ends allocation for good.
    pub fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// Bytes handed out so far, padding included.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl<const BYTES: usize> Default for SealedBump<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: each call that succeeds returns a range that no other call returns, inside
// the arena and aligned as asked.
unsafe impl<const BYTES: usize> GlobalAlloc for SealedBump<BYTES> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.sealed.load(Ordering::Acquire) {
            return null_mut();
        }
        let base = self.arena.get() as usize;
        let range = |used: usize| {
            let start = (base + used).checked_next_multiple_of(layout.align())? - base;
            let end = start.checked_add(layout.size())?;
            (end <= BYTES).then_some((start, end))
        };
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                range(used).map(|r| r.1)
            });
        match taken.ok().and_then(range) {
            // SAFETY: `range` keeps the start inside the arena.
            Some((start, _)) => unsafe { self.arena.get().cast::<u8>().add(start) },
            None => null_mut(),
        }
    }

    /// Memory comes back only for the latest allocation: growing vectors at boot.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let start = pointer as usize - self.arena.get() as usize;
        let end = start + layout.size();
        let _ = self
            .used
            .compare_exchange(end, start, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::boxed::Box;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn ranges_are_disjoint_aligned_and_inside_until_the_arena_is_used_up() {
        let arena = Box::new(SealedBump::<4096>::new());
        let mut end = &raw const *arena as usize;
        for (size, align) in [(1, 1), (8, 8), (3, 1), (512, 16), (1024, 1024)] {
            // SAFETY: layouts of non-zero size.
            let start = unsafe { arena.alloc(layout(size, align)) } as usize;
            assert!(start >= end && start % align == 0);
            end = start + size;
        }
        // SAFETY: as above.
        assert!(unsafe { arena.alloc(layout(4096, 1)) }.is_null());
    }

    #[test]
    fn a_sealed_arena_gives_nothing() {
        let arena = Box::new(SealedBump::<4096>::new());
        arena.seal();
        // SAFETY: a layout of non-zero size.
        assert!(unsafe { arena.alloc(layout(1, 1)) }.is_null());
    }

    #[test]
    fn only_the_latest_allocation_comes_back() {
        let arena = Box::new(SealedBump::<4096>::new());
        // SAFETY: layouts of non-zero size; each pointer is freed once, with its layout.
        unsafe {
            let first = arena.alloc(layout(64, 1));
            let second = arena.alloc(layout(64, 1));
            arena.dealloc(first, layout(64, 1));
            assert_eq!(arena.used(), 128);
            arena.dealloc(second, layout(64, 1));
            assert_eq!(arena.used(), 64);
        }
    }
}
