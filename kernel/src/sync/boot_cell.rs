//! Values that boot sets once and that are only read afterwards.
use core::cell::UnsafeCell;

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
