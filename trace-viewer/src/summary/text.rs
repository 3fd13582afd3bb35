//! The summary for people.
use std::fmt::{self, Display, Formatter};

use super::{Repair, SandboxSummary, Summary, Votes};
use crate::table::signed_span;
use crate::table::{Table, count, instant, span};

/// How many votes of a kind are listed one by one.
const LISTED: usize = 10;

impl Display for Summary {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let records: u64 = self.sandboxes.iter().map(|sandbox| sandbox.records).sum();
        writeln!(
            out,
            "{}, build {}: {}, {} from {} to {}, {} lost",
            self.system.as_deref().unwrap_or("unknown system"),
            self.build,
            count(self.sandboxes.len() as u64, "sandbox"),
            count(records, "record"),
            instant(self.from_ns),
            instant(self.to_ns),
            self.lost(),
        )?;
        for exceeded in &self.exceeded {
            writeln!(out, "above its bound: {exceeded}")?;
        }
        self.jobs(out)?;
        self.servers(out)?;
        self.votes(out)?;
        self.repairs(out)?;
        self.checkpoints(out)?;
        self.inputs(out)?;
        self.notes(out)?;
        self.exits(out)?;
        self.counts(out)?;
        for (title, lines) in [
            ("warning", &self.warnings),
            ("not judged", &self.not_judged),
            ("unsound", &self.unsound),
        ] {
            for line in lines {
                writeln!(out, "{title}: {line}")?;
            }
        }
        writeln!(out, "verdict: {}", self.verdict())
    }
}

fn section(out: &mut Formatter<'_>, title: &str, table: &Table) -> fmt::Result {
    if table.is_empty() {
        return Ok(());
    }
    write!(out, "\n{title}\n{}", table.render())
}

fn dash<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_string(), show)
}

impl Summary {
    /// What the run is worth, in words.
    #[must_use]
    pub fn verdict(&self) -> String {
        if !self.unsound.is_empty() {
            return "the trace has losses or is damaged: it proves nothing".to_string();
        }
        let misses = match self.misses() {
            0 => "no deadline missed".to_string(),
            1 => "1 deadline missed".to_string(),
            misses => format!("{misses} deadlines missed"),
        };
        let jobs = self.exceeded.iter().map(|it| it.count).sum::<u64>();
        match (jobs, self.not_judged.is_empty()) {
            (0, true) => format!("{misses}, every bound held"),
            (0, false) => format!("{misses}; not all bounds are judged"),
            (1, _) => format!("{misses}, 1 response above its bound"),
            (jobs, _) => format!("{misses}, {jobs} responses above their bounds"),
        }
    }

    fn jobs(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            "sandbox", "thread", "server", "jobs", "done", "min", "median", "max", "bound",
            "deadline", "misses",
        ]);
        let mut missed = Vec::new();
        for (sandbox, thread) in self.threads() {
            let times = thread.response;
            table.line(vec![
                sandbox.sandbox.clone(),
                thread.thread.clone(),
                thread.server.clone(),
                thread.released.to_string(),
                thread.completed.to_string(),
                dash(times, |times| signed_span(times.min_ns)),
                dash(times, |times| signed_span(times.median_ns)),
                dash(times, |times| signed_span(times.max_ns)),
                dash(thread.bound_ns, span),
                dash(thread.deadline_ns, span),
                thread.misses.to_string(),
            ]);
            for (jobs, when) in [
                (thread.misses_while_out, "while its replica was out"),
                (thread.misses_while_held, "while its core was held"),
            ] {
                if jobs > 0 {
                    let (sandbox, thread) = (&sandbox.sandbox, &thread.thread);
                    let jobs = count(jobs, "job");
                    missed.push(format!(
                        "  not counted: {sandbox} {thread} missed {jobs} {when}"
                    ));
                }
            }
            if thread.misses > 0 {
                missed.push(format!(
                    "  missed: {} {} in job {}{}",
                    sandbox.sandbox,
                    thread.thread,
                    thread.missed_jobs,
                    match thread.absent {
                        0 => String::new(),
                        absent => format!(" ({absent} of them were never released)"),
                    },
                ));
            }
        }
        section(out, "jobs (response times)", &table)?;
        missed.iter().try_for_each(|line| writeln!(out, "{line}"))
    }

    fn servers(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            "sandbox",
            "server",
            "budget",
            "period",
            "runs",
            "busy",
            "of budget",
            "exhausted",
            "overruns",
            "longest",
            "replenishments",
        ]);
        for sandbox in &self.sandboxes {
            for server in &sandbox.servers {
                let used = server.budget_use_per_mille;
                table.line(vec![
                    sandbox.sandbox.clone(),
                    server.server.clone(),
                    span(server.budget_ns),
                    span(server.period_ns),
                    server.runs.to_string(),
                    span(server.busy_ns),
                    format!("{}.{}%", used / 10, used % 10),
                    server.exhaustions.to_string(),
                    server.overruns.to_string(),
                    span(server.overrun_ns),
                    server.posted.to_string(),
                ]);
            }
        }
        section(out, "servers", &table)
    }

    fn votes(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            "set",
            "epochs",
            "unanimous",
            "minority",
            "timeout",
            "held",
            "no majority",
            "not voted",
        ]);
        for votes in &self.votes {
            table.line(vec![
                votes.set.clone(),
                format!("{} to {}", votes.first_epoch, votes.last_epoch),
                votes.unanimous.to_string(),
                votes.minority.to_string(),
                votes.timeout.to_string(),
                votes.held.to_string(),
                votes.no_majority.to_string(),
                votes.absent.to_string(),
            ]);
        }
        section(out, "votes", &table)?;
        for votes in &self.votes {
            disagreements(out, votes)?;
        }
        for stop in &self.stops {
            let (set, epoch, at) = (&stop.set, stop.epoch, instant(stop.at_ns));
            let sandbox = &stop.sandbox;
            writeln!(
                out,
                "  safe stop of {set} in epoch {epoch} at {at} (recorded by {sandbox})"
            )?;
        }
        for withheld in &self.withheld {
            let (set, epoch, at) = (&withheld.set, withheld.epoch, instant(withheld.at_ns));
            let reason = withheld.reason;
            writeln!(
                out,
                "  output of {set} withheld in epoch {epoch} at {at}: {reason}"
            )?;
        }
        Ok(())
    }

    fn repairs(&self, out: &mut Formatter<'_>) -> fmt::Result {
        if !self.repairs.is_empty() {
            writeln!(out, "\nrepairs")?;
        }
        for found in &self.repairs {
            writeln!(out, "  {}", repair(found))?;
        }
        Ok(())
    }

    fn inputs(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["set", "fresh", "stale"]);
        for inputs in &self.inputs {
            let (fresh, stale) = (inputs.fresh.to_string(), inputs.stale.to_string());
            table.line(vec![inputs.set.clone(), fresh, stale]);
        }
        section(out, "inputs", &table)?;
        for inputs in self.inputs.iter().filter(|inputs| inputs.stale > 0) {
            let (set, epochs) = (&inputs.set, &inputs.stale_epochs);
            writeln!(out, "  stale: {set} in epoch {epochs}")?;
        }
        Ok(())
    }

    fn notes(&self, out: &mut Formatter<'_>) -> fmt::Result {
        if !self.notes.is_empty() {
            writeln!(out, "\nfrom outside")?;
        }
        for note in &self.notes {
            let at = dash(note.at_ns, instant);
            let sandbox = note.sandbox.as_deref().unwrap_or("-");
            writeln!(out, "  {at} {sandbox} {}", note.text)?;
        }
        Ok(())
    }

    fn exits(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["sandbox", "reason", "exits", "first to last epoch"]);
        let steady = |count: Option<u64>| count.map_or("not recorded".into(), |n| n.to_string());
        let with_exits = |it: &&SandboxSummary| it.exits.total > 0 || it.exits.steady.is_none();
        for sandbox in self.sandboxes.iter().filter(with_exits) {
            let exits = &sandbox.exits;
            let sum = exits.total.to_string();
            table.line(vec![
                sandbox.sandbox.clone(),
                "all".into(),
                sum,
                steady(exits.steady),
            ]);
            for count in &exits.by_reason {
                let (reason, total) = (count.reason.clone(), count.total.to_string());
                table.line(vec![String::new(), reason, total, steady(count.steady)]);
            }
        }
        section(out, "exits to the hypervisor", &table)?;
        for sandbox in &self.sandboxes {
            if let Some(from) = sandbox.exits.steady_from_ns.filter(|&from| from > 0) {
                let (name, from) = (&sandbox.sandbox, instant(from));
                writeln!(
                    out,
                    "  {name}: first read at {from}; exits before that count as start-up"
                )?;
            }
        }
        Ok(())
    }

    /// What replicas that keep checkpoints did with them.
    fn checkpoints(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["sandbox", "kept", "gone back to", "pages put back"]);
        let keeping = self.sandboxes.iter();
        for sandbox in keeping.filter(|it| it.checkpoints + it.roll_backs > 0) {
            table.line(vec![
                sandbox.sandbox.clone(),
                sandbox.checkpoints.to_string(),
                sandbox.roll_backs.to_string(),
                sandbox.pages_put_back.to_string(),
            ]);
        }
        section(out, "checkpoints", &table)
    }

    fn counts(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            "sandbox",
            "records",
            "lost",
            "pages hashed",
            "scrubs",
            "interrupts",
            "system calls",
            "faults",
        ]);
        for sandbox in &self.sandboxes {
            let SandboxSummary {
                records,
                lost,
                pages_hashed,
                scrubs,
                ..
            } = sandbox;
            let SandboxSummary {
                interrupts,
                system_calls,
                faults,
                ..
            } = sandbox;
            let counts = [
                records,
                lost,
                pages_hashed,
                scrubs,
                interrupts,
                system_calls,
                faults,
            ];
            let mut line = vec![sandbox.sandbox.clone()];
            line.extend(counts.iter().map(ToString::to_string));
            table.line(line);
        }
        section(out, "counts", &table)?;
        writeln!(out)
    }
}

fn disagreements(out: &mut Formatter<'_>, votes: &Votes) -> fmt::Result {
    for vote in votes.disagreements.iter().take(LISTED) {
        write!(
            out,
            "  {} epoch {} at {}: {}",
            votes.set,
            vote.epoch,
            instant(vote.at_ns),
            vote.outcome
        )?;
        if !vote.faulty.is_empty() {
            write!(out, ", against {}", vote.faulty.join(" and "))?;
        }
        if let Some(donor) = &vote.donor {
            write!(out, ", donor {donor}")?;
        }
        if let Some(witness) = &vote.witness {
            write!(out, ", witness {witness}")?;
        }
        writeln!(out)?;
    }
    match votes.disagreements.len().saturating_sub(LISTED) {
        0 => Ok(()),
        more => writeln!(out, "  ... and {more} more"),
    }
}

fn repair(repair: &Repair) -> String {
    let mut text = format!(
        "{} in {}: from {}, {} differing, {} copied in {}, {}",
        repair.set,
        repair.sandbox,
        instant(repair.started_ns),
        count(repair.differing, "page"),
        repair.copied,
        count(repair.rounds, "round"),
        repair.result,
    );
    if let Some(duration) = repair.duration_ns {
        text += &format!(" after {}", span(duration));
    }
    if let Some(epoch) = repair.detected_epoch {
        text += &format!("; detected in epoch {epoch}");
    }
    if let Some(epoch) = repair.rejoined_epoch {
        text += &format!("; rejoined in epoch {epoch}");
    }
    text
}
