//! `tern summary FILE`: the numbers of a run.
use std::path::PathBuf;

use crate::status::Status;
use crate::summary::Summary;

/// Prints jobs, servers, votes, repairs, exits and losses of a trace.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The trace.
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
    super::on_sound_trace(&arguments.file, |trace| {
        let summary = Summary::from_trace(trace);
        if arguments.json {
            super::print_json(&summary)?;
        } else {
            super::print(&summary.to_string())?;
        }
        Ok(summary.status())
    })
}
