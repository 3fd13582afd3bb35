//! The sub-commands, one module each: its arguments, and `run`, which prints and
//! returns how it went.
pub mod check;
pub mod conformance;
pub mod diff;
pub mod dump;
pub mod explain;
pub mod export;
pub mod report;
pub mod simulate;
pub mod summary;

use std::path::Path;

use tern_trace::{FileError, Trace};

use crate::status::Status;

/// Reads a trace for a command; says why not on standard error.
///
/// # Errors
/// The status to end with: unsound for a trace that was damaged, bad input for
/// anything else.
pub fn load(path: &Path) -> Result<Trace, Status> {
    Trace::load(path).map_err(|error: FileError| {
        eprintln!("tern: {}: {error}", path.display());
        if error.is_damage() {
            Status::Unsound
        } else {
            Status::BadInput
        }
    })
}

/// Says on standard error what is lost or damaged, and with what to end.
fn losses(trace: &Trace) -> Status {
    let mut status = Status::Well;
    for core in &trace.cores {
        if core.losses() > 0 || !core.damage.is_empty() {
            let (sandbox, lost, damage) = (&core.sandbox, core.losses(), &core.damage);
            eprintln!("tern: sandbox {sandbox}: {lost} lost {damage}");
            status = Status::Unsound;
        }
    }
    status
}

/// Prints text; a reader that closes the pipe early is no error.
pub fn print(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Prints a value as one JSON object.
pub fn print_json<T: serde::Serialize>(value: &T) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&(text + "\n")),
        Err(error) => eprintln!("tern: no JSON: {error}"),
    }
}
