//! Response times of servers: when a server's budget has been delivered.
//!
//! A sporadic server interferes with lower priorities no more than a periodic task
//! (C, T) does; that is what its rules are for (Sprunt, Sha, Lehoczky 1989; Stanovich et
//! al. 2010). So servers are analysed as such tasks, whatever their threads do, waiting
//! included. An I/O server interferes by its demand bound (Danish, Li, West 2011).
use super::level::Level;
use super::{CostTable, Steps, scale_up};
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
    /// How often it may become active in a period, for overheads: the number of jobs
    /// that its threads release in one, and one more, for budget that returns; at least 1.
    ///
    /// 1 is enough for a sporadic server with one thread that is released by the clock at
    /// o + kP, with P a multiple of T, waits for nothing else, and is the server's only one.
    /// Its budget is activated at releases, or returns T after an activation (rules 3 and 4):
    /// so at o + jT only, whether its jobs keep to the budget or not, but for the time
    /// of an overrun, which is taken from the next budget and delays its activation.
    pub activations: u32,
    /// For an I/O server: the position, in order of priority, of the most urgent server
    /// whose threads request its work. It interferes from there on down.
    pub raised_to: Option<usize>,
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
            raised_to: None,
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

    /// C′: the budget, and the overhead of the activations in a period, each at this cost.
    pub(super) fn cost(&self, activation: u64) -> u64 {
        let overhead = activation.saturating_mul(u64::from(self.activations.max(1)));
        self.budget.as_nanos().saturating_add(overhead)
    }

    /// How often it becomes active at most in a window of this length: n·⌈(t + J + 2D)/T⌉,
    /// with D the longest non-preemptible section: by so much an overrun may delay an
    /// activation, and as much later it may be noticed; the next may be on time.
    pub(super) fn activations_in(&self, window: u64, costs: &CostTable) -> u64 {
        window
            .saturating_add(self.jitter.as_nanos())
            .saturating_add(costs.longest_non_preemptible.as_nanos().saturating_mul(2))
            .div_ceil(self.period.as_nanos().max(1))
            .saturating_mul(u64::from(self.activations.max(1)))
    }

    /// The most that it runs in a window of this length that starts with its release.
    ///
    /// Sporadic: ⌈(t + J)/T⌉·C, and the overhead of its activations. I/O:
    /// min(t, C′ + U′(t − C′)) + U′·J, which is also above the demand with every shorter
    /// period it may inherit, since the capacity shrinks with the period. Either may have
    /// overrun by a non-preemptible section that is still to be taken from later budget.
    pub(super) fn interference(&self, window: u64, costs: &CostTable) -> u64 {
        if !self.is_valid() {
            return u64::MAX;
        }
        let activation = costs.activation().as_nanos();
        let (cost, period) = (self.cost(activation), self.period.as_nanos());
        let regular = match self.kind {
            ServerKind::Sporadic => window
                .saturating_add(self.jitter.as_nanos())
                .div_ceil(period)
                .saturating_mul(self.budget.as_nanos())
                .saturating_add(
                    self.activations_in(window, costs)
                        .saturating_mul(activation),
                ),
            ServerKind::Io => {
                let late = scale_up(self.jitter.as_nanos(), cost, period);
                let steady = scale_up(window.saturating_sub(cost), cost, period);
                window.min(cost).saturating_add(steady).saturating_add(late)
            }
        };
        regular.saturating_add(costs.longest_non_preemptible.as_nanos())
    }
}

/// The worst-case response time of each server, highest priority first: from a job's
/// arrival (J before its latest release) to the delivery of its whole budget.
///
/// R = J + max over the jobs q = 0, 1, … of a busy window of w(q) − qT, with w(q) the
/// least solution of w = B + (q+1)C′ + Σ_hp I(w), I(w) = ⌈(w + J)/T⌉·C + D and overheads, D
/// an overrun; the window ends with the first job that is done before the next arrives.
/// Theorem of Lehoczky, "Fixed priority scheduling of periodic task sets with arbitrary
/// deadlines", RTSS 1990, section 4;
/// with jitter and blocking as in Tindell, Burns, Wellings, "An extendible approach for
/// analyzing fixed priority hard real-time tasks", 1994. Where R ≤ T it is the equation
/// of Joseph and Pandya 1986 and Audsley et al. 1993, equation 4.
///
/// `None`: unbounded. A server below an unbounded one is unbounded too.
#[must_use]
pub fn server_responses<'a>(
    servers: &'a [ServerModel],
    costs: &'a CostTable,
) -> ServerResponses<'a> {
    ServerResponses {
        level: Level::top(servers, costs),
    }
}

/// The same of one server, with `own` in place of the one at `index`: without the
/// responses of all servers above.
#[must_use]
pub fn server_response(
    servers: &[ServerModel],
    index: usize,
    own: &ServerModel,
    costs: &CostTable,
) -> Option<Duration> {
    response(own, &mut Level::of(servers, index, own, costs))
}

/// Iterator over response times; see [`server_responses`].
#[derive(Clone, Debug)]
pub struct ServerResponses<'a> {
    level: Level<'a>,
}

impl Iterator for ServerResponses<'_> {
    type Item = Option<Duration>;

    fn next(&mut self) -> Option<Self::Item> {
        let response = response(self.level.own()?, &mut self.level);
        self.level.descend();
        Some(response)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.level.left();
        (left, Some(left))
    }
}

impl ExactSizeIterator for ServerResponses<'_> {}

fn response(own: &ServerModel, level: &mut Level<'_>) -> Option<Duration> {
    if level.is_overloaded(own) {
        return None;
    }
    let cost = level.cost(own);
    let period = own.period.as_nanos();
    let jitter = own.jitter.as_nanos();
    let mut steps = Steps::new();
    let (mut worst, mut arrival, mut demand) = (0, 0_u64, cost);
    loop {
        // The completion counts from the first release, J after the first arrival.
        let done = level.end_of(demand, &mut steps)?.saturating_add(jitter);
        worst = worst.max(done - arrival);
        arrival = arrival.checked_add(period)?;
        if done <= arrival {
            return Some(Duration::from_nanos(worst));
        }
        demand = demand.saturating_add(cost);
    }
}
