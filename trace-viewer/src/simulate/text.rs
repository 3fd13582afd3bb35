//! A simulated schedule for people: a chart of each sandbox, and a table of its jobs.
use std::collections::BTreeMap;
use std::fmt;

use tern_sim::JobHistory;

use super::Schedule;
use super::gantt::Axis;
use crate::table::Table;

impl fmt::Display for Schedule<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axis = Axis::new(self.until);
        let until = self.until.saturating_since(tern_units::Instant::EPOCH);
        writeln!(
            out,
            "{}: the first {until}, a column is {}",
            self.system.name,
            axis.column()
        )?;
        if self.refused {
            writeln!(
                out,
                "NOT SCHEDULABLE: `tern check` refuses this system and says why"
            )?;
        }
        writeln!(
            out,
            "# runs  - runs a little  ^ release  v completion  x both  ! deadline missed"
        )?;
        let jobs = self.jobs_by_thread();
        for index in 0..self.system.sandboxes.len() {
            self.sandbox(out, index, axis, &jobs)?;
        }
        Ok(())
    }
}

/// Each thread's jobs, by its sandbox, server and place there.
type Jobs<'a> = BTreeMap<(usize, usize, usize), &'a [JobHistory]>;

impl Schedule<'_> {
    /// The jobs of a thread come one after the other.
    fn jobs_by_thread(&self) -> Jobs<'_> {
        let thread = |job: &JobHistory| (job.sandbox, job.server, job.thread);
        let threads = self.simulation.jobs.chunk_by(|a, b| thread(a) == thread(b));
        threads.map(|jobs| (thread(&jobs[0]), jobs)).collect()
    }

    fn sandbox(
        &self,
        out: &mut fmt::Formatter<'_>,
        index: usize,
        axis: Axis,
        jobs: &Jobs<'_>,
    ) -> fmt::Result {
        let sandbox = &self.system.sandboxes[index];
        writeln!(out, "\nsandbox {}, core {}", sandbox.name, sandbox.core)?;
        let servers = sandbox.servers.iter();
        let servers = servers.map(|server| server.name.chars().count());
        let threads = sandbox.threads();
        let threads = threads.map(|(_, _, thread)| thread.name.chars().count() + 2);
        let width = servers.chain(threads).max().unwrap_or(0);
        for line in axis.labels() {
            writeln!(out, "  {:width$}  {line}", "")?;
        }
        let mut table = Table::new(&["thread", "jobs", "done", "late", "longest response"]);
        let histories = self.simulation.servers.iter();
        for history in histories.filter(|history| history.sandbox == index) {
            let server = &sandbox.servers[history.server];
            let runs = axis.runs(&history.runs);
            writeln!(out, "  {:width$}  {runs}", server.name)?;
            for (number, thread) in server.threads.iter().enumerate() {
                let jobs = jobs.get(&(index, history.server, number));
                let jobs = jobs.copied().unwrap_or_default();
                let name = format!("  {}", thread.name);
                let line = format!("  {name:width$}  {}", axis.jobs(jobs.iter()));
                writeln!(out, "{}", line.trim_end())?;
                table.line(self.counts(format!("{}.{}", server.name, thread.name), jobs));
            }
        }
        match table.is_empty() {
            true => Ok(()),
            false => write!(out, "\n{}", table.render()),
        }
    }

    /// A thread's line in the table.
    fn counts(&self, name: String, jobs: &[JobHistory]) -> Vec<String> {
        let late = jobs.iter().filter(|job| job.missed(self.until)).count();
        let responses = jobs.iter().filter_map(JobHistory::response);
        let longest = responses.clone().max();
        vec![
            name,
            jobs.len().to_string(),
            responses.count().to_string(),
            late.to_string(),
            longest.map_or(String::new(), |longest| longest.to_string()),
        ]
    }
}
