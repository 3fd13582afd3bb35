//! The verdict on a run's jobs and repairs: which took longer than was promised before it began,
//! and which of the promises do not count here. `tern summary`, the page, `conformance`,
//! `explain` and `cargo xtask run` all say the same because they ask here.
use serde::Serialize;
use tern_trace::{Origin, RepairPromise, RepairResult, VoteOutcome};

use super::{Repair, SandboxSummary, ThreadSummary};
use crate::names::{outcome_name, result_name};
use crate::read::SoundTrace;
use crate::table::span;

/// A job, a thread's worst of several, or a repair that took longer than its bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exceeded {
    /// Its sandbox.
    pub sandbox: String,
    /// The thread, or the replica set that was repaired.
    pub name: String,
    /// Which of the thread's jobs; `None` of a repair.
    pub job: Option<u32>,
    /// How many there are of the thread.
    pub count: u64,
    /// How long it took, as far as is known.
    pub response_ns: u64,
    /// How long it may take.
    pub bound_ns: u64,
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sandbox, name) = (&self.sandbox, &self.name);
        let [response, bound] = [self.response_ns, self.bound_ns].map(span);
        match self.job {
            Some(job) => write!(
                out,
                "{sandbox} {name} job {job} took {response}, its bound is {bound}"
            )?,
            None => write!(
                out,
                "the repair of {name} in {sandbox} took {response}, its bound is {bound}"
            )?,
        }
        match self.count {
            0 | 1 => Ok(()),
            count => write!(out, " ({count} such jobs)"),
        }
    }
}

/// What took longer than was promised, and what is not judged.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    pub(super) exceeded: Vec<Exceeded>,
    pub(super) not_judged: Vec<String>,
}

impl Bounds {
    /// Holds jobs and repairs against the promises that the trace carries.
    pub(super) fn of(
        trace: &SoundTrace<'_>,
        sandboxes: &[SandboxSummary],
        repairs: &[Repair],
    ) -> Self {
        let mut found = Self::default();
        if let Some(reason) = uncounted(trace) {
            found.not_judged.push(format!("bounds: {reason}"));
            return found;
        }
        for (number, sandbox) in sandboxes.iter().enumerate() {
            found.sandbox(trace, number, sandbox);
        }
        found.repairs(trace, repairs);
        found
    }

    fn sandbox(&mut self, trace: &SoundTrace<'_>, number: usize, sandbox: &SandboxSummary) {
        let names = &trace.layout().cores[number];
        let mut drivers = sandbox.threads.iter().filter(|thread| thread.too_close > 0);
        if let Some(driver) = drivers.next() {
            self.not_judged.push(format!(
                "bounds in sandbox {}: {} was woken sooner than its period promises",
                sandbox.sandbox, driver.thread
            ));
            return;
        }
        for server in &names.servers {
            let threads = server.threads.clone();
            let explicit = |number: usize| !names.threads[number].explicit_releases.is_empty();
            if let Some(number) = threads.clone().find(|number| explicit(*number)) {
                self.not_judged.push(format!(
                    "bounds in server {} of sandbox {}: the jobs of {} come at times of their own",
                    server.name, sandbox.sandbox, names.threads[number].name
                ));
                continue;
            }
            let threads = sandbox.threads.get(threads).into_iter().flatten();
            self.exceeded
                .extend(threads.filter_map(|thread| worst(&sandbox.sandbox, thread)));
        }
    }

    /// Repairs are judged where the bound is one on them: ballots differed, in no more pages, and
    /// no other repair of the set was too near.
    fn repairs(&mut self, trace: &SoundTrace<'_>, repairs: &[Repair]) {
        let (Some(system), Some(promises)) =
            (&trace.layout().system, trace.trace().promises.as_ref())
        else {
            return;
        };
        for (set, promise) in system.replica_sets.iter().zip(&promises.repairs) {
            let own = repairs.iter().filter(|repair| repair.set == set.name);
            let mut last = None;
            for repair in own {
                let period = set.period.max(1);
                let begun = repair.started_ns.max(0).unsigned_abs() / period;
                let apart = u64::from(promise.epochs_apart);
                let is_soon = last.is_some_and(|last: u64| begun < last.saturating_add(apart));
                let end = repair.ended_ns.unwrap_or(i64::MAX).max(0).unsigned_abs();
                last = Some(end / period);
                let verdict = begun * period + set.verdict_deadline;
                let took = end.saturating_sub(verdict);
                if let Some(bound) = bound_of(repair, promise)
                    && !is_soon
                    && took > bound
                {
                    self.exceeded.push(Exceeded {
                        sandbox: repair.sandbox.clone(),
                        name: set.name.clone(),
                        job: None,
                        count: 1,
                        response_ns: took,
                        bound_ns: bound,
                    });
                }
            }
        }
    }
}

/// Why no bound in this trace is one on what was measured.
fn uncounted(trace: &SoundTrace<'_>) -> Option<String> {
    let Some(promises) = &trace.trace().promises else {
        return Some("the trace carries none".to_string());
    };
    match (trace.trace().origin, &promises.platform) {
        (Origin::Simulator, _) | (Origin::Machine, Some(_)) => None,
        (Origin::Machine, None) => {
            Some("they are without costs, which a machine's kernel has".to_string())
        }
    }
}

/// The bound on a repair that came to its end.
fn bound_of(repair: &Repair, promise: &RepairPromise) -> Option<u64> {
    let by_ballots = repair.detected_by == Some(outcome_name(VoteOutcome::Minority));
    if repair.result != result_name(RepairResult::Done) || !by_ballots {
        return None;
    }
    let bound = match repair.differing <= u64::from(promise.pages) {
        true => promise.bound,
        false => promise.bound_for_all,
    };
    bound.map(|bound| bound.as_nanos())
}

/// The longest of a thread's jobs above its bound.
fn worst(sandbox: &str, thread: &ThreadSummary) -> Option<Exceeded> {
    let (bound_ns, (job, response)) = (thread.bound_ns?, thread.longest_above?);
    Some(Exceeded {
        sandbox: sandbox.to_string(),
        name: thread.thread.clone(),
        job: Some(job),
        count: thread.above_bound,
        response_ns: response.unsigned_abs(),
        bound_ns,
    })
}
