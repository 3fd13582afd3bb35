//! Data that interrupt handlers and threads share on the sandbox's one core: reached
//! with interrupts off, by one borrower at a time.
use core::arch::asm;
use core::cell::{Cell, UnsafeCell};

/// Whether interrupts were on before they were turned off.
#[inline]
fn interrupts_off() -> bool {
    let flags: u64;
    // SAFETY: reads the flags and clears IF; the stack use is declared by default.
    unsafe { asm!("pushfq", "pop {}", "cli", out(reg) flags) };
    flags & (1 << 9) != 0
}

/// Runs `section` with interrupts off, and leaves them as they were.
#[inline]
pub fn without_interrupts<R>(section: impl FnOnce() -> R) -> R {
    let were_on = interrupts_off();
    let result = section();
    if were_on {
        // SAFETY: they were on before.
        unsafe { asm!("sti", options(nostack)) };
    }
    result
}

/// A value that is only borrowed with interrupts off.
#[derive(Debug)]
pub struct Masked<T> {
    value: UnsafeCell<T>,
    borrowed: Cell<bool>,
}

// SAFETY: the sandbox has one core; with interrupts off nothing else runs on it, and
// `borrowed` refuses a second borrow from inside the first.
unsafe impl<T: Send> Sync for Masked<T> {}

impl<T> Masked<T> {
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

/// A value that boot may replace once, and that is only read afterwards.
#[derive(Debug)]
pub struct BootValue<T>(UnsafeCell<T>);

// SAFETY: `set` runs during boot with interrupts off, before any other reader.
unsafe impl<T: Sync> Sync for BootValue<T> {}

impl<T> BootValue<T> {
    /// The value until boot sets another.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Sets the value.
    ///
    /// # Safety
    /// Only during boot, with interrupts off, while no reference from `get` lives.
    pub unsafe fn set(&self, value: T) {
        // SAFETY: the caller vouches that nothing reads it.
        unsafe { *self.0.get() = value };
    }

    /// The value.
    #[inline]
    pub fn get(&self) -> &T {
        // SAFETY: written only during boot, before readers run.
        unsafe { &*self.0.get() }
    }
}

/// A value that is set once during boot and only read afterwards.
#[derive(Debug)]
pub struct BootOnce<T>(UnsafeCell<Option<T>>);

// SAFETY: `set` runs during boot with interrupts off, before any reader.
unsafe impl<T: Sync> Sync for BootOnce<T> {}

impl<T> BootOnce<T> {
    /// No value yet.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(None))
    }

    /// Sets the value.
    ///
    /// # Safety
    /// Only during boot, with interrupts off, while no reference from `get` lives.
    pub unsafe fn set(&self, value: T) {
        // SAFETY: the caller vouches that nothing reads it.
        unsafe { *self.0.get() = Some(value) };
    }

    /// The value, if boot has set it.
    #[inline]
    pub fn try_get(&self) -> Option<&T> {
        // SAFETY: written only during boot, before readers run.
        unsafe { (*self.0.get()).as_ref() }
    }

    /// The value.
    ///
    /// # Safety
    /// Boot has set it.
    #[inline(always)]
    pub unsafe fn get_unchecked(&self) -> &T {
        // SAFETY: the caller vouches for it.
        unsafe { self.try_get().unwrap_unchecked() }
    }

    /// The value.
    ///
    /// # Panics
    /// Before boot has set it.
    #[inline]
    pub fn get(&self) -> &T {
        match self.try_get() {
            Some(value) => value,
            None => panic!("used before boot has set it"),
        }
    }
}
