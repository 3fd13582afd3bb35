//! Allocators for boot: each hands out an arena once, front to back, and is then
//! sealed. After that an allocation fails, which in these images means a panic that
//! names it: nothing allocates in steady state.
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// What is handed out of an arena, and whether that has ended.
#[derive(Debug)]
struct Bump {
    used: AtomicUsize,
    sealed: AtomicBool,
}

impl Bump {
    const fn new() -> Self {
        Self {
            used: AtomicUsize::new(0),
            sealed: AtomicBool::new(false),
        }
    }

    /// Takes a range for `layout` out of the `length` bytes at `base`; its offset, or `None`
    /// if there is none left.
    fn take(&self, base: usize, length: usize, layout: Layout) -> Option<usize> {
        if self.sealed.load(Ordering::Acquire) {
            return None;
        }
        let range = |used: usize| {
            let start = (base + used).checked_next_multiple_of(layout.align())? - base;
            let end = start.checked_add(layout.size())?;
            (end <= length).then_some((start, end))
        };
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                range(used).map(|r| r.1)
            });
        taken.ok().and_then(range).map(|range| range.0)
    }

    /// Makes the end of the latest range, which was at `old`, another one: memory comes back
    /// only for that. Tells whether it was the latest.
    fn move_end(&self, old: usize, new: usize) -> bool {
        let moved = self
            .used
            .compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed);
        moved.is_ok()
    }
}

/// An arena of `BYTES` bytes.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct SealedBump<const BYTES: usize> {
    arena: UnsafeCell<[u8; BYTES]>,
    bump: Bump,
}

// SAFETY: the arena's bytes are reached only through allocations, and `bump` hands out
// disjoint ranges.
unsafe impl<const BYTES: usize> Sync for SealedBump<BYTES> {}

impl<const BYTES: usize> SealedBump<BYTES> {
    /// An empty arena.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            arena: UnsafeCell::new([0; BYTES]),
            bump: Bump::new(),
        }
    }

    /// Ends allocation for good.
    pub fn seal(&self) {
        self.bump.sealed.store(true, Ordering::Release);
    }

    /// Bytes handed out so far, padding included.
    #[must_use]
    pub fn used(&self) -> usize {
        self.bump.used.load(Ordering::Relaxed)
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
        match self.bump.take(self.arena.get() as usize, BYTES, layout) {
            // SAFETY: `take` keeps the start inside the arena.
            Some(start) => unsafe { self.arena.get().cast::<u8>().add(start) },
            None => null_mut(),
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let start = pointer as usize - self.arena.get() as usize;
        self.bump.move_end(start + layout.size(), start);
    }
}

/// An arena whose memory boot provides, once it knows how much there has to be.
#[derive(Debug)]
pub struct ProvidedBump {
    base: AtomicPtr<u8>,
    length: AtomicUsize,
    bump: Bump,
}

impl ProvidedBump {
    /// An arena without memory: nothing can be allocated yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            base: AtomicPtr::new(null_mut()),
            length: AtomicUsize::new(0),
            bump: Bump::new(),
        }
    }

    /// Provides the arena with its memory.
    ///
    /// # Safety
    /// Called once, before anything is allocated, with `length` bytes at `base` that are
    /// mapped, writable and nobody else's, for good.
    pub unsafe fn provide(&self, base: *mut u8, length: usize) {
        self.base.store(base, Ordering::Relaxed);
        self.length.store(length, Ordering::Relaxed);
    }

    /// Ends allocation for good.
    pub fn seal(&self) {
        self.bump.sealed.store(true, Ordering::Release);
    }

    /// Bytes handed out so far, padding included, and how many there are.
    #[must_use]
    pub fn used(&self) -> (usize, usize) {
        let length = self.length.load(Ordering::Relaxed);
        (self.bump.used.load(Ordering::Relaxed), length)
    }
}

impl Default for ProvidedBump {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: each call that succeeds returns a range that no other call returns, inside
// the memory that was provided and aligned as asked.
unsafe impl GlobalAlloc for ProvidedBump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.base.load(Ordering::Relaxed);
        let length = self.length.load(Ordering::Relaxed);
        match self.bump.take(base as usize, length, layout) {
            // SAFETY: `take` keeps the start inside what was provided.
            Some(start) => unsafe { base.add(start) },
            None => null_mut(),
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let start = pointer as usize - self.base.load(Ordering::Relaxed) as usize;
        self.bump.move_end(start + layout.size(), start);
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

    #[test]
    fn an_arena_gives_what_boot_provides_and_nothing_before() {
        let arena = ProvidedBump::new();
        // SAFETY: a layout of non-zero size.
        assert!(unsafe { arena.alloc(layout(1, 1)) }.is_null());
        let memory = Box::leak(Box::new([0_u64; 16]));
        // SAFETY: leaked memory, nobody else's.
        unsafe { arena.provide(memory.as_mut_ptr().cast(), 128) };
        let inside = memory.as_ptr_range();
        let inside = inside.start as usize..inside.end as usize;
        // SAFETY: layouts of non-zero size; the pointer is freed once, with its layout.
        unsafe {
            let first = arena.alloc(layout(100, 8));
            assert!(inside.contains(&(first as usize)));
            assert!(arena.alloc(layout(29, 1)).is_null());
            arena.dealloc(first, layout(100, 8));
            assert!(!arena.alloc(layout(128, 8)).is_null());
        }
        assert_eq!(arena.used(), (128, 128));
    }
}
