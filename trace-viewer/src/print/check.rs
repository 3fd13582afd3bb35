//! The report of a check for people.
use std::fmt;

use tern_check::{RecoveryReport, Report, SandboxReport};
use tern_config::description::NO_PLATFORM;
use tern_sched::analysis::{Bound, RepairBound};
use tern_units::Duration;

use super::check_json::bound_name;
use crate::table::Table;

/// A report as `tern check` prints it: tables, reasons, advice.
#[derive(Clone, Copy, Debug)]
pub struct CheckText<'a>(pub &'a Report);

impl fmt::Display for CheckText<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        let verdict = if report.schedulable() {
            "schedulable"
        } else {
            "NOT SCHEDULABLE"
        };
        write!(out, "{}: {verdict}", report.system)?;
        match report.platform.as_str() {
            NO_PLATFORM => writeln!(out, " (no platform: costs not counted)")?,
            platform => writeln!(out, " (platform {platform})")?,
        }
        for sandbox in &report.sandboxes {
            writeln!(out, "\nsandbox {}, core {}", sandbox.name, sandbox.core)?;
            write!(out, "{}", table(sandbox).render())?;
            for server in &sandbox.servers {
                for (name, failure) in [(server.name.clone(), &server.failure)].into_iter().chain(
                    server.threads.iter().map(|thread| {
                        (format!("{}.{}", server.name, thread.name), &thread.failure)
                    }),
                ) {
                    let Some(failure) = failure else { continue };
                    writeln!(out, "  {name}: {}", failure.reason)?;
                    if let Some(change) = &failure.change {
                        writeln!(out, "    smallest change that helps: {change}")?;
                    }
                }
            }
        }
        for set in &report.recovery {
            let RecoveryReport { bound, all, .. } = set;
            let RecoveryReport { set, pages, .. } = set;
            write!(out, "\nreplica set {set}: ")?;
            match bound {
                Ok(bound) => writeln!(out, "{}", repaired(bound, *pages))?,
                Err(obstacle) => writeln!(
                    out,
                    "no bound on repairs if {pages} pages differ: {obstacle}"
                )?,
            }
            if let Some((all, bound)) = all.filter(|(all, _)| all > pages) {
                writeln!(out, "replica set {set}: {}", repaired(&bound, all))?;
            }
        }
        Ok(())
    }
}

fn repaired(bound: &RepairBound, pages: u64) -> String {
    let apart = match bound.apart {
        1 => "in every epoch",
        _ => "in every other epoch",
    };
    let time = bound.time;
    format!("repaired within {time} of the verdict's deadline if {pages} pages differ, {apart}")
}

fn table(sandbox: &SandboxReport) -> Table {
    let mut table = Table::new(&[
        "server", "work", "period", "response", "deadline", "slack", "", "by",
    ]);
    for server in &sandbox.servers {
        let mut line = vec![server.name.clone()];
        line.extend(times(
            server.budget,
            server.period,
            server.response,
            server.deadline,
        ));
        line.push(
            if server.gave_up {
                bound_name(Bound::ClosedForm)
            } else {
                ""
            }
            .into(),
        );
        table.line(line);
        for thread in &server.threads {
            let mut line = vec![format!("  {}", thread.name)];
            line.extend(times(
                thread.wcet,
                thread.period,
                thread.response,
                thread.deadline,
            ));
            line.push(thread.bound.map_or("", bound_name).into());
            table.line(line);
        }
    }
    table
}

fn times(
    work: Duration,
    period: Duration,
    response: Option<Duration>,
    deadline: Duration,
) -> Vec<String> {
    let slack = response.map(|response| match deadline.checked_sub(response) {
        Some(slack) => slack.to_string(),
        None => format!("-{}", response.saturating_sub(deadline)),
    });
    let in_time = response.is_some_and(|response| response <= deadline);
    vec![
        work.to_string(),
        period.to_string(),
        response.map_or("unbounded".into(), |response| response.to_string()),
        deadline.to_string(),
        slack.unwrap_or_default(),
        if in_time {
            String::new()
        } else {
            "LATE".into()
        },
    ]
}
