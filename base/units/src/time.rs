//! Time: nanoseconds since the epoch that all sandboxes share, and the one place
//! where timestamp-counter ticks are converted to them.
use core::fmt;
use core::ops::{Add, AddAssign, Sub, SubAssign};

/// A point in time, in nanoseconds since the system's time epoch.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

/// A length of time, in nanoseconds.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(u64);

impl Instant {
    /// The system's time epoch.
    pub const EPOCH: Self = Self(0);
    /// The last representable instant, some 584 years after the epoch. As a
    /// deadline or a release it means "never".
    pub const NEVER: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the epoch.
    #[must_use]
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero if `earlier` is in fact later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }

    /// Time from `earlier` to `self`, or `None` if `earlier` is later.
    #[must_use]
    pub const fn checked_since(self, earlier: Self) -> Option<Duration> {
        match self.0.checked_sub(earlier.0) {
            Some(nanos) => Some(Duration(nanos)),
            None => None,
        }
    }

    /// `self + span`, or [`Instant::NEVER`] where that does not fit.
    #[must_use]
    #[inline]
    pub const fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// `self + span`, or `None` where that does not fit.
    #[must_use]
    #[inline]
    pub const fn checked_add(self, span: Duration) -> Option<Self> {
        match self.0.checked_add(span.0) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }
}

impl Duration {
    /// No time.
    pub const ZERO: Self = Self(0);
    /// The longest representable duration, some 584 years.
    pub const MAX: Self = Self(u64::MAX);

    /// A duration of `nanos` nanoseconds.
    #[must_use]
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A duration of `micros` microseconds; saturates.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// A duration of `millis` milliseconds; saturates.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Its length in nanoseconds.
    #[must_use]
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whether it is no time at all.
    #[must_use]
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// `self + other`, at most [`Duration::MAX`].
    #[must_use]
    #[inline]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// `self - other`, at least zero.
    #[must_use]
    #[inline]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `self × factor`, at most [`Duration::MAX`].
    #[must_use]
    #[inline]
    pub const fn saturating_mul(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// `self + other`, or `None` where that does not fit.
    #[must_use]
    #[inline]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// `self - other`, or `None` if `other` is longer.
    #[must_use]
    #[inline]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// `self × factor`, or `None` where that does not fit.
    #[must_use]
    pub const fn checked_mul(self, factor: u64) -> Option<Self> {
        match self.0.checked_mul(factor) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// # Panics
    /// In builds with overflow checks, if the sum does not fit.
    fn add(self, span: Duration) -> Self {
        Self(self.0 + span.0)
    }
}

impl Add for Duration {
    type Output = Self;

    /// # Panics
    /// In builds with overflow checks, if the sum does not fit.
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Duration {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Duration {
    type Output = Self;

    /// # Panics
    /// In builds with overflow checks, if `other` is longer.
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl SubAssign for Duration {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl fmt::Display for Duration {
    /// In the largest unit of ns, us, ms, s that leaves at least one whole unit,
    /// with up to three decimals: `1.5ms`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, suffix) = match self.0 {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "us"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        let (whole, thousandths) = (self.0 / unit, (self.0 % unit) * 1_000 / unit);
        match thousandths {
            0 => write!(out, "{whole}{suffix}"),
            t if t % 100 == 0 => write!(out, "{whole}.{}{suffix}", t / 100),
            t if t % 10 == 0 => write!(out, "{whole}.{:02}{suffix}", t / 10),
            t => write!(out, "{whole}.{t:03}{suffix}"),
        }
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}ns", self.0)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "@{}ns", self.0)
    }
}

/// The rate of the timestamp counter, with exact conversion in both directions.
///
/// A conversion divides 128-bit products, so it neither drifts nor overflows for
/// any counter value that a machine can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TscFrequency {
    hertz: u64,
}

impl TscFrequency {
    const NANOS_PER_SECOND: u128 = 1_000_000_000;

    /// A counter that runs at `hertz` ticks a second; `None` for zero.
    #[must_use]
    pub const fn from_hertz(hertz: u64) -> Option<Self> {
        if hertz == 0 {
            None
        } else {
            Some(Self { hertz })
        }
    }

    /// Ticks a second.
    #[must_use]
    pub const fn hertz(self) -> u64 {
        self.hertz
    }

    /// The time that `ticks` take, rounded down to the nanosecond.
    #[must_use]
    pub const fn to_duration(self, ticks: u64) -> Duration {
        let nanos = ticks as u128 * Self::NANOS_PER_SECOND / self.hertz as u128;
        Duration(if nanos > u64::MAX as u128 {
            u64::MAX
        } else {
            nanos as u64
        })
    }

    /// The ticks that `span` takes, rounded up: a timer set so never fires early.
    #[must_use]
    pub const fn to_ticks(self, span: Duration) -> u64 {
        let ticks = (span.0 as u128 * self.hertz as u128).div_ceil(Self::NANOS_PER_SECOND);
        if ticks > u64::MAX as u128 {
            u64::MAX
        } else {
            ticks as u64
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn durations_print_in_the_largest_whole_unit() {
        for (nanos, text) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_500, "1.5us"),
            (1_500_000, "1.5ms"),
            (40_000_000, "40ms"),
            (1_050_000_000, "1.05s"),
            (2_001_000_000, "2.001s"),
        ] {
            assert_eq!(Duration::from_nanos(nanos).to_string(), text);
        }
    }

    #[test]
    fn a_timer_set_from_a_duration_never_fires_early() {
        for hertz in [
            1,
            3,
            999_999_937,
            1_000_000_000,
            2_599_998_765,
            5_000_000_000,
        ] {
            let tsc = TscFrequency::from_hertz(hertz).unwrap();
            for nanos in [0, 1, 7, 999, 1_000_003, 86_400_000_000_000] {
                let span = Duration::from_nanos(nanos);
                assert!(
                    tsc.to_duration(tsc.to_ticks(span)) >= span,
                    "{hertz} Hz, {span:?}"
                );
            }
        }
    }

    #[test]
    fn conversion_does_not_overflow_at_the_ends_of_time() {
        let tsc = TscFrequency::from_hertz(1).unwrap();
        assert_eq!(tsc.to_duration(u64::MAX), Duration::MAX);
        let fast = TscFrequency::from_hertz(u64::MAX).unwrap();
        assert_eq!(fast.to_ticks(Duration::MAX), u64::MAX);
        assert!(TscFrequency::from_hertz(0).is_none());
    }
}
