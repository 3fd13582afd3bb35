//! `cargo xtask timing --soak`: the adversarial load of `tests/systems/timing/soak.toml`, judged.
use super::bounds::{self, Response};
use super::measure::{Flip, Plan, measure};
use super::paths::events;
use super::repairs;
use crate::emulator::bochs::Model;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tern_config::description::Costs;
use tern_trace::{Event, RepairResult, VoteOutcome};
use trace_viewer::read::SoundTrace;
use trace_viewer::summary::Summary;
use trace_viewer::verdict::conformance::Conformance;

/// The replica set's period, in `tests/systems/timing/soak.toml`.
const PERIOD: Duration = Duration::from_millis(30);
/// Epochs from one flip to the next: a repair takes the rest of the epoch in which it is
/// found, and a second fault before its end would stop the set.
const EPOCHS: u32 = 1;
/// Pages that a flip makes differ.
const PAGES: u32 = 48;
const REPLICAS: usize = 3;

/// What a run of the load came to.
#[derive(Clone, Debug)]
pub struct Soak {
    /// The worst response of each thread, and the longest repair of each replica.
    pub responses: Vec<Response>,
    /// Faults: flips of bytes in many pages at once.
    pub flips: usize,
    /// Completed repairs.
    pub repairs: u64,
    /// From the first step of a repair to its last, all of them.
    pub repairing: Duration,
    /// Records by what they say.
    pub counts: BTreeMap<&'static str, u64>,
    /// Server rules that were not kept.
    pub violations: usize,
    /// Jobs of drivers that began sooner after the one before than their periods promise.
    pub early: u64,
    /// Sets that stopped, and votes without a majority.
    pub stops: u64,
    /// How long the load ran.
    pub time: Duration,
}

impl Soak {
    /// Runs the load for `time`.
    ///
    /// # Errors
    /// If it cannot be booted, its trace has losses, or a deadline was missed.
    pub fn run(model: Model, costs: &Costs, time: Duration) -> Result<Self> {
        let plan = Plan {
            says: true,
            ..plan(time)
        };
        let measured = measure(&plan, model)?;
        let trace = &measured.trace;
        let mut responses = bounds::responses(&measured.system, trace, costs)?;
        responses.extend(repairs::responses(&measured.system, trace, costs)?);
        let sound = SoundTrace::of(trace);
        let sound = sound.map_err(|contradiction| Error::failure(contradiction.to_string()))?;
        let summary = Summary::from_trace(&sound);
        let mut soak = Self {
            responses,
            flips: plan.flips.len(),
            repairs: 0,
            repairing: Duration::ZERO,
            counts: BTreeMap::new(),
            violations: Conformance::of(&sound).violations(),
            early: summary.threads().map(|(_, thread)| thread.too_close).sum(),
            stops: 0,
            time,
        };
        for core in &trace.cores {
            let mut begin = None;
            for (tsc, event) in events(core)? {
                if let Some(name) = counted(&event) {
                    *soak.counts.entry(name).or_default() += 1;
                }
                match event {
                    Event::RepairStart { .. } => _ = begin.get_or_insert(tsc),
                    Event::RepairEnd {
                        result: RepairResult::Done,
                        ..
                    } => {
                        soak.repairs += 1;
                        let ticks = begin.take().map_or(0, |begin| tsc - begin);
                        let nanos = trace.tsc.to_duration(ticks).as_nanos();
                        soak.repairing += Duration::from_nanos(nanos);
                    }
                    Event::Stop { .. }
                    | Event::Vote {
                        outcome: VoteOutcome::NoMajority,
                        ..
                    } => soak.stops += 1,
                    _ => {}
                }
            }
        }
        Ok(soak)
    }

    /// What is wrong with it, a line each.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let mut failures: Vec<String> = self
            .responses
            .iter()
            .filter(|response| !response.holds())
            .map(|response| match response.bound {
                Some(_) => format!("{} is above its bound", response.name),
                None => format!("{} has no bound that covers it", response.name),
            })
            .collect();
        if self.violations > 0 {
            failures.push(format!("{} server rules were not kept", self.violations));
        }
        if self.early > 0 {
            failures.push(format!("{} jobs of drivers came too early", self.early));
        }
        if self.stops > 0 {
            failures.push("the replica set stopped".into());
        }
        // The last may be under way.
        if self.repairs + 1 < self.flips as u64 {
            let (repairs, flips) = (self.repairs, self.flips);
            failures.push(format!("{repairs} repairs of {flips}"));
        }
        failures
    }
}

impl fmt::Display for Soak {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        bounds::table(out, &self.responses)?;
        let counts: Vec<_> = self
            .counts
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        let (time, repairing) = (self.time.as_secs_f64(), self.repairing.as_secs_f64());
        writeln!(
            out,
            "in {time:.1} s: {}; {} of {} repairs of {PAGES} pages, under way for \
             {repairing:.1} s; no deadline missed, no record lost",
            counts.join(", "),
            self.repairs,
            self.flips
        )
    }
}

fn counted(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::Complete { .. } => "jobs",
        Event::Exhaust { .. } => "budgets used up",
        Event::Vote { .. } => "votes",
        Event::RepairPage { .. } => "pages repaired",
        _ => return None,
    })
}

/// The load for `time`.
#[must_use]
pub fn plan(time: Duration) -> Plan {
    Plan {
        name: "soak",
        millis: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        flips: flips(time),
        ..Plan::default()
    }
}

/// Flips in one replica after the other, each shortly before an epoch.
fn flips(time: Duration) -> Vec<Flip> {
    let epochs = (1..).step_by(EPOCHS as usize);
    let ats = epochs.map(|epoch| PERIOD * epoch - Duration::from_millis(1));
    let flips = ats.take_while(|at| *at < time).enumerate();
    let flip = |(number, at): (usize, Duration)| Flip {
        at,
        sandbox: number % REPLICAS,
        pages: PAGES,
    };
    flips.map(flip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flips_take_turns_among_the_replicas() {
        let flips = flips(Duration::from_secs(10));
        assert_eq!(flips.len(), 333);
        let sandboxes: Vec<_> = flips.iter().map(|flip| flip.sandbox).take(4).collect();
        assert_eq!(sandboxes, [0, 1, 2, 0]);
        assert_eq!(flips[1].at - flips[0].at, PERIOD * EPOCHS);
    }
}
