//! What Tern records while it runs: the record, the per-core ring it is written to,
//! and (feature `std`) the file that a whole run is kept in.
//!
//! The writer side is [`Ring`]: no clock of its own, no allocation, no atomic
//! read-modify-write. The reader side is [`Dump`], which takes a copy of a ring's
//! words, checks it, and yields [`Record`]s; [`Event`] gives a record its meaning.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(any(test, feature = "std"))]
mod codec;
mod dump;
mod event;
#[cfg(any(test, feature = "std"))]
mod file;
mod kind;
#[cfg(any(test, feature = "std"))]
mod promises;
mod record;
mod ring;
#[cfg(any(test, feature = "std"))]
mod whole_file;

#[cfg(any(test, feature = "std"))]
pub use codec::{FileError, checksum as file_checksum};
pub use dump::{Dump, DumpError, Records};
pub use event::{
    DecodeError, Event, Events, LineErrors, RepairResult, SleepEnd, VoteOutcome, VoteParties,
    WithheldReason,
};
#[cfg(any(test, feature = "std"))]
pub use file::{Core, InjectedFault, Note, Origin, Trace};
pub use kind::Kind;
#[cfg(any(test, feature = "std"))]
pub use promises::{Platform, Promises, RepairPromise, SandboxPromises};
pub use record::Record;
pub use ring::{HEADER_WORDS, Mode, Ring, RingError, SCHEMA_VERSION};
#[cfg(any(test, feature = "std"))]
pub use whole_file::write_whole;
