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
#[must_use]
pub fn run(arguments: &Arguments) -> Status {
    let trace = match super::load(&arguments.file) {
        Ok(trace) => trace,
        Err(status) => return status,
    };
    let output = match &arguments.output {
        Some(output) => output.clone(),
        None => arguments.file.with_extension("html"),
    };
    let page = report::html(&trace);
    if let Err(error) = std::fs::write(&output, &page) {
        eprintln!("tern: {}: cannot be written: {error}", output.display());
        return Status::BadInput;
    }
    super::print(&format!(
        "{} ({} KiB)\n",
        output.display(),
        page.len() / 1024
    ));
    Summary::from_trace(&trace).status()
}
