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

use crate::read::SoundTrace;
use crate::status::Status;

/// Runs a command on a trace that a machine can have written. Of any other it says what is
/// wrong, and makes no figures; one with losses it ends as unsound whatever `run` finds.
///
/// # Errors
/// What kept the command from its end.
fn on_sound_trace(
    path: &Path,
    run: impl FnOnce(&SoundTrace<'_>) -> Result<Status, Status>,
) -> Result<Status, Status> {
    let trace = load(path)?;
    let sound = SoundTrace::of(&trace).map_err(|contradiction| {
        complain_of(path, &contradiction);
        Status::Unsound
    })?;
    let found = run(&sound)?;
    for loss in sound.losses() {
        complain_of(path, loss);
    }
    Ok(match sound.losses().is_empty() {
        true => found,
        false => Status::Unsound,
    })
}

/// Runs a command that shows records as they are, of any trace: what is wrong with it is said
/// afterwards.
///
/// # Errors
/// What kept the command from its end.
fn on_records(
    path: &Path,
    run: impl FnOnce(&Trace) -> Result<(), Status>,
) -> Result<Status, Status> {
    let trace = load(path)?;
    run(&trace)?;
    match SoundTrace::of(&trace) {
        Ok(sound) if sound.losses().is_empty() => Ok(Status::Well),
        Ok(sound) => {
            for loss in sound.losses() {
                complain_of(path, loss);
            }
            Ok(Status::Unsound)
        }
        Err(contradiction) => {
            complain_of(path, &contradiction);
            Ok(Status::Unsound)
        }
    }
}

/// Reads a trace for a command; says why not on standard error.
///
/// # Errors
/// The status to end with: unsound for a trace that was damaged, bad input for
/// anything else.
fn load(path: &Path) -> Result<Trace, Status> {
    Trace::load(path).map_err(|error: FileError| {
        complain_of(path, &error);
        if error.is_damage() {
            Status::Unsound
        } else {
            Status::BadInput
        }
    })
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
