//! Reading a system description from TOML, with every problem found at once, each
//! with its file, line, key and reason.
//!
//! `docs/system-description.md` is the reference of the format.
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use std::path::Path;

use toml::de::DeTable;

mod bootable;
mod limits;
mod load;
mod nearest;
mod placement;
mod platform;
mod policies;
mod problem;
mod quantity;
mod read;
mod reader;
mod replica;
mod requests;
mod thread;

pub use platform::{Costs, NO_PLATFORM};
pub use problem::{Problem, Problems};
pub use quantity::{DURATION_MAX, parse_duration, parse_size, show_size};

use crate::layout::Machine;
use crate::system::System;

/// A description that has been read and found sound.
#[derive(Clone, Debug)]
pub struct Description {
    /// The file, as it was named to the reader.
    pub file: String,
    /// What it describes.
    pub system: System,
    /// The machine that it is for, where the description says.
    pub machine: Option<Machine>,
    /// The least budget of a server on that machine, in nanoseconds.
    pub least_budget: u64,
    /// What is sound but not schedulable, or has no use.
    pub warnings: Vec<Problem>,
    places: problem::Places,
}

impl Description {
    /// Reads the text of a description; `file` is for messages.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let mut reader = reader::Reader::new(text);
        let (document, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(syntax_problems(file, text, &reader, &errors));
        }
        let (system, machine, least_budget) = read::document(&mut reader, &document);
        let warnings = placement::check(&mut reader, &system, machine.as_ref());
        if reader.problems.is_empty() {
            let warnings = Problems::sorted(file, warnings).list;
            Ok(Self {
                file: file.into(),
                system,
                machine,
                least_budget,
                warnings,
                places: reader.places,
            })
        } else {
            Err(Problems::sorted(file, reader.problems))
        }
    }

    /// Reads the file of a description.
    ///
    /// # Errors
    /// That the file cannot be read, or everything that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        let file = format!("{}", path.display());
        match std::fs::read(path) {
            Ok(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => Self::parse(&file, text),
                Err(error) => {
                    let good = &bytes[..error.valid_up_to()];
                    let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
                    let reason = "not UTF-8 text, as a TOML file is".into();
                    let problem = Problem {
                        line,
                        key: String::new(),
                        reason,
                    };
                    Err(Problems::sorted(&file, alloc::vec![problem]))
                }
            },
            Err(_) if path.is_dir() => Err(Problems::of_file(&file, folder_reason(path))),
            Err(error) => Err(Problems::of_file(&file, format!("cannot be read: {error}"))),
        }
    }

    /// Whether the system can be booted: a description for analysis alone need not
    /// have memory, programs, or a load that a core can carry.
    ///
    /// # Errors
    /// Everything that is in the way.
    pub fn validate_bootable(&self) -> Result<(), Problems> {
        let problems = bootable::check(&self.places, &self.system, self.least_budget);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Problems::sorted(&self.file, problems))
        }
    }
}

/// Why a folder is no description, with the files in it that may be meant.
fn folder_reason(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<String> = entries
        .map(|entry| entry.path())
        .filter(|file| file.extension().is_some_and(|it| it == "toml"))
        .filter(|file| file.file_name().is_some_and(|name| name != "Cargo.toml"))
        .map(|file| format!("{}", file.display()))
        .collect();
    files.sort();
    if files.is_empty() {
        "a folder without descriptions (TOML files): name a file".into()
    } else {
        format!("a folder: name a file, {}", files.join(" or "))
    }
}

/// What the TOML parser refused, each at its line.
fn syntax_problems(
    file: &str,
    text: &str,
    reader: &reader::Reader,
    errors: &[toml::de::Error],
) -> Problems {
    let problem = |error: &toml::de::Error| {
        let line = error.span().map_or(1, |span| reader.line(span.start));
        let written = text.lines().nth(line - 1).unwrap_or("");
        let key = written.split('=').next().unwrap_or("").trim();
        let reason = format!("not TOML: {}", error.message());
        Problem {
            line,
            key: key.chars().take(48).collect(),
            reason,
        }
    };
    Problems::sorted(file, errors.iter().map(problem).collect())
}
