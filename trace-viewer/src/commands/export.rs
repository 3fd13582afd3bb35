//! `tern export FILE`: the trace in another format.
use std::path::PathBuf;

use crate::status::Status;
use crate::{export, perfetto};

/// Writes a trace in a format of other tools.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The trace.
    file: PathBuf,
    /// The format: `csv`, `json` (one object a line), or `perfetto` (a protobuf for
    /// ui.perfetto.dev).
    #[arg(short, long)]
    format: Format,
    /// Where to write; by default beside the trace, with the format's extension.
    #[arg(short, long)]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Csv,
    Json,
    Perfetto,
}

/// Runs the command. A trace with losses is exported, and the losses are told.
///
/// # Errors
/// What kept it from its end.
pub fn run(arguments: &Arguments) -> Result<Status, Status> {
    let trace = super::load(&arguments.file)?;
    let (extension, bytes) = match arguments.format {
        Format::Csv => ("csv", export::csv(&trace).into_bytes()),
        Format::Json => ("jsonl", export::json_lines(&trace).into_bytes()),
        Format::Perfetto => ("pftrace", perfetto::perfetto(&trace)),
    };
    let output = match &arguments.output {
        Some(output) => output.clone(),
        None => arguments.file.with_extension(extension),
    };
    super::deliver(&output, &bytes)?;
    Ok(super::soundness(&arguments.file, &trace))
}
