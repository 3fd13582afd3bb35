//! The scenarios: which systems are booted, and what is read from their stamps.
use super::baseline::Table;
use super::figures::Figures;
use super::measure::{Measured, Stamp, measure};
use crate::emulator::bochs::Model;
use crate::error::{Context, Error, Result};
use tern_trace::Event;
use tern_units::{Duration, Instant};

/// What the suite has measured.
#[derive(Debug)]
pub struct Suite {
    /// Figures by scenario.
    pub figures: Table,
    /// The boots whose jobs have bounds to hold.
    pub bounded: Vec<Measured>,
}

/// Measures every scenario on a machine; `tell` is called with each system's name.
///
/// # Errors
/// If a system does not boot, or a scenario has nothing to show.
pub fn measure_all(model: Model, mut tell: impl FnMut(&str)) -> Result<Suite> {
    let mut table = Table::new();
    let mut add = |name: &str, ticks: Vec<u64>| match Figures::of(ticks) {
        Some(figures) => {
            table.push((name.to_string(), figures));
            Ok(())
        }
        None => Err(Error::failure(format!("{name}: nothing was measured"))),
    };
    let mut boot = |name: &str, millis: u64| {
        tell(name);
        measure(name, model, millis)
    };

    let calls = boot("calls", 25)?;
    add("system-call", lengths(of(&calls, "calls")))?;

    let pair = boot("yield", 10)?;
    let (first, second) = (of(&pair, "first"), of(&pair, "second"));
    add("yield-across-address-spaces", switches(first, second))?;

    let exhaust = boot("exhaust", 300)?;
    let (limited, rest) = (of(&exhaust, "limited"), of(&exhaust, "rest"));
    let paths = handovers(limited, rest);
    add(
        "exhaustion-to-next-thread",
        with_one_switch(&exhaust, paths)?,
    )?;
    let paths = handovers(rest, limited);
    add(
        "preemption-by-higher-server",
        with_one_switch(&exhaust, paths)?,
    )?;

    let release = boot("release", 1002)?;
    let (spinner, released) = (of(&release, "spinner"), of(&release, "released"));
    let paths = handovers(spinner, released);
    add(
        "release-to-first-instruction",
        with_one_switch(&release, paths)?,
    )?;
    let late = latenesses(&release)?;
    let starts = mean_period(&release, &late);
    add("latest-release-of-the-first-server", late)?;
    add("start-to-start-over-10000-periods", starts)?;

    let parts = boot("parts", 1000)?;
    for line in &parts.console {
        if let Some((name, figures)) = part(line) {
            table.push((name, figures));
        }
    }
    let load = boot("load", 120)?;
    Ok(Suite {
        figures: table,
        bounded: vec![calls, load],
    })
}

/// Events of the first sandbox.
fn events(measured: &Measured) -> Result<Vec<(u64, Event)>> {
    let core = measured.trace.cores.first();
    let core = core.ok_or_else(|| Error::failure("the trace has no core"))?;
    let events: std::result::Result<_, _> = core.events().collect();
    events.context(|| "reading the trace".into())
}

/// Those of `spans` in which the core turned to another thread exactly once: nothing else
/// ran on the way, and the core was not idle.
fn with_one_switch(measured: &Measured, spans: Vec<Stamp>) -> Result<Vec<u64>> {
    let events = events(measured)?;
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
fn latenesses(measured: &Measured) -> Result<Vec<u64>> {
    let Some((_, _, first)) = measured.system.sandboxes[0].threads().next() else {
        return Ok(Vec::new());
    };
    let (trace, offset, period) = (&measured.trace, first.offset, first.period);
    let mut found = Vec::new();
    for (tsc, event) in events(measured)? {
        if let Event::Release { thread: 0, job } = event {
            let at = Instant::from_nanos(offset + u64::from(job) * period);
            let ticks = trace.tsc.to_ticks(at.saturating_since(Instant::EPOCH));
            found.push(tsc.saturating_sub(trace.epoch_tsc + ticks));
        }
    }
    Ok(found)
}

/// The stamps of the thread called `name`.
fn of<'a>(measured: &'a Measured, name: &str) -> &'a [Stamp] {
    let mut threads = measured.system.sandboxes[0].threads();
    let number = threads.position(|(_, _, thread)| thread.name == name);
    number.map_or(&[], |number| &measured.stamps[number])
}

fn lengths(stamps: &[Stamp]) -> Vec<u64> {
    stamps.iter().map(|it| it.after - it.before).collect()
}

/// The mean time from one release of the first thread to the next over 10,000 periods,
/// rounded up to ticks; the first release is not like the others, as it ends the wait for
/// the time epoch.
fn mean_period(measured: &Measured, late: &[u64]) -> Vec<u64> {
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
fn handovers(from: &[Stamp], to: &[Stamp]) -> Vec<Stamp> {
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
fn switches(from: &[Stamp], to: &[Stamp]) -> Vec<u64> {
    let mut found = Vec::new();
    for gap in from {
        let position = to.partition_point(|it| it.after <= gap.before);
        if let Some(next) = to.get(position).filter(|it| it.before < gap.before) {
            found.push(next.after - gap.before);
        }
    }
    found
}

/// A line of the guest that times parts.
fn part(line: &str) -> Option<(String, Figures)> {
    let (_, rest) = line.split_once("measured ")?;
    let mut words = rest.split_whitespace();
    let name = words.next()?.to_string();
    let mut number = || words.next()?.parse().ok();
    Some((
        name,
        Figures {
            minimum: number()?,
            median: number()?,
            maximum: number()?,
        },
    ))
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

    #[test]
    fn a_part_is_a_line_of_the_console() {
        let figures = Figures {
            minimum: 1,
            median: 2,
            maximum: 3,
        };
        let line = "[parts] measured hypercall 1 2 3 256";
        assert_eq!(part(line), Some(("hypercall".into(), figures)));
        assert_eq!(part("[parts] hello"), None);
    }
}
