//! `tern check FILE`: whether every deadline of a system holds.
use std::path::{Path, PathBuf};

use tern_config::{Description, System};
use tern_sched::analysis::CostTable;

use crate::check::{CheckJson, check, check_and_advise, cost_table};
use crate::status::Status;

/// Checks, before boot, that every deadline of a system description holds.
///
/// Ends with 0 if the system is schedulable, 1 if not, 65 if the description is invalid.
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The system description.
    file: PathBuf,
    /// Prints one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
#[must_use]
pub fn run(arguments: &Arguments) -> Status {
    let Some((system, costs)) = read(&arguments.file) else {
        return Status::BadInput;
    };
    let report = if arguments.json {
        let report = check(&system, &costs);
        super::print_json(&CheckJson::from(&report));
        report
    } else {
        let report = check_and_advise(&system, &costs);
        super::print(&report.to_string());
        report
    };
    if report.schedulable() {
        Status::Well
    } else {
        Status::Late
    }
}

/// Reads a description and its platform's costs for a command; says on standard error what is
/// wrong with them, or sound but probably not meant.
pub(super) fn read(file: &Path) -> Option<(System, CostTable)> {
    let description = Description::read(file)
        .map_err(|problems| complain(&problems))
        .ok()?;
    for warning in &description.warnings {
        let (line, key, reason) = (warning.line, &warning.key, &warning.reason);
        complain(&format!(
            "{}:{line}: warning: {key}: {reason}",
            description.file
        ));
    }
    let costs = description
        .costs()
        .map_err(|problems| complain(&problems))
        .ok()?;
    Some((description.system, cost_table(&costs)))
}

/// Prints a line on standard error; a reader that closes the pipe early is no error.
pub(super) fn complain(message: &dyn std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{message}");
}
