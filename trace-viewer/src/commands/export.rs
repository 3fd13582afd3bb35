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
    let file = &arguments.file;
    let deliver = |extension: &str, bytes: Vec<u8>| {
        let output = match &arguments.output {
            Some(output) => output.clone(),
            None => file.with_extension(extension),
        };
        super::deliver(&output, &bytes)
    };
    match arguments.format {
        Format::Csv => super::on_records(file, |trace| {
            deliver("csv", export::csv(trace).into_bytes())
        }),
        Format::Json => super::on_records(file, |trace| {
            deliver("jsonl", export::json_lines(trace).into_bytes())
        }),
        // Runs and jobs are figures: there are none of what cannot have been.
        Format::Perfetto => super::on_sound_trace(file, |trace| {
            deliver("pftrace", perfetto::perfetto(trace))?;
            Ok(Status::Well)
        }),
    }
}
