//! The trace file's bytes. All numbers are little-endian.
//!
//! Magic (8 bytes), schema version (`u32`), length of the file (`u64`), content, and
//! the content's checksum (`u64`). The content's parts follow one another as
//! [`writer`] writes them; a text or a list is its length (`u32`) and its elements, what may
//! be missing a byte, 1 if it is there, and then itself.
use core::fmt;
use std::string::String;
use std::vec::Vec;

use crate::SCHEMA_VERSION;
use crate::file::Trace;
pub use checksum::checksum;
use reader::Reader;
use writer::Writer;

mod checksum;
mod reader;
mod writer;

const MAGIC: [u8; 8] = *b"TERNTRAC";
const HEADER_BYTES: usize = 20;
const CHECKSUM_BYTES: usize = 8;
/// In place of the number of a sandbox that a note does not concern.
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

/// The bytes of a trace file.
pub(crate) fn encode(trace: &Trace) -> Vec<u8> {
    let mut out = Writer::with_room_for(trace);
    out.raw(&MAGIC);
    out.u32(SCHEMA_VERSION);
    out.u64(0);
    out.trace(trace);

    let mut bytes = out.into_bytes();
    let length = (bytes.len() + CHECKSUM_BYTES) as u64;
    bytes[12..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(&bytes[HEADER_BYTES..]);
    bytes.extend(sum.to_le_bytes());
    bytes
}

/// The trace that a file's bytes hold.
pub(crate) fn decode(file: &[u8]) -> Result<Trace, FileError> {
    let Some(header) = file.strip_prefix(&MAGIC) else {
        return Err(FileError::NotATrace);
    };

    // Version and length come first: they say what the rest has to be.
    let cut = FileError::Length {
        bytes: file.len(),
        expected: (HEADER_BYTES + CHECKSUM_BYTES) as u64,
    };
    let (version, header) = header.split_first_chunk().ok_or_else(|| cut.clone())?;
    let version = u32::from_le_bytes(*version);
    if version != SCHEMA_VERSION {
        return Err(FileError::Version(version));
    }
    let (expected, content) = header.split_first_chunk().ok_or(cut)?;
    let expected = u64::from_le_bytes(*expected);
    if expected != file.len() as u64 {
        return Err(FileError::Length {
            bytes: file.len(),
            expected,
        });
    }

    let (content, sum) = content.split_last_chunk().ok_or(FileError::Checksum)?;
    if checksum(content) != u64::from_le_bytes(*sum) {
        return Err(FileError::Checksum);
    }
    Reader::new(content, HEADER_BYTES).whole_trace()
}

#[cfg(test)]
mod tests;
