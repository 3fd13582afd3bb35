//! The scenarios: which systems are booted, and what is read from their stamps.
use super::baseline::Table;
use super::figures::Figures;
use super::measure::{Measured, Stamp, measure};
use crate::emulator::bochs::Model;
use crate::error::{Error, Result};

/// Measures every scenario on a machine; `tell` is called with each system's name.
///
/// # Errors
/// If a system does not boot, or a scenario has nothing to show.
pub fn measure_all(model: Model, mut tell: impl FnMut(&str)) -> Result<Table> {
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
    add("exhaustion-to-next-thread", handovers(limited, rest))?;
    add("preemption-by-higher-server", handovers(rest, limited))?;

    let release = boot("release", 300)?;
    let (spinner, released) = (of(&release, "spinner"), of(&release, "released"));
    add("release-to-first-instruction", releases(spinner, released))?;
    add("release-of-8-servers", lengths(spinner))?;

    let parts = boot("parts", 1000)?;
    for line in &parts.console {
        if let Some((name, figures)) = part(line) {
            table.push((name, figures));
        }
    }
    Ok(table)
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

/// From the last look at the clock of a spinning thread to the first of another that
/// spins, wherever the core went from the one to the other.
fn handovers(from: &[Stamp], to: &[Stamp]) -> Vec<u64> {
    let mut found = Vec::new();
    for stop in from {
        let position = to.partition_point(|it| it.after <= stop.before);
        if let Some(start) = to.get(position).filter(|it| it.after < stop.after) {
            found.push(start.after - stop.before);
        }
    }
    found
}

/// From the look at the clock before one thread gives way to the one after the other
/// did. A stamp of the other that began before is what this hand-over ends.
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

/// From the last look at the clock of a spinning thread to the start of a job of
/// another.
fn releases(spinner: &[Stamp], released: &[Stamp]) -> Vec<u64> {
    let mut found = Vec::new();
    for gap in spinner {
        let position = released.partition_point(|it| it.after <= gap.before);
        if let Some(start) = released.get(position).filter(|it| it.after < gap.after) {
            found.push(start.after - gap.before);
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
        assert_eq!(handovers(&limited, &rest), [10, 8]);
        assert_eq!(handovers(&rest, &limited), [10, 5]);
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
