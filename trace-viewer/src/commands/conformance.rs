//! `tern conformance FILE`: did the servers keep their rules?
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::status::Status;
use crate::summary::{Exceeded, Summary};
use crate::table::{Table, instant, span};
use crate::verdict::conformance::Conformance;

/// Replays a trace against the rules of sporadic and I/O servers.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The trace.
    file: PathBuf,
    /// Prints one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// How many violations of a server are listed one by one.
const LISTED: usize = 10;

/// Runs the command.
///
/// # Errors
/// What kept it from its end.
pub fn run(arguments: &Arguments) -> Result<Status, Status> {
    super::on_sound_trace(&arguments.file, |trace| {
        let conformance = Conformance::of(trace);
        let exceeded = Summary::from_trace(trace).exceeded;
        let found = Found {
            conformance: &conformance,
            exceeded: &exceeded,
        };
        if arguments.json {
            super::print_json(&found)?;
        } else {
            super::print(&text(&found))?;
        }
        if conformance.servers.is_empty() && trace.losses().is_empty() {
            let reason = match trace.layout().system {
                Some(_) => "its system has no servers: there are no rules to keep",
                None => "no system description, so no server's rules are known",
            };
            super::complain_of(&arguments.file, &reason);
            return Ok(Status::BadInput);
        }
        Ok(match (conformance.violations(), exceeded.is_empty()) {
            (0, true) => Status::Well,
            (0, false) => Status::Late,
            _ => Status::Nonconforming,
        })
    })
}

/// What the servers did, and what was promised of their threads and did not hold.
#[derive(serde::Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    conformance: &'a Conformance,
    exceeded: &'a [Exceeded],
}

fn text(found: &Found<'_>) -> String {
    let mut first = String::new();
    for exceeded in found.exceeded {
        let _ = writeln!(first, "above its bound: {exceeded}");
    }
    let conformance = found.conformance;
    let mut table = Table::new(&[
        "sandbox",
        "server",
        "replenishments",
        "ran",
        "charged",
        "overruns",
        "longest",
        "violations",
    ]);
    let mut list = String::new();
    for server in &conformance.servers {
        let violations = match server.checked {
            true => server.violations.len().to_string(),
            false => "not checked".to_string(),
        };
        table.line(vec![
            server.sandbox.clone(),
            server.server.clone(),
            server.replenishments.to_string(),
            span(server.ran_ns),
            span(server.charged_ns),
            server.overruns.to_string(),
            span(server.overrun_ns),
            violations,
        ]);
        for violation in server.violations.iter().take(LISTED) {
            let _ = writeln!(
                list,
                "{} {} at {}: {}: {}",
                server.sandbox,
                server.server,
                instant(violation.at_ns),
                violation.rule.name(),
                violation.text
            );
        }
    }
    for reason in &conformance.not_judged {
        let _ = writeln!(list, "not judged: {reason}");
    }
    let verdict = conformance.verdict();
    format!("{first}{}{list}verdict: {verdict}\n", table.render())
}
