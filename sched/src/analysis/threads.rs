//! Response times of threads inside a server.
//!
//! Two bounds, of which the tighter valid one is reported by name. Both treat the
//! threads of a server as tasks under fixed priorities, in order of precedence.
use super::level::{Level, interferers};
use super::{
    CostTable, HORIZON, MAX_STEPS, ServerModel, Steps, Supply, least_fixed_point, utilization,
};
use crate::ServerKind;
use tern_units::Duration;

/// A thread, as the analysis sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadModel {
    /// Worst-case execution time of a job.
    pub wcet: Duration,
    /// Least time between the arrivals of two jobs, above zero.
    pub period: Duration,
    /// Release jitter: how much later than it arrives a job may be released.
    pub jitter: Duration,
    /// The longest that a job waits, in all, for something other than the core: a
    /// verdict, a message on a channel.
    pub suspension: Duration,
}

impl ThreadModel {
    /// A thread without jitter and suspension.
    #[must_use]
    pub const fn periodic(wcet: Duration, period: Duration) -> Self {
        Self {
            wcet,
            period,
            jitter: Duration::ZERO,
            suspension: Duration::ZERO,
        }
    }
}

/// Which theorem gave a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bound {
    /// Davis and Burns, "Hierarchical fixed priority pre-emptive scheduling", RTSS 2005.
    DavisBurns,
    /// The supply bound function of Shin and Lee 2003.
    #[default]
    Supply,
}

/// The response time of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadResponse {
    /// From the arrival of a job to its completion; `None` if unbounded.
    pub response: Option<Duration>,
    /// Which theorem it is by.
    pub bound: Bound,
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

impl ServerContext<'_> {
    /// What the server supplies to its threads; `None` if it is unbounded or nothing is
    /// left of its budget.
    ///
    /// The kernel charges its own work to the server that was running. So every
    /// activation, of this server or one that preempts it, may take its overhead from
    /// this server's budget, and only the rest serves threads.
    #[must_use]
    pub fn supply(&self) -> Option<Supply> {
        let own = self.servers.get(self.index).filter(|own| own.is_valid())?;
        let each = self.costs.activation().as_nanos();
        let mut useful = own.budget;
        if each > 0 {
            let periods = own.period.saturating_add(own.jitter).as_nanos();
            let periods = periods.div_ceil(own.period.as_nanos());
            let all = interferers(self.servers, self.index).fold(
                periods.saturating_mul(u64::from(own.activations.max(1))),
                |sum: u64, server| {
                    let window = own.period.as_nanos();
                    sum.saturating_add(server.activations_in(window, self.costs))
                },
            );
            useful = useful.saturating_sub(Duration::from_nanos(each.saturating_mul(all)));
        }
        Some(Supply::new(useful, own.period)?.with_response(self.response?))
    }
}

/// The response time of each thread of a server, in order of precedence; `results` gets
/// as many entries as both slices have.
///
/// *Davis–Burns* (equations 9 to 11 of the paper, for unbound tasks): the load
/// L(w) = (q+1)e + Σ_hp ⌈(w + J)/T⌉e, with J increased by the server's longest absence
/// T_s − C_s, takes k + 1 = ⌈L/C_s⌉ periods of the server; the gaps of the first k count in
/// full, and interference of other servers only in the last:
/// w = L + k(T_s − C_s) + B_s + Σ_X I_X(max(0, w − kT_s)), R = w + (T_s − C_s) + J − qT.
/// Assumes that the server's response time is at most its period. With v = w − kT_s that is
/// v = (L − kC_s) + B_s + Σ_X I_X(v): the time from which on the server works at what is
/// left for the last period, searched for on its own and once for each amount.
///
/// *Supply*: w = sbf⁻¹(L(w)), R = w + J − qT. Assumes only that it is bounded.
///
/// A job that suspends itself counts its suspension S as execution. What it does to
/// threads of lower precedence is taken as the least of three bounds, all of them valid
/// (Chen et al., "Many suspensions, many problems", Real-Time Systems 2019): S as execution
/// there too; release jitter R − e (section 4.2.2: the form with jitter S is *wrong*);
/// or blocking min(e, S), once (section 4.2.3). The last two need R ≤ T. In an I/O server a
/// thread that suspends itself has no bound: each time the server may block, and then
/// it gives up what is left of its budget.
pub fn thread_responses(
    context: &ServerContext<'_>,
    threads: &[ThreadModel],
    results: &mut [ThreadResponse],
) {
    let count = threads.len().min(results.len());
    results[..count].fill(ThreadResponse::default());
    let (Some(supply), Some(server)) = (context.supply(), context.servers.get(context.index))
    else {
        return;
    };
    let mut level = Level::of(context.servers, context.index, server, context.costs);
    for index in 0..count {
        let (above, rest) = results.split_at_mut(index);
        let mut analysis = Analysis {
            server,
            in_time: context.response.is_some_and(|it| it <= server.period),
            overrun: context.costs.longest_non_preemptible.as_nanos(),
            supply,
            level: &mut level,
            threads,
            above,
        };
        let suspends = threads[..index]
            .iter()
            .any(|thread| !thread.suspension.is_zero());
        let forms: &[Suspension] = match suspends {
            false => &[Suspension::Execution],
            true => &[
                Suspension::Execution,
                Suspension::Jitter,
                Suspension::Blocking,
            ],
        };
        for form in forms {
            for bound in [Bound::DavisBurns, Bound::Supply] {
                let response = analysis.response(index, bound, *form);
                let best = &mut rest[0];
                let better = match (response, best.response) {
                    (Some(new), Some(old)) => new < old,
                    (new, _) => new.is_some(),
                };
                if better {
                    *best = ThreadResponse { response, bound };
                }
            }
        }
    }
}

/// How the suspension of threads of higher precedence is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspension {
    Execution,
    Jitter,
    Blocking,
}

struct Analysis<'a, 'b> {
    server: &'a ServerModel,
    /// Whether the server's response time is at most its period.
    in_time: bool,
    /// What the server may have taken of its next budget when the window begins, or a thread
    /// of lower precedence takes while it cannot be preempted: one section, as a debt is paid
    /// before the next is made.
    overrun: u64,
    supply: Supply,
    level: &'a mut Level<'b>,
    threads: &'a [ThreadModel],
    /// The results for the threads of higher precedence.
    above: &'a [ThreadResponse],
}

impl Analysis<'_, '_> {
    fn response(&mut self, index: usize, bound: Bound, form: Suspension) -> Option<Duration> {
        let own = &self.threads[index];
        let period = own.period.as_nanos();
        if period == 0 || (bound == Bound::DavisBurns && !self.in_time) {
            return None;
        }
        if self.server.kind == ServerKind::Io && !own.suspension.is_zero() {
            return None;
        }
        if form != Suspension::Execution && !self.suspensions_are_short(index) {
            return None;
        }
        let (capacity, _) = self.supply.capacity_and_gap();
        let offered = utilization(capacity, self.server.period.as_nanos());
        let asked = self.asked(index, form);
        if asked > offered {
            return None;
        }
        let late = own.jitter.saturating_add(self.absence(bound)).as_nanos();
        let each = own.wcet.saturating_add(own.suspension).as_nanos();
        let blocked = self.blocked_by_suspension(index, form);
        let mut demand = blocked.saturating_add(self.overrun).saturating_add(each);
        let mut steps = Steps::new();
        let (mut worst, mut arrival, mut end) = (0, 0_u64, demand);
        loop {
            end = self.finish(index, bound, form, end, demand, &mut steps)?;
            let done = end.checked_add(late).filter(|done| *done < HORIZON)?;
            worst = worst.max(done - arrival);
            arrival = arrival.checked_add(period)?;
            if done <= arrival {
                return Some(Duration::from_nanos(worst));
            }
            let first = arrival == period;
            if first && demand > 0 && !self.window_may_end(own, bound, offered, asked) {
                return None;
            }
            demand = demand.saturating_add(each);
        }
    }

    /// How long the server may be absent before the window begins.
    fn absence(&self, bound: Bound) -> Duration {
        let (_, gap) = self.supply.capacity_and_gap();
        match bound {
            Bound::DavisBurns => Duration::from_nanos(gap),
            Bound::Supply => Duration::ZERO,
        }
    }

    /// When this much of the thread's own work is done: the least solution of the
    /// equation for w at or above `start`.
    fn finish(
        &mut self,
        index: usize,
        bound: Bound,
        form: Suspension,
        start: u64,
        demand: u64,
        steps: &mut Steps,
    ) -> Option<u64> {
        let absence = self.absence(bound).as_nanos();
        let (capacity, _) = self.supply.capacity_and_gap();
        least_fixed_point(start, steps, |window, steps| {
            let load = demand.saturating_add(self.load(index, window, absence, form));
            Some(match bound {
                Bound::Supply => self.supply.time_for(Duration::from_nanos(load)).as_nanos(),
                Bound::DavisBurns => {
                    let whole = load.div_ceil(capacity).saturating_sub(1);
                    let last = self.level.end_of(load - whole * capacity, steps)?;
                    whole
                        .saturating_mul(self.server.period.as_nanos())
                        .saturating_add(last)
                }
            })
        })
    }

    /// Whether the window may be over within [`MAX_STEPS`] jobs, each of which takes a step
    /// at least: a necessary test, so that those that are not need no search.
    ///
    /// With U = C_s/T_s offered and u of it asked, the thread's own suspension included, both
    /// bounds give L/U + x at least, absence included: x is the gap for the supply
    /// bound, and B + Σ I(1) for that of Davis and Burns. L has n jobs of its own and at
    /// least the share of those above of that time. So n jobs are done within nT only if
    /// nT(U − u) ≥ xU.
    fn window_may_end(&self, own: &ThreadModel, bound: Bound, offered: u128, asked: u128) -> bool {
        let waiting = utilization(own.suspension.as_nanos(), own.period.as_nanos());
        let Some(spare) = offered.checked_sub(asked.saturating_add(waiting)) else {
            return false;
        };
        let behind = match bound {
            Bound::DavisBurns => self.level.held_up(1),
            Bound::Supply => self.supply.capacity_and_gap().1,
        };
        // The shares are rounded down: what is spare may be one unit more.
        let gained = (spare + 1)
            .saturating_mul(u128::from(own.period.as_nanos()))
            .saturating_mul(u128::from(MAX_STEPS));
        u128::from(behind) * offered <= gained
    }

    /// What threads of higher precedence ask of the server in a window of this length.
    fn load(&self, index: usize, window: u64, absence: u64, form: Suspension) -> u64 {
        self.threads[..index]
            .iter()
            .zip(self.above)
            .fold(0, |sum, (thread, result)| {
                let mut jitter = thread.jitter.as_nanos();
                let mut each = thread.wcet.as_nanos();
                if !thread.suspension.is_zero() {
                    match (form, result.response) {
                        (Suspension::Execution, _) => {
                            each = each.saturating_add(thread.suspension.as_nanos());
                        }
                        (Suspension::Jitter, Some(response)) => {
                            jitter = response.saturating_sub(thread.wcet).as_nanos();
                        }
                        (Suspension::Jitter, None) => return u64::MAX,
                        (Suspension::Blocking, _) => {}
                    }
                }
                let jobs = window
                    .saturating_add(jitter)
                    .saturating_add(absence)
                    .div_ceil(thread.period.as_nanos().max(1));
                sum.saturating_add(jobs.saturating_mul(each))
            })
    }

    /// The share of the core that a thread and those above it ask for, its own suspension
    /// left out.
    fn asked(&self, index: usize, form: Suspension) -> u128 {
        let share = |(position, thread): (usize, &ThreadModel)| {
            let mut each = thread.wcet;
            if form == Suspension::Execution && position < index {
                each = each.saturating_add(thread.suspension);
            }
            utilization(each.as_nanos(), thread.period.as_nanos())
        };
        let threads = self.threads[..=index].iter().enumerate();
        threads.map(share).fold(0, u128::saturating_add)
    }

    fn blocked_by_suspension(&self, index: usize, form: Suspension) -> u64 {
        match form {
            Suspension::Blocking => self.threads[..index]
                .iter()
                .map(|thread| thread.wcet.min(thread.suspension).as_nanos())
                .fold(0, u64::saturating_add),
            Suspension::Execution | Suspension::Jitter => 0,
        }
    }

    /// Whether every thread above that suspends itself is done before its next arrival.
    fn suspensions_are_short(&self, index: usize) -> bool {
        self.threads[..index]
            .iter()
            .zip(self.above)
            .all(|(thread, result)| {
                thread.suspension.is_zero()
                    || result
                        .response
                        .is_some_and(|response| response <= thread.period)
            })
    }
}
