//! What commands say: results on standard output or in files, what is wrong on standard error.
use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use tern_trace::write_whole;

use crate::status::Status;

/// Prints a result. A reader that closes the pipe early has seen what it wanted.
///
/// # Errors
/// The status to end with, if it cannot be written; why is said.
pub fn print(text: &str) -> Result<(), Status> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    told(&"the output", written)
}

/// The same of a value as one JSON object.
///
/// # Errors
/// The status to end with, if it cannot be written; why is said.
pub fn print_json<T: serde::Serialize>(value: &T) -> Result<(), Status> {
    let text = serde_json::to_string_pretty(value);
    text.map_err(unprintable)
        .and_then(|text| print(&(text + "\n")))
}

/// The same without spaces: for values that may be large.
///
/// # Errors
/// The status to end with, if it cannot be written; why is said.
pub fn print_compact_json<T: serde::Serialize>(value: &T) -> Result<(), Status> {
    let text = serde_json::to_string(value);
    text.map_err(unprintable)
        .and_then(|text| print(&(text + "\n")))
}

/// Writes a file, whole or not at all.
///
/// # Errors
/// The status to end with, if it cannot be written; why is said.
pub fn write_file(file: &Path, contents: &[u8]) -> Result<(), Status> {
    told(&file.display(), write_whole(file, contents))
}

/// Writes a file that is the whole result, and prints its name and size.
///
/// # Errors
/// The status to end with, if either cannot be written; why is said.
pub fn deliver(file: &Path, contents: &[u8]) -> Result<(), Status> {
    write_file(file, contents)?;
    let kibibytes = contents.len().div_ceil(1024);
    print(&format!("{} ({kibibytes} KiB)\n", file.display()))
}

/// Says on standard error what is wrong. There is nowhere else to say that it cannot.
pub fn complain(message: &dyn Display) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}

/// The same of a file.
pub fn complain_of(file: &Path, message: &dyn Display) {
    complain(&format!("tern: {}: {message}", file.display()));
}

fn told(what: &dyn Display, written: io::Result<()>) -> Result<(), Status> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(&format!("tern: {what}: cannot be written: {error}"));
            Err(Status::NoOutput)
        }
        _ => Ok(()),
    }
}

fn unprintable(error: serde_json::Error) -> Status {
    complain(&format!("tern: the output has no JSON: {error}"));
    Status::NoOutput
}
