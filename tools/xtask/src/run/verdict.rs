//! The verdict: what has to hold for a run to count as passed, and what was seen.
use super::evidence::{Evidence, Outputs, Repair, Sign};
use crate::emulator::ExitCounts;
use std::fmt;
use tern_abi::directory::ExitReason;
use tern_config::Voting;
use tern_units::Duration;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is about.
    pub name: &'static str,
    /// What was seen.
    pub seen: String,
    /// Whether it is as it has to be; `None` for what is only told.
    pub holds: Option<bool>,
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    lines: Vec<Line>,
}

impl Verdict {
    /// Judges a run.
    #[must_use]
    pub fn of(evidence: &Evidence<'_>) -> Self {
        let mut verdict = Self::default();
        verdict.fault(evidence);
        if evidence.set().voting == Voting::Unprotected {
            verdict.tell("vote", "none: one copy, its outputs released as they come");
        } else {
            verdict.recovery(evidence);
        }
        verdict.outputs(evidence);
        verdict.disturbance(evidence);
        verdict.exits(evidence);
        verdict.trace(evidence);
        verdict
    }

    /// Whether everything that has to hold does.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.lines.iter().all(|line| line.holds != Some(false))
    }

    /// The lines.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    fn tell(&mut self, name: &'static str, seen: impl Into<String>) {
        self.lines.push(Line {
            name,
            seen: seen.into(),
            holds: None,
        });
    }

    fn require(&mut self, name: &'static str, holds: bool, seen: impl Into<String>) {
        self.lines.push(Line {
            name,
            seen: seen.into(),
            holds: Some(holds),
        });
    }

    fn fault(&mut self, evidence: &Evidence<'_>) {
        match evidence.injected {
            None => self.tell("fault injected", "none"),
            Some((epoch, injected)) => {
                let name = evidence.replica_name(injected.replica);
                self.tell("fault injected", format!("{name}: {}", injected.what));
                let nanos = evidence.trace.nanos(injected.tsc);
                self.tell(
                    "",
                    format!("after the vote of epoch {epoch}, {}", seconds(nanos)),
                );
            }
        }
    }

    fn recovery(&mut self, evidence: &Evidence<'_>) {
        if let Some(epoch) = evidence.stopped() {
            self.require("safe stop", false, format!("no majority in epoch {epoch}"));
        }
        let accusations = evidence.false_accusations();
        self.require(
            "false accusations",
            accusations == 0,
            accusations.to_string(),
        );
        let Some((_, injected)) = evidence.injected else {
            let since = evidence.unanimous_since();
            self.require("votes", since == Some(0), unanimous(since));
            return;
        };
        let Some(detection) = evidence.detection() else {
            self.masked(evidence);
            return;
        };
        let fault = evidence.trace.nanos(injected.tsc);
        let delay = evidence
            .vote_time(detection.epoch)
            .map(|vote| between(fault, vote));
        let how = match detection.sign {
            Sign::Difference => "summary differs",
            Sign::Timeout => "no ballot in time",
            Sign::Request => "its program had stopped",
        };
        let after = delay.map_or("?".into(), |delay| delay.to_string());
        let seen = format!("epoch {}, {after} after the fault: {how}", detection.epoch);
        self.require("detected", true, seen);
        let voters: Vec<&str> = (0..evidence.set().replicas.len())
            .filter(|replica| detection.majority >> replica & 1 == 1)
            .map(|replica| evidence.replica_name(replica))
            .collect();
        self.require("voted out by", voters.len() >= 2, voters.join(" and "));
        self.repair(&evidence.repair());
        let since = evidence.unanimous_since();
        let again = since.is_some_and(|since| since > detection.epoch);
        self.require("summaries equal again", again, unanimous(since));
    }

    fn repair(&mut self, repair: &Repair) {
        let rounds = match repair.rounds {
            1 => "in one round".to_string(),
            rounds => format!("in {rounds} rounds"),
        };
        self.tell(
            "pages that differed",
            format!("{} {rounds}", repair.differed),
        );
        let same = repair.copied == repair.differed && repair.pages == repair.copied;
        self.require(
            "pages copied",
            same && repair.done,
            repair.copied.to_string(),
        );
        let time = repair.span.map(|(start, end)| between(start, end));
        let rejoined = match repair.rejoined {
            Some(epoch) => format!(", in the set again from epoch {epoch}"),
            None => ", not in the set again".into(),
        };
        let time = time.map_or("none".into(), |time| time.to_string());
        self.require("repair time", repair.rejoined.is_some(), time + &rejoined);
    }

    /// No vote found the fault: right only if it left no trace in the replica.
    fn masked(&mut self, evidence: &Evidence<'_>) {
        let since = evidence.unanimous_since();
        self.require("votes", since == Some(0), unanimous(since));
        let (holds, seen) = match &evidence.differing_at_end {
            Some(pages) if pages.is_empty() => (
                true,
                "masked: overwritten before it was used; all replicas' pages are equal".into(),
            ),
            Some(pages) => (
                false,
                format!("latent: {} pages differ, and no vote said so", pages.len()),
            ),
            None => (
                false,
                "not detected, and the replicas could not be compared".into(),
            ),
        };
        self.require("detected", holds, seen);
    }

    fn outputs(&mut self, evidence: &Evidence<'_>) {
        let expected = evidence.exchanges.len() as u64;
        match evidence.outputs() {
            Some(outputs) => self.compared(expected, &outputs),
            None => {
                let released = evidence.released();
                let holds = released == expected && expected > 0;
                let seen = format!("{released} of {expected} released");
                self.require("outputs", holds, seen);
            }
        }
        let motions = || {
            let exchanges = evidence.exchanges.iter();
            exchanges.filter_map(|it| Some((it.command.epoch, it.motion?)))
        };
        if motions().next().is_some() {
            let fallen = motions().find(|(_, motion)| motion.fallen);
            let angles = motions().map(|(_, motion)| motion.angle.abs());
            let worst = angles.fold(0.0, f64::max).to_degrees();
            let seen = match fallen {
                None => format!("throughout, at most {worst:.2}° off"),
                Some((epoch, _)) => format!("no: fell in epoch {epoch}"),
            };
            self.require("pendulum upright", fallen.is_none(), seen);
        }
        let inputs = evidence.inputs().map(|inputs| inputs.stale);
        self.tell("stale inputs", inputs.sum::<u64>().to_string());
    }

    fn compared(&mut self, expected: u64, outputs: &Outputs) {
        let released = outputs.released;
        let seen = match outputs.first {
            None => format!("{released} of {expected} released, all as computed on the host"),
            Some(first) => {
                let forces = match outputs.worst {
                    None => "only in the check over the controller's memory".into(),
                    Some((epoch, wrong, right)) => format!(
                        "{} in the force, the worst in epoch {epoch}: {wrong:.4} N for {right:.4} N",
                        outputs.wrong_forces
                    ),
                };
                format!(
                    "{} of {released} wrong from epoch {first} on, {forces}",
                    outputs.wrong
                )
            }
        };
        let holds = outputs.wrong == 0 && outputs.released == expected && expected > 0;
        self.require("outputs", holds, seen);
    }

    fn disturbance(&mut self, evidence: &Evidence<'_>) {
        let (misses, while_out) = evidence.misses();
        let total: u64 = misses.values().sum();
        let mut seen = if total == 0 {
            format!("0 in each of {} servers", misses.len())
        } else {
            let late = misses.iter().filter(|(_, count)| **count > 0);
            let late: Vec<_> = late
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            late.join(", ")
        };
        if while_out > 0 {
            let jobs = if while_out == 1 { "job" } else { "jobs" };
            seen += &format!("; {while_out} {jobs} of the hit replica itself, until it was back");
        }
        self.require("deadline misses", total == 0, seen);
        let stopped: Vec<_> = evidence
            .violations
            .iter()
            .map(|(name, violation)| {
                let reason = (violation.reason as usize).wrapping_sub(1);
                let reason = ExitReason::ALL
                    .get(reason)
                    .map_or("?", |reason| reason.name());
                format!("{name} ({reason} at {:#x})", violation.instruction)
            })
            .collect();
        let seen = if stopped.is_empty() {
            "none".into()
        } else {
            stopped.join(", ")
        };
        self.require("sandboxes stopped", stopped.is_empty(), seen);
    }

    /// The exits of each sandbox by reason: its kernel's start makes some, its jobs none.
    fn exits(&mut self, evidence: &Evidence<'_>) {
        let none = ExitCounts::default();
        // A sandbox without an APIC of its own reaches it by hypercalls from its start on.
        let by_hypercall = evidence
            .exits
            .iter()
            .any(|(first, _)| first.of(ExitReason::ApicHypercall) > 0);
        let told = |since: ExitCounts, until: ExitCounts| {
            let counts = until.since(since);
            let counts = counts.map(|(reason, count)| format!("{} {count}", reason.name()));
            let counts: Vec<_> = counts.collect();
            match counts.is_empty() {
                true => "none".into(),
                false => counts.join(", "),
            }
        };
        let exits = evidence.exits.iter();
        let mut steady = exits
            .flat_map(|(first, last)| last.since(*first))
            .peekable();
        let none_at_all = steady.peek().is_none();
        let holds = steady.all(|(reason, _)| by_hypercall && reason == ExitReason::ApicHypercall);
        let seen = match (none_at_all, holds) {
            (true, _) => "0 in every sandbox between the first and the last epoch",
            (false, true) => "only to the APIC, as there is no x2APIC here",
            (false, false) => "between the first and the last epoch too",
        };
        self.require("exits", holds, seen);
        for (sandbox, (first, last)) in evidence.system.sandboxes.iter().zip(&evidence.exits) {
            let (start, epochs) = (told(none, *first), told(*first, *last));
            let name = &sandbox.name;
            self.tell(
                "",
                format!("{name}: at its start {start}; in the epochs {epochs}"),
            );
        }
    }

    fn trace(&mut self, evidence: &Evidence<'_>) {
        let summary = &evidence.summary;
        let records: u64 = summary.sandboxes.iter().map(|it| it.records).sum();
        let mut seen = format!("{records} records, {} lost", summary.lost());
        for reason in &summary.unsound {
            seen += &format!("; {reason}");
        }
        self.require("trace", summary.unsound.is_empty(), seen);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            let mark = match line.holds {
                Some(true) => "ok  ",
                Some(false) => "FAIL",
                None => "    ",
            };
            writeln!(out, "  {mark}  {:<22} {}", line.name, line.seen)?;
        }
        Ok(())
    }
}

fn unanimous(since: Option<u64>) -> String {
    match since {
        Some(epoch) => format!("unanimous from epoch {epoch} to the end"),
        None => "not unanimous at the end".into(),
    }
}

/// From `start` to `end`, in nanoseconds after the time epoch.
fn between(start: i64, end: i64) -> Duration {
    Duration::from_nanos(end.saturating_sub(start).max(0).unsigned_abs())
}

fn seconds(nanos: i64) -> String {
    format!("{:.3} s after the time epoch", nanos as f64 / 1e9)
}
