//! `tern report FILE`: the run as one HTML page.
use std::path::PathBuf;

use crate::report;
use crate::status::Status;
use crate::summary::Summary;

/// Writes one HTML file that needs nothing else: numbers, chart and stories.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The trace.
    file: PathBuf,
    /// Where to write; by default beside the trace, with the extension `html`.
    #[arg(short, long)]
    output: Option<PathBuf>,
}

/// Runs the command. Its status is that of `tern summary` for the same trace, so that a
/// pipeline keeps the page and fails all the same.
///
/// # Errors
/// What kept it from its end.
pub fn run(arguments: &Arguments) -> Result<Status, Status> {
    let output = match &arguments.output {
        Some(output) => output.clone(),
        None => arguments.file.with_extension("html"),
    };
    super::on_sound_trace(&arguments.file, |trace| {
        super::deliver(&output, report::html(trace).as_bytes())?;
        Ok(Summary::from_trace(trace).status())
    })
}
