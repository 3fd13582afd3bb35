//! The trace file's bytes. All numbers are little-endian.
//!
//! Magic (8 bytes), schema version (`u32`), length of the file (`u64`), content, and
//! the content's checksum (`u64`, FNV-1a). The content's parts follow one another as in
//! [`encode`]; a text or a list is its length (`u32`) and its elements.
use core::fmt;
use std::string::String;
use std::vec::Vec;

use tern_units::TscFrequency;

use crate::file::{Core, Note, Trace};
use crate::{Mode, Record, SCHEMA_VERSION};

const MAGIC: [u8; 8] = *b"TERNTRAC";
const HEADER_BYTES: usize = 20;
const CHECKSUM_BYTES: usize = 8;
/// In place of a sandbox's number or a time that is not known.
const NONE_SANDBOX: u16 = u16::MAX;

/// Why bytes are no trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileError {
    /// The file cannot be read; holds the system's reason.
    Read(String),
    /// It does not begin like a trace file.
    NotATrace,
    /// Made by another version; holds its number.
    Version(u32),
    /// Shorter or longer than its header says.
    Length {
        /// Bytes that there are.
        bytes: usize,
        /// Bytes that the header speaks of.
        expected: u64,
    },
    /// The content was changed after it was written.
    Checksum,
    /// Well sealed, but a part is not what it should be.
    Content {
        /// What was being read.
        part: &'static str,
        /// Where in the file.
        offset: usize,
    },
}

impl FileError {
    /// Whether this was a trace file before it was damaged.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Length { .. } | Self::Checksum | Self::Content { .. }
        )
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(reason) => write!(out, "cannot be read: {reason}"),
            Self::NotATrace => write!(out, "is no Tern trace: it does not begin with TERNTRAC"),
            Self::Version(found) => write!(
                out,
                "has schema version {found}, this tool reads {SCHEMA_VERSION}: use the tool of the build that made it"
            ),
            Self::Length { bytes, expected } if (*bytes as u64) < *expected => {
                write!(out, "is truncated: {bytes} bytes of {expected}")
            }
            Self::Length { bytes, expected } => {
                write!(
                    out,
                    "is longer than its header says: {bytes} bytes instead of {expected}"
                )
            }
            Self::Checksum => write!(out, "is corrupt: its checksum does not match"),
            Self::Content { part, offset } => {
                write!(out, "is corrupt: bad {part} at byte {offset}")
            }
        }
    }
}

impl core::error::Error for FileError {}

fn checksum(content: &[u8]) -> u64 {
    let mut sum = 0xCBF2_9CE4_8422_2325u64;
    for &byte in content {
        sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
    }
    sum
}

struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    /// # Panics
    /// For more than 2^32 elements: 64 GiB of records, which no ring holds.
    fn length(&mut self, length: usize) {
        self.u32(u32::try_from(length).expect("fewer than 2^32 elements"));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.extend(bytes);
    }

    fn words(&mut self, words: &[u64]) {
        self.length(words.len());
        for &word in words {
            self.u64(word);
        }
    }
}

pub(crate) fn encode(trace: &Trace) -> Vec<u8> {
    let records: usize = trace.cores.iter().map(|core| core.records.len()).sum();
    let mut out = Writer(Vec::with_capacity(4096 + records * Record::BYTES));
    out.0.extend(MAGIC);
    out.u32(SCHEMA_VERSION);
    out.u64(0);
    out.u64(trace.tsc.hertz());
    out.u64(trace.epoch_tsc);
    out.bytes(trace.build.as_bytes());
    out.bytes(&trace.system);
    out.length(trace.exit_reasons.len());
    for name in &trace.exit_reasons {
        out.bytes(name.as_bytes());
    }
    out.length(trace.notes.len());
    for note in &trace.notes {
        out.u8(note.tsc.is_some().into());
        out.u64(note.tsc.unwrap_or(0));
        out.u16(note.sandbox.unwrap_or(NONE_SANDBOX));
        out.bytes(note.text.as_bytes());
    }
    out.length(trace.cores.len());
    for core in &trace.cores {
        out.bytes(core.sandbox.as_bytes());
        out.u8(core.mode as u8);
        out.u64(core.dropped);
        out.u64(core.overwritten);
        out.words(&core.counters);
        out.words(&core.exits);
        out.bytes(core.damage.as_bytes());
        out.length(core.records.len());
        for record in &core.records {
            for word in record.to_words() {
                out.u64(word);
            }
        }
    }
    let mut bytes = out.0;
    let length = (bytes.len() + CHECKSUM_BYTES) as u64;
    bytes[12..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(&bytes[HEADER_BYTES..]);
    bytes.extend(sum.to_le_bytes());
    bytes
}

struct Reader<'a> {
    content: &'a [u8],
    total: usize,
}

impl<'a> Reader<'a> {
    fn bad(&self, part: &'static str) -> FileError {
        FileError::Content {
            part,
            offset: self.total - self.content.len(),
        }
    }

    fn array<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], FileError> {
        let (first, rest) = self
            .content
            .split_first_chunk()
            .ok_or_else(|| self.bad(part))?;
        self.content = rest;
        Ok(*first)
    }

    fn u8(&mut self, part: &'static str) -> Result<u8, FileError> {
        self.array(part).map(u8::from_le_bytes)
    }

    fn u16(&mut self, part: &'static str) -> Result<u16, FileError> {
        self.array(part).map(u16::from_le_bytes)
    }

    fn u64(&mut self, part: &'static str) -> Result<u64, FileError> {
        self.array(part).map(u64::from_le_bytes)
    }

    /// A list's length; never more than the bytes that are left could hold.
    fn length(&mut self, part: &'static str, least_bytes: usize) -> Result<usize, FileError> {
        let length = self.array(part).map(u32::from_le_bytes)? as usize;
        if length > self.content.len() / least_bytes {
            return Err(self.bad(part));
        }
        Ok(length)
    }

    fn bytes(&mut self, part: &'static str) -> Result<&'a [u8], FileError> {
        let length = self.length(part, 1)?;
        let (bytes, rest) = self.content.split_at(length);
        self.content = rest;
        Ok(bytes)
    }

    fn text(&mut self, part: &'static str) -> Result<String, FileError> {
        let bytes = self.bytes(part)?.to_vec();
        String::from_utf8(bytes).map_err(|_| self.bad(part))
    }

    fn words(&mut self, part: &'static str) -> Result<Vec<u64>, FileError> {
        let length = self.length(part, 8)?;
        (0..length).map(|_| self.u64(part)).collect()
    }

    fn note(&mut self) -> Result<Note, FileError> {
        let known = self.u8("note")? != 0;
        let tsc = self.u64("note")?;
        let sandbox = self.u16("note")?;
        Ok(Note {
            tsc: known.then_some(tsc),
            sandbox: (sandbox != NONE_SANDBOX).then_some(sandbox),
            text: self.text("note")?,
        })
    }

    fn record(&mut self) -> Result<Record, FileError> {
        let words = [self.u64("record")?, self.u64("record")?];
        Record::from_words(words).ok_or_else(|| self.bad("record (unknown kind)"))
    }

    fn core(&mut self) -> Result<Core, FileError> {
        Ok(Core {
            sandbox: self.text("sandbox name")?,
            mode: Mode::from_word(self.u8("ring mode")?.into())
                .ok_or_else(|| self.bad("ring mode"))?,
            dropped: self.u64("loss count")?,
            overwritten: self.u64("loss count")?,
            counters: self.words("counters by kind")?,
            exits: self.words("exit counts")?,
            damage: self.text("damage")?,
            records: {
                let length = self.length("records", Record::BYTES)?;
                (0..length)
                    .map(|_| self.record())
                    .collect::<Result<_, _>>()?
            },
        })
    }
}

pub(crate) fn decode(file: &[u8]) -> Result<Trace, FileError> {
    if !file.starts_with(&MAGIC) {
        return Err(FileError::NotATrace);
    }
    let mut header = Reader {
        content: &file[MAGIC.len()..],
        total: file.len(),
    };
    let cut = |_| FileError::Length {
        bytes: file.len(),
        expected: (HEADER_BYTES + CHECKSUM_BYTES) as u64,
    };
    let version = header
        .array("version")
        .map(u32::from_le_bytes)
        .map_err(cut)?;
    if version != SCHEMA_VERSION {
        return Err(FileError::Version(version));
    }
    let expected = header.u64("length").map_err(cut)?;
    if expected != file.len() as u64 {
        return Err(FileError::Length {
            bytes: file.len(),
            expected,
        });
    }
    let (content, sum) = header
        .content
        .split_last_chunk()
        .ok_or(FileError::Checksum)?;
    if checksum(content) != u64::from_le_bytes(*sum) {
        return Err(FileError::Checksum);
    }
    let mut input = Reader {
        content,
        total: file.len() - CHECKSUM_BYTES,
    };
    let trace = Trace {
        tsc: TscFrequency::from_hertz(input.u64("TSC frequency")?)
            .ok_or_else(|| input.bad("TSC frequency"))?,
        epoch_tsc: input.u64("epoch")?,
        build: input.text("build")?,
        system: input.bytes("system description")?.to_vec(),
        exit_reasons: {
            let length = input.length("exit reasons", 4)?;
            (0..length)
                .map(|_| input.text("exit reason"))
                .collect::<Result<_, _>>()?
        },
        notes: {
            let length = input.length("notes", 15)?;
            (0..length)
                .map(|_| input.note())
                .collect::<Result<_, _>>()?
        },
        cores: {
            let length = input.length("sandboxes", 37)?;
            (0..length)
                .map(|_| input.core())
                .collect::<Result<_, _>>()?
        },
    };
    if !input.content.is_empty() {
        return Err(input.bad("end"));
    }
    Ok(trace)
}

#[cfg(test)]
mod tests;
