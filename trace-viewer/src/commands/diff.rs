//! `tern diff BEFORE AFTER`: did a run get worse?
use std::path::{Path, PathBuf};

use crate::difference::{Difference, Tolerance};
use crate::status::Status;
use crate::summary::Summary;
use crate::table::Table;
use crate::table::signed_span;

/// Compares two traces and ends with 2 if the second is worse.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The run to compare with.
    before: PathBuf,
    /// The run to judge.
    after: PathBuf,
    /// By how many per cent a response may be longer.
    #[arg(long, default_value_t = 10)]
    per_cent: u32,
    /// By how many microseconds a response may be longer, whatever the share.
    #[arg(long, default_value_t = 100)]
    micros: u32,
    /// Prints one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// What kept it from its end.
pub fn run(arguments: &Arguments) -> Result<Status, Status> {
    let (before, after) = (complete(&arguments.before), complete(&arguments.after));
    let (before, after) = (before?, after?);
    let tolerance = Tolerance {
        per_cent: arguments.per_cent,
        nanos: i64::from(arguments.micros) * 1_000,
    };
    let difference = Difference::between(&before, &after, tolerance);
    if arguments.json {
        super::print_json(&difference)?;
    } else {
        super::print(&text(&difference))?;
    }
    Ok(match difference.regressions.is_empty() {
        true => Status::Well,
        false => Status::Regression,
    })
}

/// A trace's summary; a trace with losses is not compared.
fn complete(path: &Path) -> Result<Summary, Status> {
    let mut summary = None;
    let ended = super::on_sound_trace(path, |trace| {
        summary = Some(Summary::from_trace(trace));
        Ok(Status::Well)
    });
    match (ended?, summary) {
        (Status::Well, Some(summary)) => Ok(summary),
        (unsound, _) => Err(unsound),
    }
}

fn text(difference: &Difference) -> String {
    let mut table = Table::new(&[
        "sandbox",
        "thread",
        "median before",
        "after",
        "max before",
        "after",
        "misses before",
        "after",
    ]);
    let time = |nanos: Option<i64>| nanos.map_or_else(|| "-".to_string(), signed_span);
    for thread in &difference.threads {
        table.line(vec![
            thread.sandbox.clone(),
            thread.thread.clone(),
            time(thread.median_ns[0]),
            time(thread.median_ns[1]),
            time(thread.max_ns[0]),
            time(thread.max_ns[1]),
            thread.misses[0].to_string(),
            thread.misses[1].to_string(),
        ]);
    }
    let mut text = table.render();
    for regression in &difference.regressions {
        text += &format!("worse: {regression}\n");
    }
    text + match difference.regressions.is_empty() {
        true => "verdict: no worse\n",
        false => "verdict: worse\n",
    }
}
