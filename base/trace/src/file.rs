//! The trace of a whole run: what a file holds, built from the rings of all cores.
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

use tern_units::TscFrequency;

use crate::codec;
use crate::whole_file::write_whole;
use crate::{DecodeError, Dump, Event, Events, FileError, Kind, Mode, Promises, Record};

/// A whole run, with what a reader needs to understand it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Whose run it is.
    pub origin: Origin,
    /// Rate of the timestamp counter.
    pub tsc: TscFrequency,
    /// The timestamp counter at the time epoch.
    pub epoch_tsc: u64,
    /// Which build made it.
    pub build: String,
    /// The system description as it was booted (`tern_config`'s encoding of `System`);
    /// empty where there is none.
    pub system: Vec<u8>,
    /// What the analysis promised of it before it ran; `None` where nobody asked.
    pub promises: Option<Promises>,
    /// Names of the exit reasons, by number.
    pub exit_reasons: Vec<String>,
    /// One for each sandbox, in the order of the system description.
    pub cores: Vec<Core>,
    /// What was done and seen from outside the machine.
    pub notes: Vec<Note>,
}

/// Who wrote a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Origin {
    /// The kernels of a machine: their work takes time, and a timer may be late.
    Machine = 0,
    /// The simulator: nothing takes time but jobs, and every instant is exact.
    Simulator = 1,
}

impl Origin {
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Machine),
            1 => Some(Self::Simulator),
            _ => None,
        }
    }
}

/// One sandbox's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// The sandbox's name.
    pub sandbox: String,
    /// What its ring did when it was full.
    pub mode: Mode,
    /// Records that were dropped.
    pub dropped: u64,
    /// Records that were overwritten before they could be read.
    pub overwritten: u64,
    /// How often each kind was pushed, by kind number.
    pub counters: Vec<u64>,
    /// Exits to the hypervisor by reason, at the end of the run.
    pub exits: Vec<u64>,
    /// Why the ring could not be read; empty if it could.
    pub damage: String,
    /// The records, oldest first.
    pub records: Vec<Record>,
}

/// A remark by the tool that ran the machine, for instance on a fault it injected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The timestamp counter, where it is known.
    pub tsc: Option<u64>,
    /// The sandbox concerned: index into [`Trace::cores`].
    pub sandbox: Option<u16>,
    /// The remark.
    pub text: String,
    /// The fault, if it is about one that the tool injected.
    pub fault: Option<InjectedFault>,
}

/// A fault that was put into a thread of the note's sandbox, or its core, from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectedFault {
    /// Its class, as the tool that injected it is asked for one.
    pub class: String,
    /// The thread.
    pub thread: u16,
    /// The first epoch that it may show in.
    pub epoch: u32,
    /// From when to when the core executed nothing, if that was the fault: counter values.
    pub held: Option<(u64, u64)>,
}

impl Core {
    /// The part of a sandbox whose ring's memory was copied to `words`. A ring that
    /// cannot be read gives a part without records that says why.
    #[must_use]
    pub fn from_words(sandbox: &str, words: &[u64], exits: &[u64]) -> Self {
        let empty = Self {
            sandbox: sandbox.to_string(),
            mode: Mode::Stream,
            dropped: 0,
            overwritten: 0,
            counters: Vec::new(),
            exits: exits.to_vec(),
            damage: String::new(),
            records: Vec::new(),
        };
        let damaged = |damage: String| Self {
            damage,
            ..empty.clone()
        };
        let dump = match Dump::of(words) {
            Ok(dump) => dump,
            Err(error) => return damaged(error.to_string()),
        };
        let mut records = match dump.records().collect::<Result<Vec<_>, _>>() {
            Ok(records) => records,
            Err(error) => return damaged(error.to_string()),
        };
        let mut overwritten = dump.overwritten();
        if overwritten > 0
            && records
                .first()
                .is_some_and(|r| r.kind == Kind::Continuation)
        {
            records.remove(0);
            overwritten += 1;
        }
        let mut counters = std::vec![0; Kind::COUNTERS];
        for (kind, count) in dump.counters() {
            counters[kind as usize] = count;
        }
        let (mode, dropped) = (dump.mode(), dump.dropped());
        Self {
            mode,
            dropped,
            overwritten,
            counters,
            records,
            ..empty
        }
    }

    /// Records that were pushed and are not here.
    #[must_use]
    pub const fn losses(&self) -> u64 {
        self.dropped.saturating_add(self.overwritten)
    }

    /// The events of the records, each with its timestamp counter.
    pub fn events(&self) -> impl Iterator<Item = Result<(u64, Event), DecodeError>> + '_ {
        Events::new(self.records.iter().copied())
    }
}

impl Trace {
    /// The farthest from the epoch that a time is told, 36 years: what lies beyond is
    /// nonsense, and sums of such times still fit.
    pub const HORIZON_NANOS: i64 = 1 << 60;

    /// Nanoseconds from the time epoch to `tsc`, negative before it; within
    /// [`Trace::HORIZON_NANOS`].
    #[must_use]
    pub const fn nanos(&self, tsc: u64) -> i64 {
        if tsc >= self.epoch_tsc {
            Self::within_horizon(self.tsc.to_duration(tsc - self.epoch_tsc).as_nanos())
        } else {
            -Self::within_horizon(self.tsc.to_duration(self.epoch_tsc - tsc).as_nanos())
        }
    }

    /// The same for nanoseconds after the epoch, or any length of time.
    #[must_use]
    pub const fn within_horizon(nanos: u64) -> i64 {
        if nanos > Self::HORIZON_NANOS as u64 {
            Self::HORIZON_NANOS
        } else {
            nanos as i64
        }
    }

    /// The name of an exit reason.
    #[must_use]
    pub fn exit_reason(&self, number: usize) -> String {
        self.exit_reasons
            .get(number)
            .cloned()
            .unwrap_or_else(|| std::format!("reason-{number}"))
    }

    /// The bytes of a trace file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what [`Trace::to_bytes`] made.
    ///
    /// # Errors
    /// [`FileError`] for bytes of any other origin; never panics.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        codec::decode(bytes)
    }

    /// Writes a trace file, whole or not at all.
    ///
    /// # Errors
    /// The file system's.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        write_whole(path, &self.to_bytes())
    }

    /// Reads a trace file.
    ///
    /// # Errors
    /// [`FileError`], with the file system's as [`FileError::Read`].
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let bytes = std::fs::read(path).map_err(|error| FileError::Read(error.to_string()))?;
        Self::from_bytes(&bytes)
    }
}
