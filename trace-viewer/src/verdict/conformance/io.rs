//! An I/O server's budget: one replenishment, and from when on it may be used; written a second
//! time, from docs/sched.md. Times are nanoseconds.
use super::objection::{Objection, Rule};
use super::sporadic::MOST_ROUNDS;
use crate::table::exact_instant;
use crate::table::signed_span;

/// The budget of an I/O server of utilization C/T.
///
/// A requester's shorter period makes one replenishment smaller, which no record tells; it
/// changes neither U nor the rule for the next. So up to C may be used before a charge, and
/// any charge of what was used is right.
#[derive(Clone, Debug)]
pub(super) struct Io {
    budget: i64,
    period: i64,
    /// From when on the replenishment may be used.
    eligible: i64,
    used: i64,
}

impl Io {
    /// The whole budget, above zero, from the epoch on.
    pub(super) const fn new(budget: i64, period: i64) -> Self {
        Self {
            budget,
            period,
            eligible: 0,
            used: 0,
        }
    }

    pub(super) const fn eligible(&self) -> i64 {
        self.eligible
    }

    /// What is left of the replenishment: below zero for what was used beyond it.
    pub(super) const fn left(&self) -> i64 {
        self.budget - self.used
    }

    /// Its threads ran so long.
    pub(super) const fn run(&mut self, time: i64) {
        self.used = self.used.saturating_add(time);
    }

    /// How long it has run, at `now`, since it had no budget to run with.
    pub(super) fn ran_beyond(&self, now: i64) -> i64 {
        if self.eligible > now {
            return self.used;
        }
        let mut beyond = self.used - self.budget;
        for round in 1..MOST_ROUNDS {
            // It ran without a break, so this is when the next replenishment began to be used.
            let from = now.saturating_sub(beyond);
            let next = self
                .eligible
                .saturating_add(self.period.saturating_mul(round));
            if beyond <= 0 || next > from {
                break;
            }
            beyond -= self.budget;
        }
        beyond.max(0)
    }

    /// It has work again from `at` on: its budget is as if it became active now.
    pub(super) fn unblock(&mut self, at: i64) {
        self.eligible = self.eligible.max(at);
    }

    /// It is charged for `amount`, and the next replenishment is said to be usable from `returns`
    /// on: that is what was used by U later, rounded up.
    pub(super) fn post(&mut self, amount: i64, returns: i64) -> Result<(), Objection> {
        let due = self.after(amount);
        let objection = if amount > self.used {
            let [amount, used] = [amount, self.used].map(signed_span);
            let text = format!("{amount} are charged, and {used} were used");
            Some((Rule::Amplified, text))
        } else if returns != due {
            let (rule, off) = match returns < due {
                true => (Rule::Premature, "too early"),
                false => (Rule::Late, "too late"),
            };
            let text = format!(
                "{} return at {}, {} {off}: active from {}, of {} {} may be used",
                signed_span(amount),
                exact_instant(returns),
                signed_span(returns.saturating_sub(due).saturating_abs()),
                exact_instant(self.eligible),
                signed_span(self.period),
                signed_span(self.budget),
            );
            Some((rule, text))
        } else {
            None
        };
        self.charge(amount.min(self.used));
        match objection {
            Some((rule, text)) => Err(Objection { rule, text }),
            None => Ok(()),
        }
    }

    /// Charges what was used, if that is the whole replenishment or the server does not `want`
    /// the core any more. Returns how much that is.
    pub(super) fn settle(&mut self, wants: bool) -> i64 {
        if wants && self.left() > 0 {
            return 0;
        }
        let used = self.used;
        self.charge(used);
        used
    }

    fn charge(&mut self, amount: i64) {
        self.eligible = self.after(amount);
        self.used -= amount;
    }

    /// From when on the next replenishment may be used after `amount` of this one.
    fn after(&self, amount: i64) -> i64 {
        let span = i128::from(amount) * i128::from(self.period);
        let span = (span + i128::from(self.budget) - 1) / i128::from(self.budget);
        let span = i64::try_from(span).unwrap_or(i64::MAX);
        self.eligible.saturating_add(span)
    }
}
