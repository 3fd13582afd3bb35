//! The scenarios: which systems are booted, and what is read from them.
use super::baseline::Table;
use super::figures::Figures;
use super::longest::{Long, Searched, longest};
use super::measure::{Measured, Plan, Search, measure};
use super::paths::{handovers, latenesses, lengths, mean_period, of, switches, with_one_switch};
use super::{replicas, soak};
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
    /// By scenario, the longest section that nothing could preempt, and others seen on the way
    /// to it.
    pub longest: Vec<(&'static str, Vec<Long>)>,
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
    ("soak", adversarial),
];

/// The scenario that several systems contribute to, and that of those that are widened.
const LONGEST: [&str; 2] = [
    "longest-non-preemptible",
    "longest-non-preemptible-64-servers",
];

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
        searched: Vec::new(),
    };
    for (name, scenarios) in SYSTEMS {
        if only.is_empty() || only.iter().any(|other| other == name) {
            scenarios(&mut bench)?;
        }
    }
    let searched = std::mem::take(&mut bench.searched);
    let (widened, as_described): (Vec<_>, Vec<_>) =
        searched.into_iter().partition(|(plan, _)| plan.widened);
    for (name, searched) in LONGEST.into_iter().zip([as_described, widened]) {
        bench.seek(name, &searched)?;
    }
    Ok(bench.suite)
}

/// The suite on its way.
struct Bench<'a> {
    conditions: &'a Conditions,
    tell: &'a mut dyn FnMut(&str),
    suite: Suite,
    searched: Vec<Searched>,
}

impl Bench<'_> {
    fn boot(&mut self, plan: &Plan) -> Result<Measured> {
        (self.tell)(&plan.label());
        let plan = Plan {
            neighbours: plan.neighbours && self.conditions.neighbours,
            hypervisor: self.conditions.hypervisor.clone(),
            ..plan.clone()
        };
        let model = self.conditions.model;
        if plan.searched.is_none() {
            return measure(&plan, model);
        }
        // Busy neighbours add nothing to a core's sections, and would have to be searched.
        let alone = Plan {
            neighbours: false,
            ..plan.clone()
        };
        let mut measured = measure(&alone, model)?;
        let stretches = std::mem::take(&mut measured.stretches);
        self.searched.push((alone, stretches));
        if !plan.neighbours {
            return Ok(measured);
        }
        let searched = None;
        measure(&Plan { searched, ..plan }, model)
    }

    /// Boots a system of eight servers among 64: searched from where all are released
    /// together to a release of some.
    fn boot_widened(&mut self, plan: Plan) -> Result<Measured> {
        self.boot(&Plan {
            widened: true,
            searched: search(50, 25),
            ..plan
        })
    }

    /// The longest section that nothing could preempt in the systems `searched`.
    fn seek(&mut self, name: &'static str, searched: &[Searched]) -> Result<()> {
        if searched.is_empty() {
            return Ok(());
        }
        (self.tell)(name);
        let found = longest(self.conditions.model, searched)?;
        // The longest of some systems says nothing of all.
        if self.conditions.only.is_empty() {
            let length = found.first().map(|long| long.length);
            self.add(name, length.into_iter().collect())?;
        }
        self.suite.longest.push((name, found));
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

/// A look every so many instructions for so many milliseconds. Where jobs of a few
/// instructions follow one another there are fewer from look to look: else the sections
/// between seem one.
const fn search(every: u32, millis: u64) -> Option<Search> {
    Some(Search {
        every,
        time: Duration::from_millis(millis),
    })
}

fn calls(bench: &mut Bench<'_>) -> Result<()> {
    let calls = bench.boot(&Plan {
        name: "calls",
        millis: 25,
        neighbours: true,
        searched: search(5, 25),
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
        searched: search(5, 3),
        ..Plan::default()
    })?;
    let (first, second) = (of(&pair, "first"), of(&pair, "second"));
    bench.add("yield-across-address-spaces", switches(first, second))
}

fn exhaust(bench: &mut Bench<'_>) -> Result<()> {
    let plan = Plan {
        name: "exhaust",
        millis: 300,
        neighbours: true,
        searched: search(50, 300),
        ..Plan::default()
    };
    let exhaust = bench.boot(&plan)?;
    bench.add("exhaustion-to-next-thread", exhaustions(&exhaust)?)?;
    bench.add("preemption-by-higher-server", preemptions(&exhaust)?)?;
    let widened = bench.boot_widened(plan)?;
    bench.add("exhaustion-to-next-64-servers", exhaustions(&widened)?)?;
    bench.add("preemption-64-servers", preemptions(&widened)?)
}

/// From the last look at the clock before a budget is used up to the next thread's first.
fn exhaustions(exhaust: &Measured) -> Result<Vec<u64>> {
    let (limited, rest) = (of(exhaust, "limited"), of(exhaust, "rest"));
    with_one_switch(exhaust, &handovers(limited, rest))
}

/// From the last look before a budget is replenished to the first of the server that has it.
fn preemptions(exhaust: &Measured) -> Result<Vec<u64>> {
    let (limited, rest) = (of(exhaust, "limited"), of(exhaust, "rest"));
    with_one_switch(exhaust, &handovers(rest, limited))
}

fn release(bench: &mut Bench<'_>) -> Result<()> {
    let plan = Plan {
        name: "release",
        millis: 1002,
        neighbours: true,
        searched: search(5, 125),
        ..Plan::default()
    };
    let release = bench.boot(&plan)?;
    bench.add("release-to-first-instruction", releases(&release)?)?;
    let late = latenesses(&release)?;
    let starts = mean_period(&release, &late);
    bench.add("latest-release-of-the-first-server", late)?;
    bench.add("start-to-start-over-10000-periods", starts)?;
    let widened = bench.boot_widened(plan)?;
    bench.add("release-64-servers", releases(&widened)?)?;
    bench.suite.bounded.push(release);
    Ok(())
}

/// From the last look at the clock before a release to the first of the thread released.
fn releases(release: &Measured) -> Result<Vec<u64>> {
    let (spinner, released) = (of(release, "spinner"), of(release, "released"));
    with_one_switch(release, &handovers(spinner, released))
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
    Ok(())
}

/// The part of the adversarial load in which each replica has a repair.
fn adversarial(bench: &mut Bench<'_>) -> Result<()> {
    const TIME: Duration = Duration::from_millis(130);
    bench.boot(&Plan {
        searched: search(50, TIME.as_millis() as u64),
        ..soak::plan(TIME)
    })?;
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
