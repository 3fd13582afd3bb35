//! Servers and threads as the analysis sees them, and what it finds out about them.
use super::cost::{CostTable, KernelWork};
use super::search::{Ending, scale_up};
use crate::ServerKind;
use tern_units::Duration;

/// A server, as the analysis sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerModel {
    /// Its algorithm.
    pub kind: ServerKind,
    /// Budget C, above zero and at most the period.
    pub budget: Duration,
    /// Period T.
    pub period: Duration,
    /// Deadline D of the delivery of its budget; may exceed the period.
    pub deadline: Duration,
    /// Release jitter J: how much later than it arrives a job may be released.
    pub jitter: Duration,
    /// Blocking B, in addition to the platform's longest non-preemptible section.
    pub blocking: Duration,
    /// How often it may become active in a period, whatever its threads do, for overheads; at
    /// least 1. See [`activations`](super::activations).
    pub activations: u32,
    /// For an I/O server that may inherit a higher priority: from where on it interferes.
    pub raised: Option<Raised>,
}

/// Where an I/O server interferes above its own place in the order of priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised {
    /// The position, in order of priority, of the most urgent server whose threads request
    /// its work. It interferes from there on down.
    pub to: usize,
    /// R − C, what it may be late with at its own place: it makes up for that where it is
    /// raised. `None`: not known, and then those above its own place have no bound.
    pub late: Option<Duration>,
}

impl ServerModel {
    /// A sporadic server with D = T, without jitter and blocking.
    #[must_use]
    pub const fn sporadic(budget: Duration, period: Duration) -> Self {
        Self {
            kind: ServerKind::Sporadic,
            budget,
            period,
            deadline: period,
            jitter: Duration::ZERO,
            blocking: Duration::ZERO,
            activations: 1,
            raised: None,
        }
    }

    /// An I/O server with D = T, without jitter and blocking.
    #[must_use]
    pub const fn io(budget: Duration, period: Duration) -> Self {
        Self {
            kind: ServerKind::Io,
            ..Self::sporadic(budget, period)
        }
    }

    /// The same, with another deadline.
    #[must_use]
    pub const fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Whether the parameters make sense: only such servers have responses.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !self.budget.is_zero() && self.budget <= self.period
    }

    /// How long it may be without budget for what it `used`: used/U, U = C/T.
    pub(super) fn used_up_by(&self, used: u64) -> u64 {
        scale_up(used, self.period.as_nanos(), self.budget.as_nanos())
    }

    /// By how much an overrun by the longest non-preemptible section D delays its next
    /// budget: a sporadic server owes it, to the budget that comes; an I/O server's
    /// replenishment moves by D/U.
    pub(super) fn overrun(&self, work: &KernelWork) -> u64 {
        match self.kind {
            ServerKind::Sporadic => 0,
            ServerKind::Io => self.used_up_by(work.section),
        }
    }

    /// What its activations in a period cost, each at this cost.
    pub(super) fn overhead(&self, activation: u64) -> u64 {
        activation.saturating_mul(u64::from(self.activations.max(1)))
    }

    /// C′: the budget, and the overhead of the activations in a period, each at this cost.
    pub(super) fn cost(&self, activation: u64) -> u64 {
        let overhead = self.overhead(activation);
        self.budget.as_nanos().saturating_add(overhead)
    }

    /// J + 2D, D the longest non-preemptible section: by D an overrun may delay an activation,
    /// and as much later it may be noticed; the next may be on time.
    pub(super) fn activation_jitter(&self, work: &KernelWork) -> u64 {
        let late = work.section.saturating_mul(2);
        self.jitter.as_nanos().saturating_add(late)
    }

    /// How often it becomes active at most in a window of this length: n·⌈(t + J + 2D)/T⌉.
    pub(super) fn activations_in(&self, window: u64, work: &KernelWork) -> u64 {
        window
            .saturating_add(self.activation_jitter(work))
            .div_ceil(self.period.as_nanos().max(1))
            .saturating_mul(u64::from(self.activations.max(1)))
    }

    /// The most that it runs in a window of this length that starts with its release, at its
    /// own place or where it `is_raised`.
    ///
    /// Sporadic: ⌈(t + J)/T⌉·C, and the overhead of its activations. I/O:
    /// min(t, C′ + U′(t − C′)) + U′·J, which is also above the demand with every shorter
    /// period it may inherit, since the capacity shrinks with the period; and U′·(R − C) more
    /// where it is raised, for what it is behind with at its own place. Either may have
    /// overrun by a non-preemptible section that is still to be taken from later budget.
    pub(super) fn interference(&self, window: u64, is_raised: bool, work: &KernelWork) -> u64 {
        let (budget, period) = (self.budget.as_nanos(), self.period.as_nanos());
        let valid = budget > 0 && budget <= period;
        let (true, Some(behind)) = (valid, self.behind(is_raised)) else {
            return u64::MAX;
        };
        let jitter = self.jitter.as_nanos();
        let regular = match self.kind {
            ServerKind::Sporadic => {
                let jobs = window.saturating_add(jitter).div_ceil(period);
                let overhead = match work.activation {
                    0 => 0,
                    each => self.activations_in(window, work).saturating_mul(each),
                };
                jobs.saturating_mul(budget).saturating_add(overhead)
            }
            ServerKind::Io => {
                let cost = self.cost(work.activation);
                let late = scale_up(jitter.saturating_add(behind), cost, period);
                let steady = scale_up(window.saturating_sub(cost), cost, period);
                window.min(cost).saturating_add(steady).saturating_add(late)
            }
        };
        regular.saturating_add(work.section)
    }

    /// What it may be late with; `None` where that has to be known and is not.
    pub(super) fn behind(&self, is_raised: bool) -> Option<u64> {
        match self.raised {
            Some(raised) if is_raised => raised.late.map(Duration::as_nanos),
            _ => Some(0),
        }
    }
}

/// When a server's budget has been delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerResponse {
    /// From a job's arrival (J before its latest release) to the delivery of the whole budget;
    /// `None` if it is unbounded.
    pub response: Option<Duration>,
    /// Whether the search was given up: the response then is by a closed form, and there may be
    /// a shorter one.
    pub gave_up: bool,
}

/// A thread, as the analysis sees it.
///
/// A job does not wait in its middle: what waits for something is released by the clock or by a
/// message as a job of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadModel {
    /// Worst-case execution time of a job.
    pub wcet: Duration,
    /// Least time between the arrivals of two jobs, above zero.
    pub period: Duration,
    /// Release jitter: how much later than it arrives a job may be released, in addition to
    /// that of its server.
    pub jitter: Duration,
    /// How often a job may wake its server, at least 1: at its release, and later at instants
    /// at which it does work that no bound is wanted for.
    pub wakes: u32,
}

impl ThreadModel {
    /// A thread without jitter that is released by the clock, or at once by a message.
    #[must_use]
    pub const fn periodic(wcet: Duration, period: Duration) -> Self {
        Self {
            wcet,
            period,
            jitter: Duration::ZERO,
            wakes: 1,
        }
    }
}

/// Which theorem gave a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The server is never without budget, as its threads never ask for more than that in one
    /// of its periods: their bound is that of its level.
    WithinBudget,
    /// The only thread of an I/O server, each job of which finds the budget whole.
    InStep,
    /// From the last instant at which the server had no work.
    BusyWindow,
    /// Davis and Burns, "Hierarchical fixed priority pre-emptive scheduling", RTSS 2005.
    DavisBurns,
    /// The supply bound function of Shin and Lee 2003.
    Supply,
    /// The closed form of the bound by the level or by the supply.
    ClosedForm,
}

/// The response time of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadResponse {
    /// From the arrival of a job to its completion, and which theorem says so; `None` if it is
    /// unbounded.
    pub response: Option<(Duration, Bound)>,
    /// Whether a search was given up: there may be a shorter bound.
    pub gave_up: bool,
}

impl ThreadResponse {
    /// From the arrival of a job to its completion.
    #[must_use]
    pub fn time(&self) -> Option<Duration> {
        self.response.map(|(time, _)| time)
    }

    /// Takes over what another search found, if that is shorter.
    pub(super) fn consider(&mut self, bound: Bound, found: Result<u64, Ending>) {
        match found.map(Duration::from_nanos) {
            Ok(time) if self.time().is_none_or(|best| time < best) => {
                self.response = Some((time, bound));
            }
            Ok(_) | Err(Ending::Unbounded) => {}
            Err(Ending::GaveUp) => self.gave_up = true,
        }
    }
}

/// A server with those that interfere with it.
#[derive(Clone, Copy, Debug)]
pub struct ServerContext<'a> {
    /// The servers of the core, highest priority first.
    pub servers: &'a [ServerModel],
    /// Which of them is meant.
    pub index: usize,
    /// Its response time, from [`server_responses`](super::server_responses).
    pub response: Option<Duration>,
    /// The platform's costs.
    pub costs: &'a CostTable,
}
