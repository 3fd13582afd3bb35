//! Times of paths between programs, from what they wrote down and from the trace.
use super::measure::{Measured, Stamp};
use crate::error::{Context, Result};
use tern_trace::{Core, Event};
use tern_units::{Duration, Instant};

/// The events of a core's trace.
///
/// # Errors
/// If it cannot be decoded.
pub fn events(core: &Core) -> Result<Vec<(u64, Event)>> {
    let events: std::result::Result<_, _> = core.events().collect();
    events.context(|| format!("reading the trace of {}", core.sandbox))
}

/// Lengths of those of `spans` in which the core turned to another thread exactly once:
/// nothing else ran on the way, and the core was not idle.
///
/// # Errors
/// If the trace cannot be decoded.
pub fn with_one_switch(measured: &Measured, spans: &[Stamp]) -> Result<Vec<u64>> {
    let events = events(&measured.trace.cores[0])?;
    let switch = |(_, event): &&(u64, Event)| matches!(event, Event::Switch { .. });
    let switches: Vec<u64> = events.iter().filter(switch).map(|(tsc, _)| *tsc).collect();
    let count = |span: &Stamp| {
        switches.partition_point(|tsc| *tsc < span.after)
            - switches.partition_point(|tsc| *tsc < span.before)
    };
    let single = spans.iter().filter(|span| count(span) == 1);
    Ok(single.map(|span| span.after - span.before).collect())
}

/// From the instant of each release of the first thread, which nothing may preempt, to
/// its record: what runs with interrupts off delays it.
pub fn latenesses(measured: &Measured) -> Result<Vec<u64>> {
    let Some((_, _, first)) = measured.system.sandboxes[0].threads().next() else {
        return Ok(Vec::new());
    };
    let (trace, offset, period) = (&measured.trace, first.offset, first.period);
    let mut found = Vec::new();
    for (tsc, event) in events(&measured.trace.cores[0])? {
        if let Event::Release { thread: 0, job } = event {
            let at = Instant::from_nanos(offset + u64::from(job) * period);
            let ticks = trace.tsc.to_ticks(at.saturating_since(Instant::EPOCH));
            found.push(tsc.saturating_sub(trace.epoch_tsc + ticks));
        }
    }
    Ok(found)
}

/// The stamps of the first sandbox's thread called `name`.
pub fn of<'a>(measured: &'a Measured, name: &str) -> &'a [Stamp] {
    let mut threads = measured.system.sandboxes[0].threads();
    let number = threads.position(|(_, _, thread)| thread.name == name);
    number.map_or(&[], |number| &measured.stamps[number])
}

/// From the first look at the clock to the second.
pub fn lengths(stamps: &[Stamp]) -> Vec<u64> {
    stamps.iter().map(|it| it.after - it.before).collect()
}

/// The mean time from one release of the first thread to the next over 10,000 periods,
/// rounded up to ticks; the first release is not like the others, as it ends the wait for
/// the time epoch.
pub fn mean_period(measured: &Measured, late: &[u64]) -> Vec<u64> {
    const PERIODS: u64 = 10_000;
    let first = measured.system.sandboxes[0].threads().next();
    let (Some((_, _, thread)), Some(begin), Some(end)) =
        (first, late.get(1), late.get(PERIODS as usize + 1))
    else {
        return Vec::new();
    };
    let period = Duration::from_nanos(thread.period);
    let span = measured.trace.tsc.to_ticks(period) * PERIODS + end - begin;
    vec![span.div_ceil(PERIODS)]
}

/// From the last look at the clock of a spinning thread before an interruption to the
/// first stamp of another thread in it.
pub fn handovers(from: &[Stamp], to: &[Stamp]) -> Vec<Stamp> {
    let mut found = Vec::new();
    for gap in from {
        let position = to.partition_point(|it| it.after <= gap.before);
        if let Some(start) = to.get(position).filter(|it| it.after < gap.after) {
            found.push(Stamp {
                before: gap.before,
                after: start.after,
            });
        }
    }
    found
}

/// From the look at the clock before one thread gives way to the one after the other
/// did: a stamp of the other that began before is what this hand-over ends.
pub fn switches(from: &[Stamp], to: &[Stamp]) -> Vec<u64> {
    let mut found = Vec::new();
    for gap in from {
        let position = to.partition_point(|it| it.after <= gap.before);
        if let Some(next) = to.get(position).filter(|it| it.before < gap.before) {
            found.push(next.after - gap.before);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps<const N: usize>(pairs: [(u64, u64); N]) -> [Stamp; N] {
        pairs.map(|(before, after)| Stamp { before, after })
    }

    #[test]
    fn a_handover_is_from_the_last_look_of_the_one_to_the_first_of_the_other() {
        let limited = stamps([(100, 200), (230, 400)]);
        let rest = stamps([(10, 60), (50, 110), (190, 238), (395, 500)]);
        assert_eq!(handovers(&limited, &rest), stamps([(100, 110), (230, 238)]));
        assert_eq!(handovers(&rest, &limited), stamps([(190, 200), (395, 400)]));
    }
}
