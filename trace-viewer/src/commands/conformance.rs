//! `tern conformance FILE`: did the servers keep their rules?
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::conformance::Conformance;
use crate::layout::Layout;
use crate::status::Status;
use crate::table::{Table, count, instant, span};

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
    let trace = super::load(&arguments.file)?;
    let conformance = Conformance::of(&trace);
    if arguments.json {
        super::print_json(&conformance)?;
    } else {
        super::print(&text(&conformance))?;
    }
    let soundness = super::soundness(&arguments.file, &trace);
    Ok(if soundness != Status::Well {
        soundness
    } else if conformance.servers.is_empty() {
        let reason = match Layout::of(&trace).system {
            Some(_) => "its system has no servers: there are no rules to keep",
            None => "no system description, so no server's rules are known",
        };
        super::complain_of(&arguments.file, &reason);
        Status::BadInput
    } else if conformance.violations() > 0 {
        Status::Nonconforming
    } else {
        Status::Well
    })
}

fn text(conformance: &Conformance) -> String {
    let mut table = Table::new(&[
        "sandbox",
        "server",
        "replenishments",
        "ran",
        "charged",
        "overrun",
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
                violation.rule,
                violation.text
            );
        }
    }
    let is_checked = conformance.servers.iter().any(|server| server.checked);
    let verdict = match conformance.violations() {
        0 if is_checked => "every checked server kept its rules".to_string(),
        0 => "no server was checked".to_string(),
        violations => count(violations as u64, "violation"),
    };
    format!("{}{list}verdict: {verdict}\n", table.render())
}
