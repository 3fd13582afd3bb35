//! Threads on several cores that wait for one another: replicas for the verdict, the
//! voter for the ballots, repair for both.
//!
//! Tindell and Clark, "Holistic schedulability analysis for distributed hard real-time
//! systems", 1994: what a thread waits for becomes its release jitter;
//! responses depend on these and these on responses, so both are iterated from zero. All
//! steps are monotonic, so the iteration ends at the least fixed point or passes a limit.
use super::model::{ServerContext, ThreadModel, ThreadResponse};
use super::search::MAX_ROUNDS;
use super::threads::thread_responses;
use tern_units::Duration;

/// The jobs of `waits` are released by the completion of those of `on`; both are positions
/// among the threads of the system, with the same period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Who waits.
    pub waits: usize,
    /// For whom.
    pub on: usize,
    /// From completion there until it is known here, such as
    /// [`channel_latency`](super::channel_latency).
    pub latency: Duration,
}

/// The threads of several cores, and what becomes of them. All slices are as long as
/// `own`.
#[derive(Debug)]
pub struct Threads<'a> {
    /// The thread's server, an index into the contexts. The threads of one server stand
    /// together, in order of precedence.
    pub servers: &'a [usize],
    /// The threads, with the jitter that no dependency accounts for.
    pub own: &'a [ThreadModel],
    /// Result: the threads, with what dependencies add.
    pub models: &'a mut [ThreadModel],
    /// Result: response times, from the arrival of the first thread in a chain.
    pub responses: &'a mut [ThreadResponse],
}

/// Iterates to the fixed point. True if there is one: the results then are bounds.
/// False if some thread is unbounded, or responds later than `limit`, or the slices do
/// not fit together; the results then are those of the last step, and no bounds.
pub fn fixed_point(
    contexts: &[ServerContext<'_>],
    threads: &mut Threads<'_>,
    dependencies: &[Dependency],
    limit: Duration,
) -> bool {
    let count = threads.own.len();
    let fits = threads.servers.len() == count
        && threads.models.len() == count
        && threads.responses.len() == count
        && dependencies
            .iter()
            .all(|edge| edge.waits < count && edge.on < count);
    if !fits {
        return false;
    }
    threads.models.copy_from_slice(threads.own);
    for _ in 0..MAX_ROUNDS {
        if !respond(contexts, threads) {
            return false;
        }
        let late = |result: &ThreadResponse| result.time().is_none_or(|time| time > limit);
        if threads.responses.iter().any(late) {
            return false;
        }
        if !propagate(threads, dependencies) {
            return true;
        }
    }
    false
}

/// Computes all responses, server by server.
fn respond(contexts: &[ServerContext<'_>], threads: &mut Threads<'_>) -> bool {
    let mut start = 0;
    for group in threads.servers.chunk_by(|one, next| one == next) {
        let range = start..start + group.len();
        start = range.end;
        let Some(context) = contexts.get(group[0]) else {
            return false;
        };
        thread_responses(
            context,
            &threads.models[range.clone()],
            &mut threads.responses[range],
        );
    }
    true
}

/// Makes each thread as late as the latest it waits for. Whether anything changed.
fn propagate(threads: &mut Threads<'_>, dependencies: &[Dependency]) -> bool {
    let mut changed = false;
    for edge in dependencies {
        let known = threads.responses[edge.on].time().unwrap_or(Duration::MAX);
        let known = known.saturating_add(edge.latency);
        let jitter = &mut threads.models[edge.waits].jitter;
        if *jitter < known {
            *jitter = known;
            changed = true;
        }
    }
    changed
}
