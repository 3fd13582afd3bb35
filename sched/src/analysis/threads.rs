//! Response times of threads inside a server: the least of the bounds that hold, by name.
//!
//! All treat the threads of a server as tasks under fixed priorities, in order of precedence.
use super::absence::Absence;
use super::busy::Busy;
use super::demand::Demand;
use super::in_step::in_step;
use super::level::Level;
use super::model::{Bound, ServerContext, ServerModel, ThreadModel, ThreadResponse};
use super::search::{Ending, Steps};
use super::supply::Supply;
use super::within_budget;
use crate::ServerKind;
use tern_units::Duration;

impl<'a> ServerContext<'a> {
    fn level(&self) -> Option<Level<'a>> {
        let own = self.servers.get(self.index)?;
        Some(Level::of(self.servers, self.index, own, self.costs))
    }

    /// What the server supplies to its threads; `None` if it is unbounded or nothing is
    /// left of its budget.
    ///
    /// The kernel charges its own work to the server that was running. So every
    /// activation, of this server or one that preempts it, may take its overhead from
    /// this server's budget, and only the rest serves threads.
    ///
    /// After an overrun an I/O server goes on with the same share of the core, but not in step
    /// with its periods: so it may be late by a gap.
    #[must_use]
    pub fn supply(&self) -> Option<Supply> {
        let level = self.level()?;
        let own = level.own()?;
        let supply = supply(own, &level, self.response?)?;
        let (_, gap) = supply.capacity_and_gap();
        let overruns = own.kind == ServerKind::Io && !self.costs.longest_non_preemptible.is_zero();
        let late = if overruns { gap } else { 0 };
        Some(supply.late_by(Duration::from_nanos(late)))
    }
}

/// What a server with this response time supplies to its threads.
fn supply(own: &ServerModel, level: &Level<'_>, response: Duration) -> Option<Supply> {
    let activation = level.kernel_work().activation;
    let period = own.period.as_nanos();
    let overrun = own.overrun(level.kernel_work());
    let window = period.saturating_add(overrun);
    let periods = window
        .saturating_add(own.jitter.as_nanos())
        .div_ceil(period);
    let of_own = own.overhead(activation).saturating_mul(periods);
    let (of_others, _) = level
        .interrupted(window, &mut Steps::for_a_question())
        .ok()?;
    let taken = Duration::from_nanos(of_own.saturating_add(of_others));

    // Its threads are late by their own and its jitter: here only what it is late from there.
    let delivered = response.saturating_sub(own.jitter);
    let late = delivered.saturating_sub(own.period);
    let supply = Supply::new(own.budget.saturating_sub(taken), own.period)?;
    Some(supply.late_by(late.saturating_add(Duration::from_nanos(overrun))))
}

/// The response time of each thread of a server, in order of precedence; `results` gets
/// as many entries as both slices have.
///
/// Where the server is never without budget (see [`Bound::WithinBudget`]) it is that of the
/// level, and else the least of those of a busy window of the server, of Davis and Burns, and
/// by the supply; where none of these is found in time, it is by a closed form.
pub fn thread_responses(
    context: &ServerContext<'_>,
    threads: &[ThreadModel],
    results: &mut [ThreadResponse],
) {
    let count = threads.len().min(results.len());
    results[..count].fill(ThreadResponse::default());
    let mut steps = Steps::for_servers(context.servers.len());
    if let Some(level) = context.level() {
        respond(&level, context.response, threads, results, &mut steps);
    }
}

/// The response times of the threads of the server at a place.
pub(super) fn respond(
    level: &Level<'_>,
    response: Option<Duration>,
    threads: &[ThreadModel],
    results: &mut [ThreadResponse],
    steps: &mut Steps,
) {
    let Some(mut analysis) = Analysis::of(level, response, threads, steps) else {
        return;
    };
    let count = threads.len().min(results.len());
    for (index, result) in results[..count].iter_mut().enumerate() {
        *result = analysis.response(index, steps);
    }
}

/// The response time of one thread of a server, in so many steps at most.
#[must_use]
pub fn thread_response(
    context: &ServerContext<'_>,
    threads: &[ThreadModel],
    index: usize,
    steps: &mut Steps,
) -> ThreadResponse {
    let level = context.level();
    let analysis = level.and_then(|level| Analysis::of(&level, context.response, threads, steps));
    match analysis {
        Some(mut analysis) if index < threads.len() => analysis.response(index, steps),
        _ => ThreadResponse::default(),
    }
}

struct Analysis<'a> {
    demand: Demand<'a>,
    level: Level<'a>,
    /// From a release of the server to the delivery of its budget.
    delivered: Option<u64>,
    supply: Option<Supply>,
    is_within_budget: bool,
}

impl<'a> Analysis<'a> {
    /// `None` where there is no server, or none that can run.
    fn of(
        level: &Level<'a>,
        response: Option<Duration>,
        threads: &'a [ThreadModel],
        steps: &mut Steps,
    ) -> Option<Self> {
        let own = level.own().filter(|own| own.is_valid())?;
        let demand = Demand::new(own, threads, level.kernel_work());
        let mut level = level.clone();
        steps.begin();
        let is_within_budget = demand.is_within_budget(&mut level, steps);
        let supply = response.and_then(|it| supply(own, &level, it));
        let delivered = response.map(|it| it.saturating_sub(own.jitter).as_nanos());
        Some(Self {
            demand,
            level,
            delivered,
            supply,
            is_within_budget,
        })
    }

    fn response(&mut self, index: usize, steps: &mut Steps) -> ThreadResponse {
        let mut best = ThreadResponse::default();
        let Self { demand, level, .. } = self;
        if demand.threads[index].period.is_zero() {
            return best;
        }
        if self.is_within_budget {
            best.consider(
                Bound::WithinBudget,
                within_budget::response(demand, level, index, steps),
            );
            if best.gave_up {
                let closed = within_budget::closed_form(demand, level, index);
                best.consider(Bound::ClosedForm, closed);
            }
            return best;
        }

        if demand.server.kind == ServerKind::Io && demand.threads.len() == 1 {
            best.consider(Bound::InStep, in_step(demand, level, steps));
        }
        let Some(delivered) = self.delivered else {
            return best;
        };
        let mut closed = [Err(Ending::Unbounded); 2];
        if let Some(supply) = self.supply {
            let mut absence = Absence::new(demand, level, supply, index, steps);
            if delivered <= demand.server.period.as_nanos() {
                best.consider(Bound::DavisBurns, absence.davis_burns());
            }
            best.consider(Bound::Supply, absence.by_supply());
            closed[0] = absence.closed_form();
        }
        if demand.server.kind == ServerKind::Sporadic {
            let known = best.time().map_or(u64::MAX, Duration::as_nanos);
            let mut busy = Busy::new(demand, level, delivered, index, steps);
            best.consider(Bound::BusyWindow, busy.response(known));
            closed[1] = busy.closed_form();
        }
        if best.gave_up {
            for closed in closed {
                best.consider(Bound::ClosedForm, closed);
            }
        }
        best
    }
}
