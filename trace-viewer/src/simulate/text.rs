//! A simulated schedule for people: a chart of each sandbox, and a table of its jobs.
use std::fmt;

use tern_units::Duration;

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
        for index in 0..self.system.sandboxes.len() {
            self.sandbox(out, index, axis)?;
        }
        Ok(())
    }
}

impl Schedule<'_> {
    fn sandbox(&self, out: &mut fmt::Formatter<'_>, index: usize, axis: Axis) -> fmt::Result {
        let sandbox = &self.system.sandboxes[index];
        writeln!(out, "\nsandbox {}, core {}", sandbox.name, sandbox.core)?;
        let servers = sandbox
            .servers
            .iter()
            .map(|server| server.name.chars().count());
        let threads = sandbox
            .threads()
            .map(|(_, _, thread)| thread.name.chars().count() + 2);
        let width = servers.chain(threads).max().unwrap_or(0);
        for line in axis.labels() {
            writeln!(out, "  {:width$}  {line}", "")?;
        }
        let mut table = Table::new(&["thread", "jobs", "done", "late", "longest response"]);
        for history in self
            .simulation
            .servers
            .iter()
            .filter(|it| it.sandbox == index)
        {
            let server = &sandbox.servers[history.server];
            writeln!(
                out,
                "  {:width$}  {}",
                server.name,
                axis.runs(&history.runs)
            )?;
            for (number, thread) in server.threads.iter().enumerate() {
                let jobs = self.simulation.jobs.iter().filter(|job| {
                    (job.sandbox, job.server, job.thread) == (index, history.server, number)
                });
                let name = format!("  {}", thread.name);
                let line = format!("  {name:width$}  {}", axis.jobs(jobs.clone()));
                writeln!(out, "{}", line.trim_end())?;

                let done = jobs.clone().filter(|job| job.finish.is_some());
                let late = jobs.clone().filter(|job| job.missed(self.until)).count();
                let longest = done.clone().filter_map(|job| {
                    job.finish
                        .map(|finish| finish.saturating_since(job.release))
                });
                table.line(vec![
                    format!("{}.{}", server.name, thread.name),
                    jobs.count().to_string(),
                    done.count().to_string(),
                    late.to_string(),
                    longest
                        .max()
                        .map_or(String::new(), |longest: Duration| longest.to_string()),
                ]);
            }
        }
        if !table.is_empty() {
            write!(out, "\n{}", table.render())?;
        }
        Ok(())
    }
}
