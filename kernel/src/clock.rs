//! The sandbox's clock: nanoseconds since the time epoch, from the timestamp counter.
use crate::sync::boot_cell::BootValue;
use core::arch::asm;
use tern_machine::cpu::timestamp;
use tern_units::{Instant, TscFrequency};

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// Instants later than this (73 years) are "never".
const HORIZON_NANOS: u64 = 1 << 61;

/// Converts between counter values and instants with one multiplication and one
/// division each; the results are those of [`TscFrequency`], whose 128-bit division is
/// some hundred instructions.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: u64,
    hertz: u64,
    /// The first instant that is "never": what is before has a counter value.
    horizon: u64,
}

/// Until boot sets it, it stands at the epoch.
static CLOCK: BootValue<Clock> = BootValue::new(Clock {
    epoch: u64::MAX,
    hertz: NANOS_PER_SECOND,
    horizon: 0,
});

/// Sets the clock.
///
/// # Safety
/// Only during boot, once.
pub unsafe fn initialize(frequency: TscFrequency, epoch: u64) {
    // SAFETY: the caller vouches for it.
    unsafe { CLOCK.set(Clock::new(frequency, epoch)) };
}

/// The clock.
#[inline]
pub fn clock() -> &'static Clock {
    CLOCK.get()
}

/// Now; the epoch itself while that lies in the future.
#[inline]
pub fn now() -> Instant {
    clock().instant(timestamp())
}

impl Clock {
    /// A clock whose counter runs at `frequency` and stands at `epoch` at the time epoch.
    #[must_use]
    pub const fn new(frequency: TscFrequency, epoch: u64) -> Self {
        let hertz = frequency.hertz();
        // The last counter value but one that an instant can be converted to.
        let ticks = (u64::MAX - 1).saturating_sub(epoch) as u128;
        let nanos = ticks * NANOS_PER_SECOND as u128 / hertz as u128;
        Self {
            epoch,
            hertz,
            horizon: if nanos < HORIZON_NANOS as u128 {
                nanos as u64
            } else {
                HORIZON_NANOS
            },
        }
    }

    /// The instant at counter value `tsc`, rounded down; the epoch for earlier values.
    #[inline]
    pub fn instant(&self, tsc: u64) -> Instant {
        let ticks = tsc.saturating_sub(self.epoch);
        Instant::from_nanos(multiply_divide(ticks, NANOS_PER_SECOND, 0, self.hertz))
    }

    /// The same at a counter value that is not before the epoch.
    ///
    /// # Safety
    /// Nor is it 584 years after it.
    #[inline(always)]
    pub unsafe fn instant_since_epoch(&self, tsc: u64) -> Instant {
        let ticks = tsc.wrapping_sub(self.epoch);
        // SAFETY: nanoseconds of less than 584 years fit 64 bits.
        let nanos = unsafe { multiply_divide_exactly(ticks, NANOS_PER_SECOND, 0, self.hertz) };
        Instant::from_nanos(nanos)
    }

    /// The first counter value at which [`Clock::instant`] is not before `at`; `None`
    /// for instants beyond 73 years, which nobody waits for.
    #[inline]
    pub fn ticks(&self, at: Instant) -> Option<u64> {
        let nanos = at.as_nanos();
        if nanos >= self.horizon {
            return None;
        }
        let up = NANOS_PER_SECOND - 1;
        // SAFETY: the quotient fits, with the epoch added, for what is before the horizon.
        let ticks = unsafe { multiply_divide_exactly(nanos, self.hertz, up, NANOS_PER_SECOND) };
        Some(self.epoch.wrapping_add(ticks))
    }

    /// Ticks of the counter a second.
    #[inline]
    pub const fn hertz(&self) -> u64 {
        self.hertz
    }
}

/// (value × factor + more) ÷ divisor, by way of 128 bits; all ones where the quotient
/// does not fit.
#[inline]
pub fn multiply_divide(value: u64, factor: u64, more: u64, divisor: u64) -> u64 {
    let product = u128::from(value) * u128::from(factor) + u128::from(more);
    if (product >> 64) as u64 >= divisor {
        return u64::MAX;
    }
    // SAFETY: the quotient fits because the high half is below the divisor.
    unsafe { divide(product, divisor) }
}

/// The same without a look whether the quotient fits.
///
/// # Safety
/// It does: the processor raises an exception where it does not.
#[inline]
unsafe fn multiply_divide_exactly(value: u64, factor: u64, more: u64, divisor: u64) -> u64 {
    let product = u128::from(value) * u128::from(factor) + u128::from(more);
    // SAFETY: the caller vouches for it.
    unsafe { divide(product, divisor) }
}

/// # Safety
/// The quotient fits 64 bits.
#[inline]
unsafe fn divide(dividend: u128, divisor: u64) -> u64 {
    let (high, low) = ((dividend >> 64) as u64, dividend as u64);
    let quotient;
    // SAFETY: the caller vouches that there is no overflow.
    unsafe {
        asm!("div {}", in(reg) divisor, inlateout("rax") low => quotient, inlateout("rdx") high => _, options(pure, nomem, nostack));
    }
    quotient
}
