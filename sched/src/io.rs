//! The I/O server: a utilization U = C/T with a single replenishment, for work that
//! interrupts start.
//!
//! Danish, Li, West, "Virtual-CPU scheduling in the Quest operating system", RTAS 2011
//! (there: priority-inheritance bandwidth-preserving server). Rules in docs/sched.md.
use crate::{AddError, Posted, Replenishment, ServerParameters};
use tern_units::{Duration, Instant};

/// An I/O server: what it may use, and when. Whose priority and period it inherits is
/// decided by [`Scheduler`](crate::Scheduler).
///
/// Its demand in any interval of length t is at most min(t, Cmax + U(t − Cmax)).
#[derive(Clone, Debug)]
pub struct IoServer {
    /// U = `numerator` / `denominator`, from its own budget and period.
    numerator: u64,
    denominator: u64,
    period: u64,
    /// e: the one replenishment is usable from here on.
    eligible: u64,
    /// Cmax − used: what is left of it, before the next charge.
    left: u64,
    /// Consumed of it so far; e moves by used/U when it is given up.
    used: u64,
    /// Whether it is awake with a replenishment of its own.
    budgeted: bool,
}

impl IoServer {
    /// A placeholder in tables.
    pub(crate) const EMPTY: Self = Self {
        numerator: 1,
        denominator: 1,
        period: 1,
        eligible: 0,
        left: 1,
        used: 0,
        budgeted: false,
    };

    /// A server of utilization `parameters.budget / parameters.period`.
    ///
    /// # Errors
    /// If the parameters are not those of a server that can run.
    pub fn new(parameters: ServerParameters, start: Instant) -> Result<Self, AddError> {
        parameters.check()?;
        let (budget, period) = (parameters.budget.as_nanos(), parameters.period.as_nanos());
        Ok(Self {
            numerator: budget,
            denominator: period,
            period,
            eligible: start.as_nanos(),
            left: budget,
            used: 0,
            budgeted: false,
        })
    }

    /// The period T that it was made with.
    #[must_use]
    pub(crate) const fn own_period(&self) -> Duration {
        Duration::from_nanos(self.denominator)
    }

    /// The period T it has adopted.
    #[must_use]
    pub const fn period(&self) -> Duration {
        Duration::from_nanos(self.period)
    }

    /// Cmax = U·T, rounded down, but at least 1 ns.
    #[must_use]
    pub const fn capacity(&self) -> Duration {
        let scaled = self.numerator as u128 * self.period as u128 / self.denominator as u128;
        Duration::from_nanos(if scaled == 0 { 1 } else { scaled as u64 })
    }

    /// The one replenishment: what is left of it, and from when on.
    #[must_use]
    pub const fn head(&self) -> Replenishment {
        Replenishment {
            time: Instant::from_nanos(self.eligible),
            amount: Duration::from_nanos(self.left),
        }
    }

    /// How long it may run from `now` on before it must be charged.
    #[must_use]
    pub fn available(&self, now: Instant) -> Duration {
        let head = self.head();
        if head.time <= now {
            head.amount
        } else {
            Duration::ZERO
        }
    }

    /// Charges `used`. When the replenishment is used up, the next one is posted at
    /// e + used/U.
    pub fn charge(&mut self, used: Duration, posted: impl FnMut(Posted)) {
        self.used = self.used.saturating_add(used.as_nanos());
        self.left = self.left.saturating_sub(used.as_nanos());
        if self.left == 0 {
            self.renew(posted);
        }
    }

    /// The server has nothing more to do: gives up what is left and posts the next
    /// replenishment at e + used/U.
    pub fn block(&mut self, posted: impl FnMut(Posted)) {
        self.budgeted = false;
        self.renew(posted);
    }

    /// The server becomes runnable after having been blocked.
    pub fn unblock(&mut self, now: Instant) {
        if !self.budgeted {
            self.eligible = self.eligible.max(now.as_nanos());
            self.budgeted = true;
        }
    }

    /// Takes over the period of the requester it now serves, or its own again. A
    /// capacity that shrinks does so at once, one that grows at the next replenishment.
    pub fn adopt(&mut self, period: Duration, posted: impl FnMut(Posted)) {
        let period = period.as_nanos().max(1);
        if period == self.period {
            return;
        }
        self.period = period;
        if self.used == 0 && !self.budgeted {
            self.left = self.capacity().as_nanos();
            return;
        }
        let allowed = self.capacity().as_nanos().saturating_sub(self.used);
        self.left = self.left.min(allowed);
        if self.left == 0 {
            self.renew(posted);
        }
    }

    fn renew(&mut self, mut posted: impl FnMut(Posted)) {
        let consumed = self.used;
        self.left = self.capacity().as_nanos();
        self.used = 0;
        if consumed > 0 {
            // Rounded up: budget may return late, never early.
            let span = (u128::from(consumed) * u128::from(self.denominator))
                .div_ceil(u128::from(self.numerator));
            let span = u64::try_from(span).unwrap_or(u64::MAX);
            self.eligible = self.eligible.saturating_add(span);
            posted(Posted {
                time: Instant::from_nanos(self.eligible),
                amount: Duration::from_nanos(consumed),
                entry: self.head(),
            });
        }
    }
}
