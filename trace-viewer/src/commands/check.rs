//! `tern check FILE`: whether every deadline of a system holds.
use std::path::{Path, PathBuf};

use tern_check::{check, check_and_advise, cost_table};
use tern_config::{Description, Problems, System};
use tern_sched::analysis::CostTable;

use super::complain;
use crate::print::{CheckJson, CheckText};
use crate::status::Status;

/// Checks, before boot, that every deadline of a system description holds
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
///
/// # Errors
/// What kept it from its end.
pub fn run(arguments: &Arguments) -> Result<Status, Status> {
    let (system, costs) = read(&arguments.file)?;
    let report = if arguments.json {
        let report = check(&system, &costs);
        super::print_json(&CheckJson::from(&report))?;
        report
    } else {
        let report = check_and_advise(&system, &costs);
        super::print(&CheckText(&report).to_string())?;
        report
    };
    Ok(match report.schedulable() {
        true => Status::Well,
        false => Status::Late,
    })
}

/// Reads a description and its platform's costs for a command; says on standard error what is
/// wrong with them, or sound but probably not meant.
pub(super) fn read(file: &Path) -> Result<(System, CostTable), Status> {
    let refuse = |problems: Problems| {
        complain(&problems);
        Status::BadInput
    };
    let description = Description::read(file).map_err(refuse)?;
    for warning in &description.warnings {
        let (line, key, reason) = (warning.line, &warning.key, &warning.reason);
        complain(&format!(
            "{}:{line}: warning: {key}: {reason}",
            description.file
        ));
    }
    let costs = description.costs().map_err(refuse)?;
    Ok((description.system, cost_table(&costs)))
}
