//! Records paired with their continuations, and why some have no meaning.
use core::fmt;

use super::Event;
use crate::{Kind, Record};

/// Why records have no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A record whose kind has a continuation is not followed by one.
    ContinuationMissing(Kind),
    /// A continuation follows no record whose kind has one.
    ContinuationAlone,
    /// The fields hold values that mean nothing.
    Meaning(Record),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContinuationMissing(kind) => {
                write!(out, "a {} record without its continuation", kind.name())
            }
            Self::ContinuationAlone => write!(out, "a continuation without its record"),
            Self::Meaning(record) => write!(
                out,
                "a {} record with object {} and flags {}, which mean nothing",
                record.kind.name(),
                record.object,
                record.flags
            ),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Pairs records with their continuations and decodes them: yields the timestamp
/// counter with each event.
#[derive(Clone, Debug)]
pub struct Events<I> {
    records: I,
    ahead: Option<Record>,
}

impl<I: Iterator<Item = Record>> Events<I> {
    /// The events of `records`.
    pub const fn new(records: I) -> Self {
        Self {
            records,
            ahead: None,
        }
    }
}

impl<I: Iterator<Item = Record>> Iterator for Events<I> {
    type Item = Result<(u64, Event), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.ahead.take().or_else(|| self.records.next())?;
        let mut wide = None;
        if record.kind.is_wide() {
            self.ahead = self.records.next();
            if let Some(next) = self.ahead.filter(|next| next.kind == Kind::Continuation) {
                self.ahead = None;
                wide = Some(next.tsc);
            }
        }
        Some(Event::decode(record, wide).map(|event| (record.tsc, event)))
    }
}
