//! What no sound machine can have written: which record it is, and why.
use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::table::exact_instant;

/// The first thing in a trace that no sound machine can have written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contradiction {
    /// The sandbox, where it is about one.
    pub sandbox: Option<String>,
    /// The record's number in its sandbox, from 0, as `tern dump` shows it; `None` where it is
    /// about no single record.
    pub record: Option<u64>,
    /// When that was written.
    pub at_ns: Option<i64>,
    /// Why it cannot be.
    pub reason: String,
}

impl Contradiction {
    /// One about the trace as a whole.
    pub(crate) fn of_trace(reason: impl Into<String>) -> Self {
        Self {
            sandbox: None,
            record: None,
            at_ns: None,
            reason: reason.into(),
        }
    }

    /// One about a sandbox's part.
    pub(crate) fn of_sandbox(sandbox: &str, reason: impl Into<String>) -> Self {
        Self {
            sandbox: Some(sandbox.to_string()),
            ..Self::of_trace(reason)
        }
    }

    /// One about a record.
    pub(crate) fn of_record(sandbox: &str, record: u64, at: i64, reason: String) -> Self {
        Self {
            record: Some(record),
            at_ns: Some(at),
            ..Self::of_sandbox(sandbox, reason)
        }
    }
}

impl Display for Contradiction {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "no machine can have written it: ")?;
        if let Some(sandbox) = &self.sandbox {
            write!(out, "sandbox {sandbox}")?;
            if let (Some(record), Some(at)) = (self.record, self.at_ns) {
                write!(out, ", record {record} at {}", exact_instant(at))?;
            }
            write!(out, ": ")?;
        }
        write!(out, "{}", self.reason)
    }
}

impl std::error::Error for Contradiction {}
