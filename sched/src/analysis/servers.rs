//! Response times of servers: when a server's budget has been delivered.
//!
//! A sporadic server interferes with lower priorities no more than a periodic task
//! (C, T) does; that is what its rules are for (Sprunt, Sha, Lehoczky 1989; Stanovich et
//! al. 2010). So servers are analysed as such tasks, whatever their threads do, waiting
//! included. An I/O server interferes by its demand bound (Danish, Li, West 2011).
use super::cost::{CostTable, KernelWork};
use super::level::Level;
use super::search::{Ending, Steps, scale_up, utilization};
use super::threads::{self, ThreadModel, ThreadResponse};
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
    /// How often it may become active in a period, for overheads; at least 1. See
    /// [`activations`](super::activations).
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

/// The worst-case response time of each server, highest priority first.
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
/// Where the search takes too many steps it is the closed form of Davis and Burns, "Response
/// time upper bounds for fixed priority real-time systems", RTSS 2008:
/// R = J + (B + C′ + Σ_hp (C′(1 − U′) + U′J + D)) / (1 − Σ_hp U′).
///
/// A server below an unbounded one is unbounded too.
#[must_use]
pub fn server_responses<'a>(
    servers: &'a [ServerModel],
    costs: &'a CostTable,
) -> ServerResponses<'a> {
    ServerResponses {
        level: Level::top(servers, costs),
        last: None,
        steps: Steps::for_servers(servers.len()),
    }
}

/// The response time of one server, with `own` in place of the one at `index`: without those
/// of all servers above.
#[must_use]
pub fn server_response(
    servers: &[ServerModel],
    index: usize,
    own: &ServerModel,
    costs: &CostTable,
) -> ServerResponse {
    let mut steps = Steps::for_servers(servers.len());
    server_response_in(servers, index, own, costs, &mut steps)
}

/// The same, in so many steps at most.
#[must_use]
pub fn server_response_in(
    servers: &[ServerModel],
    index: usize,
    own: &ServerModel,
    costs: &CostTable,
    steps: &mut Steps,
) -> ServerResponse {
    response(own, &mut Level::of(servers, index, own, costs), steps)
}

/// Notes how late each raised server may be at its own place, from the lowest priority up: a
/// server may be held up above its place by those below it that are raised past it.
///
/// One that may be late by more than its period is noted as not known: it would make up for
/// more than a budget.
pub fn note_raised(servers: &mut [ServerModel], costs: &CostTable) {
    for index in (0..servers.len()).rev() {
        let own = servers[index];
        if own.raised.is_none() {
            continue;
        }
        let response = server_response(servers, index, &own, costs).response;
        let in_time = response.filter(|response| *response <= own.period);
        if let Some(raised) = &mut servers[index].raised {
            raised.late = in_time.map(|response| response.saturating_sub(own.budget));
        }
    }
}

/// Iterator over response times; see [`server_responses`].
#[derive(Clone, Debug)]
pub struct ServerResponses<'a> {
    /// Where the server is whose response comes next.
    level: Level<'a>,
    /// Where the last one is, and its response.
    last: Option<(Level<'a>, ServerResponse)>,
    steps: Steps,
}

impl ServerResponses<'_> {
    /// Responses of the threads of the server that came last, in order of precedence: see
    /// [`thread_responses`](super::thread_responses).
    pub fn thread_responses(&mut self, threads: &[ThreadModel], results: &mut [ThreadResponse]) {
        results.fill(ThreadResponse::default());
        if let Some((level, response)) = &self.last {
            threads::respond(level, response.response, threads, results, &mut self.steps);
        }
    }
}

impl Iterator for ServerResponses<'_> {
    type Item = ServerResponse;

    fn next(&mut self) -> Option<Self::Item> {
        let response = response(self.level.own()?, &mut self.level, &mut self.steps);
        self.last = Some((self.level.clone(), response));
        self.level.descend();
        Some(response)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.level.left();
        (left, Some(left))
    }
}

impl ExactSizeIterator for ServerResponses<'_> {}

/// The response time of `own` at a level.
fn response(own: &ServerModel, level: &mut Level<'_>, steps: &mut Steps) -> ServerResponse {
    if level.is_overloaded(own) {
        return ServerResponse::default();
    }
    let (time, gave_up) = match searched(own, level, steps) {
        Ok(time) => (Some(time), false),
        Err(Ending::Unbounded) => (None, false),
        Err(Ending::GaveUp) => {
            let done = level.done_by(level.cost(own));
            (
                done.map(|done| done.saturating_add(own.jitter.as_nanos())),
                true,
            )
        }
    };
    ServerResponse {
        response: time.map(Duration::from_nanos),
        gave_up,
    }
}

fn searched(own: &ServerModel, level: &mut Level<'_>, steps: &mut Steps) -> Result<u64, Ending> {
    steps.begin();
    let cost = level.cost(own);
    let period = own.period.as_nanos();
    let jitter = own.jitter.as_nanos();
    let (mut worst, mut arrival, mut demand) = (0, 0_u64, cost);
    loop {
        // The completion counts from the first release, J after the first arrival.
        let end = level.end_of(demand, steps)?;
        let done = end.saturating_add(jitter);
        worst = worst.max(done - arrival);
        arrival = arrival.checked_add(period).ok_or(Ending::Unbounded)?;
        if done <= arrival {
            level.window_ends(end);
            return Ok(worst);
        }
        let is_first = arrival == period;
        let asked = utilization(cost, period);
        if is_first && !level.window_may_end(asked, period, jitter, steps.left()) {
            return Err(Ending::GaveUp);
        }
        demand = demand.saturating_add(cost);
    }
}
