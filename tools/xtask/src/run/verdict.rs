//! The verdict: what has to hold for a run to count as passed, and what was seen.
mod faults;

use super::evidence::Evidence;
use super::outputs::Outputs;
use crate::emulator::ExitCounts;
use std::fmt;
use tern_abi::directory::ExitReason;
use tern_config::Voting;
use tern_config::layout::REPAIR_LOOKS;

/// Outputs that a single fault may cost two replicas in lock-step.
const MOST_GIVEN_UP: u64 = 2;

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
        verdict.promises(evidence);
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

    fn outputs(&mut self, evidence: &Evidence<'_>) {
        let withheld = evidence.withheld();
        if withheld > 0 {
            let seen = format!("{withheld}, of epochs in which the voter was held");
            self.tell("outputs withheld", seen);
        }
        let given_up = evidence.given_up();
        if given_up > 0 {
            let most = MOST_GIVEN_UP * evidence.injected.len() as u64;
            let seen = format!("{given_up} of {most} at most, as the two differed");
            self.require("outputs given up", given_up <= most, seen);
        }
        let (forged, taken) = evidence.forged();
        if forged > 0 {
            let seen = format!("{taken} of {forged} taken by the plant");
            self.require("forged outputs", taken == 0, seen);
        }
        let expected = evidence.epochs() - withheld - given_up - evidence.unasked() - forged;
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

    /// What the analysis promised, and the servers' rules: judged as `tern` does.
    fn promises(&mut self, evidence: &Evidence<'_>) {
        let summary = &evidence.summary;
        let (exceeded, open) = (&summary.exceeded, &summary.not_judged);
        let seen = match (exceeded.first(), open.first()) {
            (Some(first), _) => first.to_string(),
            (None, Some(reason)) => format!("not judged: {reason}"),
            (None, None) => "no response above its bound".into(),
        };
        match (exceeded.is_empty(), open.is_empty()) {
            (true, false) => self.tell("bounds", seen),
            (holds, _) => self.require("bounds", holds, seen),
        }

        let conformance = &evidence.conformance;
        let mut seen = conformance.verdict();
        for reason in &conformance.not_judged {
            seen += &format!("; not judged: {reason}");
        }
        self.require("server rules", conformance.violations() == 0, seen);
    }

    fn disturbance(&mut self, evidence: &Evidence<'_>) {
        let misses = evidence.misses();
        let total: u64 = misses.unexplained.values().sum();
        let mut seen = if total == 0 {
            format!("0 in each of {} servers", misses.unexplained.len())
        } else {
            let late = misses.unexplained.iter().filter(|(_, count)| **count > 0);
            let late: Vec<_> = late
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            late.join(", ")
        };
        for (count, whose) in [
            (
                misses.while_out,
                "of the hit replica itself, until it was back",
            ),
            (misses.while_held, "of the held core itself"),
        ] {
            let jobs = if count == 1 { "job" } else { "jobs" };
            if count > 0 {
                seen += &format!("; {count} {jobs} {whose}");
            }
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
        let steady: Vec<_> = (0..)
            .zip(&evidence.exits)
            .flat_map(|(sandbox, (first, last))| {
                let exits = last.since(*first);
                exits.map(move |(reason, count)| (sandbox, reason, count))
            })
            .collect();
        let is_due = |&(sandbox, reason, count): &(u32, ExitReason, u64)| match reason {
            ExitReason::ApicHypercall => by_hypercall,
            ExitReason::Seal => count <= most_seals(evidence, sandbox),
            ExitReason::Close => count <= most_closes(evidence, sandbox),
            ExitReason::Take => count <= most_takes(evidence, sandbox),
            // Who has lost the device is told so, and finds it gone, a bounded number of times.
            ExitReason::Attend | ExitReason::DeviceAway => moves(evidence, sandbox),
            _ => false,
        };
        let holds = steady.iter().all(is_due);
        let has = |wanted| steady.iter().any(|(_, reason, _)| *reason == wanted);
        let mut due = Vec::new();
        match (has(ExitReason::Seal), has(ExitReason::Close)) {
            (false, false) => {}
            (true, false) => due.push("to seal, each channel at most once an epoch"),
            (true | false, true) => due.push("to seal and to close, as often as votes ask for it"),
        }
        if has(ExitReason::Take) {
            due.push("to take the device, as the votes give it");
        }
        if by_hypercall {
            due.push("to the APIC, as there is no x2APIC here");
        }
        let seen = match (holds, due.is_empty()) {
            (false, _) => "between the first and the last epoch, more than are due".into(),
            (true, true) => "0 in every sandbox between the first and the last epoch".into(),
            (true, false) => format!("only {}", due.join(", and ")),
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

/// How long the watched epochs took, in nanoseconds, those without a command among them: of several
/// voters the others go on while the one is held that sends.
fn watched_time(evidence: &Evidence<'_>) -> u64 {
    let mut commands = evidence.exchanges.iter().map(|it| it.command.epoch);
    let first = commands.next();
    let last = commands.next_back().or(first);
    let epochs = first
        .zip(last)
        .map_or(0, |(first, last)| last.saturating_sub(first) + 1);
    epochs * evidence.set().period
}

/// How often a sandbox has sealed its channels at most: each once for each number.
fn most_seals(evidence: &Evidence<'_>, sandbox: u32) -> u64 {
    let time = watched_time(evidence);
    let channels = evidence.system.channels.iter();
    let own = channels.filter(|channel| channel.writer == sandbox);
    own.filter_map(|channel| channel.seal)
        .map(|interval| time.div_ceil(interval))
        .sum()
}

/// How often a sandbox in which a replica and one of several voters are has closed others'
/// channels at most: the ballots of an epoch once, and its verdicts whenever it looks for them, the
/// replica after its release and after the verdict, the voter after the verdict.
fn most_closes(evidence: &Evidence<'_>, sandbox: u32) -> u64 {
    let time = watched_time(evidence);
    let sets = evidence.system.replica_sets.iter();
    let own = sets.filter(|set| match set.voting {
        Voting::Arbitrator { .. } | Voting::Unprotected => false,
        Voting::Distributed | Voting::Lockstep { .. } => {
            set.voters.iter().any(|voter| voter.sandbox == sandbox)
        }
    });
    own.map(|set| time.div_ceil(set.period) * (1 + 3 * (REPAIR_LOOKS + 1)))
        .sum()
}

/// How often a sandbox has asked for a device that moves at most: in each epoch once, and again while
/// who had it has still to leave it.
fn most_takes(evidence: &Evidence<'_>, sandbox: u32) -> u64 {
    match moves(evidence, sandbox) {
        true => watched_time(evidence).div_ceil(evidence.set().period) * (1 + REPAIR_LOOKS),
        false => 0,
    }
}

/// Whether a sandbox has a device that moves.
fn moves(evidence: &Evidence<'_>, sandbox: u32) -> bool {
    evidence.system.shared_device(sandbox as usize).is_some()
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
