//! The service that a server guarantees to the threads in it.
use tern_units::Duration;

/// The periodic resource model: a budget C somewhere in every period T. Shin and Lee,
/// "Periodic resource model for compositional real-time guarantees", RTSS 2003.
///
/// A sporadic server whose response time is at most its period supplies at least this.
/// One that is later still supplies the same, late by `delay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    budget: u64,
    period: u64,
    delay: u64,
}

impl Supply {
    /// The supply of a server; `None` unless 0 < budget ≤ period.
    #[must_use]
    pub const fn new(budget: Duration, period: Duration) -> Option<Self> {
        let (budget, period) = (budget.as_nanos(), period.as_nanos());
        if budget == 0 || budget > period {
            return None;
        }
        Some(Self {
            budget,
            period,
            delay: 0,
        })
    }

    /// The same, later by so much.
    #[must_use]
    pub const fn late_by(self, delay: Duration) -> Self {
        Self {
            delay: self.delay.saturating_add(delay.as_nanos()),
            ..self
        }
    }

    /// The least service in any interval of length `time` in which the server always
    /// has work: the supply bound function, equation 6 of the paper.
    ///
    /// sbf(t) = 0 for t < T − C, else yC + max(0, t − 2(T−C) − yT), y = ⌊(t − (T−C))/T⌋.
    #[must_use]
    pub const fn bound(self, time: Duration) -> Duration {
        let time = time.as_nanos().saturating_sub(self.delay);
        let gap = self.period - self.budget;
        let Some(rest) = time.checked_sub(gap) else {
            return Duration::ZERO;
        };
        let periods = rest / self.period;
        let in_last = (rest % self.period).saturating_sub(gap);
        Duration::from_nanos(periods * self.budget + in_last)
    }

    /// The longest time until `work` has been served: the inverse of the supply bound,
    /// e + (⌈e/C⌉ + 1)(T − C). Saturates.
    #[must_use]
    pub const fn time_for(self, work: Duration) -> Duration {
        let work = work.as_nanos();
        if work == 0 {
            return Duration::ZERO;
        }
        let gaps = (self.period - self.budget)
            .saturating_mul(work.div_ceil(self.budget).saturating_add(1));
        Duration::from_nanos(work.saturating_add(gaps).saturating_add(self.delay))
    }

    /// C, and T − C, in nanoseconds.
    pub(super) const fn capacity_and_gap(self) -> (u64, u64) {
        (self.budget, self.period - self.budget)
    }

    /// By how much it is later than that of a server whose budget is delivered in its period.
    pub(super) const fn delay(self) -> u64 {
        self.delay
    }

    /// C.
    #[must_use]
    pub const fn budget(self) -> Duration {
        Duration::from_nanos(self.budget)
    }
}
