//! The sub-commands, one module each: its arguments, and `run`, which prints and returns how
//! it went. What keeps it from its end is an error: the status to end with, when it has been
//! said why.
pub mod check;
pub mod conformance;
pub mod diff;
pub mod dump;
pub mod explain;
pub mod export;
mod output;
pub mod report;
pub mod simulate;
pub mod summary;

use std::path::Path;

use tern_trace::{FileError, Trace};

pub use output::{
    complain, complain_of, deliver, print, print_compact_json, print_json, write_file,
};

use crate::status::Status;
use crate::summary::unsound;

/// Reads a trace for a command; says why not on standard error.
///
/// # Errors
/// The status to end with: unsound for a trace that was damaged, bad input for
/// anything else.
pub fn load(path: &Path) -> Result<Trace, Status> {
    Trace::load(path).map_err(|error: FileError| {
        complain_of(path, &error);
        if error.is_damage() {
            Status::Unsound
        } else {
            Status::BadInput
        }
    })
}

/// Says on standard error what is lost or damaged, and what that makes of a result.
fn soundness(path: &Path, trace: &Trace) -> Status {
    let reasons = unsound(trace);
    for reason in &reasons {
        complain_of(path, reason);
    }
    match reasons.is_empty() {
        true => Status::Well,
        false => Status::Unsound,
    }
}

/// Says that nothing has a name, and which names there are.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in known {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    format!("no {what} is named {name}; there are {}", names.join(", "))
}
