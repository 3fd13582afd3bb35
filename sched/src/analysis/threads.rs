//! Response times of threads inside a server.
//!
//! Two bounds, of which the tighter valid one is reported by name. Both treat the
//! threads of a server as tasks under fixed priorities, in order of precedence.
use super::{
    CostTable, HORIZON, ServerModel, Steps, Supply, least_fixed_point, servers, utilization,
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
            let activations = |server: &ServerModel| {
                let window = own.period.saturating_add(server.jitter).as_nanos();
                let periods = window.div_ceil(server.period.as_nanos().max(1));
                periods.saturating_mul(u64::from(server.activations.max(1)))
            };
            let all = servers::interferers(self.servers, self.index)
                .fold(activations(own), |sum: u64, server| {
                    sum.saturating_add(activations(server))
                });
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
/// Assumes that the server's response time is at most its period.
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
    let supply = context.supply();
    let count = threads.len().min(results.len());
    for index in 0..count {
        results[index] = ThreadResponse::default();
        let (above, rest) = results.split_at_mut(index);
        let Some(supply) = supply else { continue };
        let analysis = Analysis {
            context,
            supply,
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

struct Analysis<'a> {
    context: &'a ServerContext<'a>,
    supply: Supply,
    threads: &'a [ThreadModel],
    /// The results for the threads of higher precedence.
    above: &'a [ThreadResponse],
}

impl Analysis<'_> {
    fn response(&self, index: usize, bound: Bound, form: Suspension) -> Option<Duration> {
        let own = &self.threads[index];
        let server = self.context.servers.get(self.context.index)?;
        let server_period = server.period.as_nanos();
        let period = own.period.as_nanos();
        if period == 0 || (bound == Bound::DavisBurns && self.context.response? > server.period) {
            return None;
        }
        if server.kind == ServerKind::Io && !own.suspension.is_zero() {
            return None;
        }
        if form != Suspension::Execution && !self.suspensions_are_short(index) {
            return None;
        }
        let (capacity, gap) = self.supply.capacity_and_gap();
        let offered = utilization(capacity, server_period);
        let asked = self.asked(index, form);
        let waiting = utilization(own.suspension.as_nanos(), period);
        if asked > offered {
            return None;
        }
        let absence = match bound {
            Bound::DavisBurns => gap,
            Bound::Supply => 0,
        };
        let blocking =
            servers::blocking(self.context.servers, self.context.index, self.context.costs);
        let activation = self.context.costs.activation().as_nanos();
        let each = own.wcet.saturating_add(own.suspension).as_nanos();
        let once = self.blocked_by_suspension(index, form);

        let mut steps = Steps::new();
        let mut finish = |start: u64, demand: u64| {
            least_fixed_point(start, &mut steps, |window| {
                let load = demand.saturating_add(self.load(index, window, absence, form));
                match bound {
                    Bound::Supply => self.supply.time_for(Duration::from_nanos(load)).as_nanos(),
                    Bound::DavisBurns => {
                        let whole = load.div_ceil(capacity).saturating_sub(1);
                        let last = window.saturating_sub(whole.saturating_mul(server_period));
                        let interference = servers::interference(
                            self.context.servers,
                            self.context.index,
                            last,
                            activation,
                        );
                        load.saturating_add(whole.saturating_mul(gap))
                            .saturating_add(blocking)
                            .saturating_add(interference)
                    }
                }
            })
        };
        let late = own.jitter.as_nanos().saturating_add(absence);
        let mut demand = once.saturating_add(each);
        let (mut worst, mut arrival, mut start) = (0, 0_u64, demand);
        loop {
            start = finish(start, demand)?;
            let done = start.checked_add(late).filter(|done| *done < HORIZON)?;
            worst = worst.max(done - arrival);
            arrival = arrival.checked_add(period)?;
            if done <= arrival {
                return Some(Duration::from_nanos(worst));
            }
            if asked.saturating_add(waiting) > offered {
                return None;
            }
            demand = demand.saturating_add(each);
        }
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
