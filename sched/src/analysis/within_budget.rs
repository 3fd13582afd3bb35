//! Threads of a server that is never without budget: as good as at its own level.
//!
//! R = J + max over the jobs q of a busy window of w(q) − qP, with w(q) the least solution of
//! w = V((q+1)e + Σ ⌈(w + J)/P⌉e) over the threads of higher precedence, V(x) = x + B + Σ I(V) over
//! the servers of higher priority: as of periodic tasks (Lehoczky 1990; Tindell, Burns, Wellings
//! 1994). Also where that exceeds T.
use super::demand::Demand;
use super::level::{Level, Line};
use super::search::{Ending, Steps, least_fixed_point};

/// The response time of a thread, by search.
pub(super) fn response(
    demand: &Demand<'_>,
    level: &mut Level<'_>,
    index: usize,
    steps: &mut Steps,
) -> Result<u64, Ending> {
    steps.begin();
    let thread = &demand.threads[index];
    let own = demand.of(thread);
    let late = demand.lateness(thread);
    if is_overloaded(demand, level, index) {
        return Err(Ending::Unbounded);
    }
    let (mut worst, mut arrival) = (0, 0_u64);
    let mut work = demand.until_done(thread);
    work = work.saturating_add(section_before(demand, level, index));
    let mut window = work;
    loop {
        window = least_fixed_point(window, |window| {
            let above = demand.within(&demand.threads[..index], window, steps)?;
            level.end_of(work.saturating_add(above), steps)
        })?;
        let done = window.saturating_add(late);
        worst = worst.max(done - arrival);
        arrival = arrival.checked_add(own.period).ok_or(Ending::Unbounded)?;
        if done <= arrival {
            return Ok(worst);
        }
        let is_first = arrival == own.period;
        let asked = demand.share(&demand.threads[..=index]);
        if is_first && !level.window_may_end(asked, own.period, late, steps.left()) {
            return Err(Ending::GaveUp);
        }
        work = work.saturating_add(own.each);
    }
}

/// The closed form of the same: no shorter.
pub(super) fn closed_form(
    demand: &Demand<'_>,
    level: &Level<'_>,
    index: usize,
) -> Result<u64, Ending> {
    if is_overloaded(demand, level, index) {
        return Err(Ending::Unbounded);
    }
    let thread = &demand.threads[index];
    let mut line = level.line();
    for above in &demand.threads[..index] {
        let charge = demand.of(above);
        line.add(Line::of_jobs(charge.each, charge.period, charge.jitter));
    }
    let work = demand.until_done(thread).saturating_add(level.blocking());
    let work = work.saturating_add(section_before(demand, level, index));
    line.burst = line.burst.saturating_add(work);
    let done = line.meets_time().ok_or(Ending::Unbounded)?;
    Ok(done.saturating_add(demand.lateness(thread)))
}

/// A section of a thread of lower precedence may be going on when a job comes. Where there are
/// servers of lower priority, the level has one as blocking already: of either only one is.
fn section_before(demand: &Demand<'_>, level: &Level<'_>, index: usize) -> u64 {
    let is_last = index + 1 >= demand.threads.len();
    match is_last || !level.is_lowest() {
        true => 0,
        false => level.kernel_work().section,
    }
}

fn is_overloaded(demand: &Demand<'_>, level: &Level<'_>, index: usize) -> bool {
    let asked = demand.share(&demand.threads[..=index]);
    level.line().share.saturating_add(asked) > 1 << 64
}
