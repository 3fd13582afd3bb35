//! The only thread of an I/O server, where each of its jobs finds the budget whole.
use super::demand::{Demand, taken};
use super::level::Level;
use super::search::{Ending, Steps};

/// The response time of the only thread of an I/O server, where each of its jobs finds the
/// budget whole, and so runs like one of a periodic task with the server's priority: the least
/// solution of R = B + e + a + Σ I(R), a for its activation (Joseph and Pandya 1986; Audsley
/// et al. 1993).
///
/// Let P be the least time from one wake to the next, and x what a job takes of the
/// budget (its work, and what the kernel does for others meanwhile). If x ≤ C, R < P and
/// ⌈xT/C⌉ ≤ P then by induction each job, which its predecessor is done by, finds all of C: a
/// predecessor that came at t and took x, and was done before another came, gave up the rest
/// until t + ⌈xT/C⌉ (Danish, Li, West, RTAS 2011; U = C/T). No requester has a shorter period
/// than its own, which the description ensures.
///
/// As x ≤ C, no job waits for budget, and each is activated once.
pub(super) fn in_step(
    demand: &Demand<'_>,
    level: &mut Level<'_>,
    steps: &mut Steps,
) -> Result<u64, Ending> {
    steps.begin();
    let thread = &demand.threads[0];
    let job = demand.of(thread);
    let apart = job
        .period
        .checked_sub(job.jitter)
        .ok_or(Ending::Unbounded)?;
    if level.is_overloaded_by(job.each, apart) {
        return Err(Ending::Unbounded);
    }
    let end = level.end_of(job.each, steps)?;
    let activation = level.kernel_work().activation;
    let taken = taken(level, activation, job.each, end, 1, steps)?;
    let own = demand.server;
    let back = own.used_up_by(taken);
    let whole = taken <= own.budget.as_nanos() && back.max(end.saturating_add(1)) <= apart;
    match whole {
        true => Ok(end.saturating_add(demand.lateness(thread))),
        false => Err(Ending::Unbounded),
    }
}
