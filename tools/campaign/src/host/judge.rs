//! A run against what the analysis said of its system.
use super::met::Met;
use std::collections::BTreeMap;
use tern_check::Report;
use tern_config::{Runs, System};
use tern_sim::{JobHistory, ServerHistory};
use tern_units::{Duration, Instant};

/// A run: what is held against the bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub jobs: &'a [JobHistory],
    pub servers: &'a [ServerHistory],
    pub until: Instant,
    /// Servers of which nothing is promised in this run, by sandbox and place: their jobs
    /// overrun.
    pub unpromised: &'a [(usize, usize)],
    /// Whether devices keep to the periods of their drivers.
    pub keeps_periods: bool,
    /// Whether the analysis accepts the system.
    pub is_accepted: bool,
}

/// The worst response found of each thread, by sandbox, server and place there.
pub(super) type Worst = BTreeMap<(usize, usize, usize), Duration>;

/// Judges a run; returns what broke a promise, a line each.
pub(super) fn judge(
    system: &System,
    report: &Report,
    run: &Run<'_>,
    worst: &mut Worst,
    met: &mut Met,
) -> Vec<String> {
    let mut broken = Vec::new();
    // Of each thread, the job that is furthest from what was promised. Times are written to the
    // nanosecond, as that may be all that they differ by.
    let mut exceeded: BTreeMap<_, (Duration, String)> = BTreeMap::new();
    let mut late: BTreeMap<_, String> = BTreeMap::new();
    let mut held = 0;
    for job in run.jobs {
        let place = (job.sandbox, job.server);
        if is_unpromised(system, run, place) {
            continue;
        }
        let server = &report.sandboxes[job.sandbox].servers[job.server];
        // Its threads' bounds rely on its room.
        if !server.has_room {
            continue;
        }
        let thread = &server.threads[job.thread];
        let took = job.finish.unwrap_or(run.until);
        let took = took.saturating_since(job.release);
        let name = || {
            let sandbox = &report.sandboxes[job.sandbox].name;
            format!("{sandbox}/{}/{}", server.name, thread.name)
        };
        if run.is_accepted && job.missed(run.until) {
            let place = (job.sandbox, job.server, job.thread);
            late.entry(place).or_insert(format!(
                "{}: accepted, and the job that came at {:?} missed its deadline, {:?}",
                name(),
                job.release.saturating_since(Instant::EPOCH),
                thread.deadline
            ));
        }
        let Some(bound) = thread.response else {
            continue;
        };
        held += 1;
        let place = (job.sandbox, job.server, job.thread);
        let found = worst.entry(place).or_default();
        *found = took.max(*found);
        met.nearest = met
            .nearest
            .max(took.as_nanos() * 100 / bound.as_nanos().max(1));
        if took > bound {
            let line = format!(
                "{}: the job that came at {:?} took {took:?}, its bound is {bound:?}, {:?}",
                name(),
                job.release.saturating_since(Instant::EPOCH),
                thread.bound
            );
            let known = exceeded.entry(place).or_default();
            if took > known.0 {
                *known = (took, line);
            }
        }
    }
    broken.extend(exceeded.into_values().map(|(_, line)| line));
    broken.extend(late.into_values());
    met.jobs += held;
    if !run.unpromised.is_empty() {
        met.beside_overruns += held;
    }
    for history in run.servers {
        broken.extend(delivery(system, report, run, history, met));
    }
    broken
}

/// How often a device wakes its driver is an assumption of the bounds beside it.
fn is_unpromised(system: &System, run: &Run<'_>, place: (usize, usize)) -> bool {
    let server = &system.sandboxes[place.0].servers[place.1];
    let drives = || {
        let mut threads = server.threads.iter();
        threads.any(|thread| matches!(thread.runs, Runs::Driver(_)))
    };
    run.unpromised.contains(&place) || (!run.keeps_periods && drives())
}

/// Holds the budgets of a server without threads, which asks for all of each, against the bound
/// on their delivery: number k is delivered when k + 1 budgets have been used.
fn delivery(
    system: &System,
    report: &Report,
    run: &Run<'_>,
    history: &ServerHistory,
    met: &mut Met,
) -> Option<String> {
    let server = &system.sandboxes[history.sandbox].servers[history.server];
    let promised = &report.sandboxes[history.sandbox].servers[history.server];
    let bound = promised.response.filter(|_| server.threads.is_empty())?;
    if run.unpromised.contains(&(history.sandbox, history.server)) {
        return None;
    }
    let (mut used, mut budget) = (0, 0);
    let late = |budget: u64, at: Instant| {
        let due = (budget * server.period).saturating_add(bound.as_nanos());
        (at.as_nanos() > due).then(|| {
            let (sandbox, name) = (&report.sandboxes[history.sandbox].name, &server.name);
            let due = Duration::from_nanos(due);
            format!(
                "{sandbox}/{name}: budget {budget} not delivered by {due:?}, its bound is {bound:?}"
            )
        })
    };
    for (from, to) in &history.runs {
        used += to.as_nanos() - from.as_nanos();
        while used >= (budget + 1) * server.budget {
            let beyond = used - (budget + 1) * server.budget;
            let at = Instant::from_nanos(to.as_nanos() - beyond);
            met.budgets += 1;
            if let Some(late) = late(budget, at) {
                return Some(late);
            }
            budget += 1;
        }
    }
    late(budget, run.until)
}
