//! `tern check FILE`: whether every deadline of a system holds.
use std::path::PathBuf;

use tern_config::Description;

use crate::check::{CheckJson, check, cost_table};
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
    let Some(description) = super::describe(&arguments.file) else {
        return Status::BadInput;
    };
    let costs = match description.costs() {
        Ok(costs) => cost_table(&costs),
        Err(problems) => {
            eprintln!("{problems}");
            return Status::BadInput;
        }
    };
    let report = check(&description.system, &costs);
    if arguments.json {
        super::print_json(&CheckJson::from(&report));
    } else {
        super::print(&report.to_string());
    }
    if report.schedulable() { Status::Well } else { Status::Late }
}

/// Says what is sound in a description but probably not meant.
pub(super) fn warn(description: &Description) {
    for warning in &description.warnings {
        let (line, key, reason) = (warning.line, &warning.key, &warning.reason);
        eprintln!("{}:{line}: warning: {key}: {reason}", description.file);
    }
}
