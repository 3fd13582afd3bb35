//! What is wrong with a description, and where: file, line, key, reason.
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::fmt;

use crate::system::ThreadRef;

/// One thing wrong, or worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; 0 when it concerns no line, as when there is no file.
    pub line: usize,
    /// The key, with the tables it is in by their names: `sandbox.alpha.core`.
    pub key: String,
    /// What is wrong, and what to do where that is not plain.
    pub reason: String,
}

/// All that is wrong with one file. Prints one line each: `FILE:LINE: KEY: REASON`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file, as it was named to the reader.
    pub file: String,
    /// The problems, in the order of their lines.
    pub list: Vec<Problem>,
}

impl Problems {
    /// A problem with the whole file.
    #[must_use]
    pub fn of_file(file: &str, reason: String) -> Self {
        Self {
            file: file.to_string(),
            list: vec![Problem {
                line: 0,
                key: String::new(),
                reason,
            }],
        }
    }

    pub(super) fn sorted(file: &str, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.line);
        list.dedup();
        Self {
            file: file.to_string(),
            list,
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, Problem { line, key, reason }) in self.list.iter().enumerate() {
            if position > 0 {
                writeln!(out)?;
            }
            write!(out, "{}:", self.file)?;
            if *line > 0 {
                write!(out, "{line}:")?;
            }
            if !key.is_empty() {
                write!(out, " {key}:")?;
            }
            write!(out, " {reason}")?;
        }
        Ok(())
    }
}

impl core::error::Error for Problems {}

/// A table of the file, by position: `sandbox[0].server[1]`. The empty place is the
/// file's top.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(String);

impl Place {
    pub(super) fn root() -> Self {
        Self::default()
    }

    /// The table `key` in this table.
    pub(super) fn table(&self, key: &str) -> Self {
        if self.0.is_empty() {
            Self(key.to_string())
        } else {
            Self(format!("{}.{key}", self.0))
        }
    }

    /// The table at `index` of the array `key` in this table.
    pub(super) fn item(&self, key: &str, index: usize) -> Self {
        self.table(&format!("{key}[{index}]"))
    }
}

/// The table of a sandbox.
pub(super) fn sandbox_place(sandbox: usize) -> Place {
    Place::root().item("sandbox", sandbox)
}

/// The table of a server of a sandbox.
pub(super) fn server_place(sandbox: usize, server: usize) -> Place {
    sandbox_place(sandbox).item("server", server)
}

/// The table of a thread.
pub(super) fn thread_place(place: &ThreadRef) -> Place {
    server_place(place.sandbox as usize, place.server as usize)
        .item("thread", place.thread as usize)
}

/// Where each table and key of the file is, and how messages call it.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    lines: BTreeMap<(Place, String), usize>,
    labels: BTreeMap<Place, String>,
}

impl Places {
    pub(super) fn add_table(&mut self, place: &Place, line: usize, label: String) {
        self.lines.insert((place.clone(), String::new()), line);
        self.labels.insert(place.clone(), label);
    }

    pub(super) fn add_key(&mut self, place: &Place, key: &str, line: usize) {
        self.lines.insert((place.clone(), key.to_string()), line);
    }

    /// How messages call a table; empty for the file's top.
    pub(super) fn label<'p>(&'p self, place: &'p Place) -> &'p str {
        self.labels
            .get(place)
            .map_or(place.0.as_str(), String::as_str)
    }

    /// A problem with `key` of the table at `place`, at the key's line, or at the
    /// table's where the key is not written. An empty key means the table itself.
    pub(super) fn problem(&self, place: &Place, key: &str, reason: String) -> Problem {
        let at = |key: &str| self.lines.get(&(place.clone(), key.to_string())).copied();
        let label = self.label(place);
        let key_label = match (label.is_empty(), key.is_empty()) {
            (true, _) => key.to_string(),
            (false, true) => label.to_string(),
            (false, false) => format!("{label}.{key}"),
        };
        Problem {
            line: at(key).or_else(|| at("")).unwrap_or(1),
            key: key_label,
            reason,
        }
    }

    pub(super) fn has(&self, place: &Place, key: &str) -> bool {
        self.lines.contains_key(&(place.clone(), key.to_string()))
    }

    /// The line of a table.
    pub(super) fn line(&self, place: &Place) -> usize {
        self.lines
            .get(&(place.clone(), String::new()))
            .copied()
            .unwrap_or(1)
    }
}
