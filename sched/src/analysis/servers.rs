//! Response times of servers: when a server's budget has been delivered.
//!
//! A sporadic server interferes with lower priorities no more than a periodic task
//! (C, T) does; that is what its rules are for (Sprunt, Sha, Lehoczky 1989; Stanovich et
//! al. 2010). So servers are analysed as such tasks, whatever their threads do, waiting
//! included. An I/O server interferes by its demand bound (Danish, Li, West 2011).
use super::cost::CostTable;
use super::level::Level;
use super::model::{ServerModel, ServerResponse, ThreadModel, ThreadResponse};
use super::search::{Ending, Steps, utilization};
use super::threads;
use tern_units::Duration;

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
