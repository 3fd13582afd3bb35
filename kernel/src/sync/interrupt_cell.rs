//! Data that interrupt handlers and threads share on the sandbox's one core: reached
//! with interrupts off, by one borrower at a time.
use super::interrupts_off::without_interrupts;
use core::cell::{Cell, UnsafeCell};

/// A value that is only borrowed with interrupts off.
#[derive(Debug)]
pub struct InterruptCell<T> {
    value: UnsafeCell<T>,
    borrowed: Cell<bool>,
}

// SAFETY: the sandbox has one core; with interrupts off nothing else runs on it, and
// `borrowed` refuses a second borrow from inside the first.
unsafe impl<T: Send> Sync for InterruptCell<T> {}

impl<T> InterruptCell<T> {
    /// A shared value.
    pub const fn new(value: T) -> Self {
        Self {
            value: UnsafeCell::new(value),
            borrowed: Cell::new(false),
        }
    }

    /// Runs `use_it` on the value with interrupts off. Keep it short: it is a
    /// non-preemptible section.
    ///
    /// # Panics
    /// If called from inside itself.
    #[inline]
    pub fn with<R>(&self, use_it: impl FnOnce(&mut T) -> R) -> R {
        without_interrupts(|| {
            assert!(!self.borrowed.replace(true), "nested use of masked data");
            // SAFETY: interrupts are off inside, and `borrowed` tells of a borrow.
            let result = unsafe { self.with_masked(use_it) };
            self.borrowed.set(false);
            result
        })
    }

    /// The same where interrupts are off already, without a look whether it is borrowed.
    ///
    /// # Safety
    /// Interrupts are off, and neither is this called from inside itself nor does
    /// `use_it` reach the value in another way.
    #[inline(always)]
    pub unsafe fn with_masked<R>(&self, use_it: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the caller vouches for it.
        use_it(unsafe { self.borrow_masked() })
    }

    /// The value, where interrupts are off already.
    ///
    /// # Safety
    /// Interrupts are off, and nothing reaches the value in another way until the
    /// reference is gone.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "there is no other reference")]
    pub unsafe fn borrow_masked(&self) -> &mut T {
        // SAFETY: interrupts are off on the only core, and this is the only borrow.
        unsafe { &mut *self.value.get() }
    }
}
