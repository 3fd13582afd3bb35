//! The scenarios: which systems are booted, and what is read from them.
use super::baseline::Table;
use super::figures::Figures;
use super::measure::{Measured, Plan, Window, measure};
use super::paths::{handovers, latenesses, lengths, mean_period, of, switches, with_one_switch};
use super::replicas;
use super::sections::{Section, sections};
use super::symbols::Symbols;
use crate::build;
use crate::emulator::bochs::Model;
use crate::error::{Error, Result};
use std::path::PathBuf;
use std::time::Duration;

/// How the suite is measured.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// On this machine.
    pub model: Model,
    /// With the other cores busy.
    pub neighbours: bool,
    /// Only these systems; all if there are none.
    pub only: Vec<String>,
    /// With a hypervisor other than the one that is built.
    pub hypervisor: Option<PathBuf>,
}

/// What the suite has measured.
#[derive(Debug)]
pub struct Suite {
    /// Figures by scenario.
    pub figures: Table,
    /// The boots whose jobs have bounds to hold.
    pub bounded: Vec<Measured>,
    /// The longest section that nothing could preempt of each listing, with where it began:
    /// system and function.
    pub longest: Vec<(u64, String)>,
}

/// What boots a system and reads its scenarios.
type Scenarios = fn(&mut Bench<'_>) -> Result<()>;

/// The systems, by the name of their description.
const SYSTEMS: &[(&str, Scenarios)] = &[
    ("calls", calls),
    ("yield", give_way),
    ("exhaust", exhaust),
    ("release", release),
    ("parts", parts),
    ("channel", channel),
    ("load", load),
    ("replicas", replicas),
];

/// The scenario that all systems contribute to.
const LONGEST: &str = "longest-non-preemptible";

/// Measures every scenario; `tell` is called with each system's name.
///
/// # Errors
/// If a system is unknown or does not boot, or a scenario has nothing to show.
pub fn measure_all(conditions: &Conditions, mut tell: impl FnMut(&str)) -> Result<Suite> {
    let only = &conditions.only;
    if let Some(unknown) = only
        .iter()
        .find(|name| SYSTEMS.iter().all(|(other, _)| other != name))
    {
        let names: Vec<_> = SYSTEMS.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        return Err(Error::usage(format!(
            "nothing is measured of '{unknown}'; there are {names}"
        )));
    }
    let mut bench = Bench {
        conditions,
        tell: &mut tell,
        suite: Suite {
            figures: Table::new(),
            bounded: Vec::new(),
            longest: Vec::new(),
        },
    };
    for (name, scenarios) in SYSTEMS {
        if only.is_empty() || only.iter().any(|other| other == name) {
            scenarios(&mut bench)?;
        }
    }
    if only.is_empty() {
        let lengths = bench.suite.longest.iter().map(|(length, _)| *length);
        bench.add(LONGEST, lengths.collect())?;
    }
    Ok(bench.suite)
}

/// The suite on its way.
struct Bench<'a> {
    conditions: &'a Conditions,
    tell: &'a mut dyn FnMut(&str),
    suite: Suite,
}

impl Bench<'_> {
    fn boot(&mut self, plan: &Plan) -> Result<Measured> {
        (self.tell)(plan.name);
        let plan = Plan {
            neighbours: plan.neighbours && self.conditions.neighbours,
            hypervisor: self.conditions.hypervisor.clone(),
            ..plan.clone()
        };
        let model = self.conditions.model;
        if plan.listed.is_none() {
            return measure(&plan, model);
        }
        // Where there are several cores, a listing is the last that is done with a machine.
        let several = plan.neighbours || plan.first.is_some();
        let listed = Plan {
            millis: if several { 0 } else { plan.millis },
            ..plan.clone()
        };
        let measured = measure(&listed, model)?;
        self.list(&plan, &measured)?;
        if !several || plan.first.is_some() {
            return Ok(measured);
        }
        measure(
            &Plan {
                listed: None,
                ..plan
            },
            model,
        )
    }

    /// Keeps the longest section of the boot's listing.
    fn list(&mut self, plan: &Plan, measured: &Measured) -> Result<()> {
        let Some(window) = plan.listed else {
            return Ok(());
        };
        let symbols = Symbols::read(&build::binary(build::KERNEL)?)?;
        let place = match plan.first {
            Some(first) => format!("{}, {first}, at {:?}", plan.name, window.at),
            None => format!("{}, at {:?}", plan.name, window.at),
        };
        let found = sections(&measured.listing).into_iter();
        let Some(Section { length, begin }) = found.max_by_key(|section| section.length) else {
            return Err(Error::failure(format!(
                "{place}: nothing turned interrupts off in the listing"
            )));
        };
        let function = symbols.around(begin).unwrap_or("the hypervisor");
        let place = format!("{place}, from {function} on");
        self.suite.longest.push((length, place));
        Ok(())
    }

    fn add(&mut self, name: &str, ticks: Vec<u64>) -> Result<()> {
        let figures = Figures::of(ticks)
            .ok_or_else(|| Error::failure(format!("{name}: nothing was measured")))?;
        self.suite.figures.push((name.to_string(), figures));
        Ok(())
    }

    /// Takes the scenarios that a guest said on the console.
    fn add_said(&mut self, measured: &Measured) -> Result<()> {
        let said = measured.console.iter().filter_map(|line| said(line));
        let before = self.suite.figures.len();
        self.suite.figures.extend(said);
        if self.suite.figures.len() == before {
            let name = &measured.system.name;
            return Err(Error::failure(format!("{name}: it said no times")));
        }
        Ok(())
    }
}

/// So many instructions from so many microseconds after the time epoch on.
const fn window(micros: u64, instructions: u32) -> Option<Window> {
    Some(Window {
        at: Duration::from_micros(micros),
        instructions,
    })
}

fn calls(bench: &mut Bench<'_>) -> Result<()> {
    let calls = bench.boot(&Plan {
        name: "calls",
        millis: 25,
        neighbours: true,
        listed: window(10_000, 2_000),
        ..Plan::default()
    })?;
    bench.add("system-call", lengths(of(&calls, "calls")))?;
    bench.suite.bounded.push(calls);
    Ok(())
}

fn give_way(bench: &mut Bench<'_>) -> Result<()> {
    let pair = bench.boot(&Plan {
        name: "yield",
        millis: 10,
        neighbours: true,
        listed: window(5_000, 2_000),
        ..Plan::default()
    })?;
    let (first, second) = (of(&pair, "first"), of(&pair, "second"));
    bench.add("yield-across-address-spaces", switches(first, second))
}

fn exhaust(bench: &mut Bench<'_>) -> Result<()> {
    let exhaust = bench.boot(&Plan {
        name: "exhaust",
        millis: 300,
        neighbours: true,
        // A replenishment and a preemption, and 200 us later the budget is used up.
        listed: window(49_990, 26_000),
        ..Plan::default()
    })?;
    let (limited, rest) = (of(&exhaust, "limited"), of(&exhaust, "rest"));
    let paths = handovers(limited, rest);
    let ticks = with_one_switch(&exhaust, &paths)?;
    bench.add("exhaustion-to-next-thread", ticks)?;
    let paths = handovers(rest, limited);
    let ticks = with_one_switch(&exhaust, &paths)?;
    bench.add("preemption-by-higher-server", ticks)
}

fn release(bench: &mut Bench<'_>) -> Result<()> {
    let release = bench.boot(&Plan {
        name: "release",
        millis: 1002,
        neighbours: true,
        // Seven servers are released together at 120 ms.
        listed: window(119_990, 16_000),
        ..Plan::default()
    })?;
    let (spinner, released) = (of(&release, "spinner"), of(&release, "released"));
    let paths = handovers(spinner, released);
    let ticks = with_one_switch(&release, &paths)?;
    bench.add("release-to-first-instruction", ticks)?;
    let late = latenesses(&release)?;
    let starts = mean_period(&release, &late);
    bench.add("latest-release-of-the-first-server", late)?;
    bench.add("start-to-start-over-10000-periods", starts)?;
    Ok(())
}

fn parts(bench: &mut Bench<'_>) -> Result<()> {
    let parts = bench.boot(&Plan {
        name: "parts",
        millis: 1000,
        neighbours: true,
        ..Plan::default()
    })?;
    bench.add_said(&parts)
}

fn channel(bench: &mut Bench<'_>) -> Result<()> {
    let channel = bench.boot(&Plan {
        name: "channel",
        millis: 100,
        ..Plan::default()
    })?;
    bench.add_said(&channel)
}

fn load(bench: &mut Bench<'_>) -> Result<()> {
    let load = bench.boot(&Plan {
        name: "load",
        millis: 120,
        ..Plan::default()
    })?;
    bench.suite.bounded.push(load);
    Ok(())
}

fn replicas(bench: &mut Bench<'_>) -> Result<()> {
    let plan = Plan {
        name: "replicas",
        millis: replicas::MILLIS,
        flips: replicas::flips(),
        ..Plan::default()
    };
    let measured = bench.boot(&plan)?;
    let found = replicas::Found::of(&measured)?;
    for (written, ticks) in found.commits {
        bench.add(&format!("commit-{written}-written-pages"), ticks)?;
    }
    bench.add("ballot-to-verdict", found.agreed)?;
    bench.add("ballot-to-verdict-64-pages-differ", found.differing)?;
    bench.add("repair-each-page", found.pages)?;
    for (pages, ticks) in found.repairs {
        bench.add(&format!("repair-{pages}-pages"), ticks)?;
    }
    bench.suite.bounded.push(measured);
    // A repair once more, with a target, a donor, and the voter with its device listed.
    for (first, listed) in replicas::LISTED {
        bench.boot(&Plan {
            millis: 0,
            first: Some(first),
            flips: vec![replicas::SHORT],
            listed: Some(listed),
            ..plan.clone()
        })?;
    }
    Ok(())
}

/// A line of a guest that measures.
fn said(line: &str) -> Option<(String, Figures)> {
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

    #[test]
    fn a_guest_says_a_scenario_on_a_line_of_the_console() {
        let figures = Figures {
            minimum: 1,
            median: 2,
            maximum: 3,
        };
        let line = "[parts] measured hypercall 1 2 3 256";
        assert_eq!(said(line), Some(("hypercall".into(), figures)));
        assert_eq!(said("[parts] hello"), None);
    }
}
