//! What the hypervisor's directory leads to: the memory, trace ring, exit counts and
//! violation record of each sandbox.
use super::Memory;
use crate::error::{Error, Result};
use tern_abi::directory::{DirectoryEntry, DirectoryHeader, ExitReason, HEADER_WORDS, Violation};
use tern_units::{HostPhysical, PAGE_SIZE};

/// The hypervisor's directory, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Its head.
    pub header: DirectoryHeader,
    /// One entry a sandbox, in the order of the system description.
    pub entries: Vec<DirectoryEntry>,
    /// Where the channels are, in the order of the system description; zeros follow.
    pub channels: Vec<HostPhysical>,
}

impl Directory {
    /// Reads the directory at `address`.
    ///
    /// # Errors
    /// If there is none.
    pub fn read(memory: &Memory, address: HostPhysical) -> Result<Self> {
        let none = || Error::failure(format!("no directory at {address}"));
        let header = DirectoryHeader::from_words(&memory.words::<HEADER_WORDS>(address)?)
            .ok_or_else(none)?;
        let first = address.as_u64() + HEADER_WORDS as u64 * 8;
        let size = DirectoryEntry::WORDS as u64 * 8;
        let entries = (0..header.entries)
            .map(|index| memory.words(HostPhysical::new(first + index * size)))
            .map(|words| words.map(|words| DirectoryEntry::from_words(&words)))
            .collect::<Result<_>>()?;
        let page = memory.words::<{ PAGE_SIZE / 8 }>(address)?;
        let used = HEADER_WORDS + header.entries as usize * DirectoryEntry::WORDS;
        Ok(Self {
            header,
            entries,
            channels: page[used..]
                .iter()
                .copied()
                .map(HostPhysical::new)
                .collect(),
        })
    }

    /// The address in a console line `… directory at 0x…`.
    #[must_use]
    pub fn address(line: &str) -> Option<HostPhysical> {
        let (_, rest) = line.split_once("directory at 0x")?;
        let digits = rest.split(|c: char| !c.is_ascii_hexdigit()).next()?;
        u64::from_str_radix(digits, 16).ok().map(HostPhysical::new)
    }
}

/// How often a sandbox left to the hypervisor, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitCounts([u64; ExitReason::ALL.len()]);

impl ExitCounts {
    /// Reads the counts of the sandbox with this entry.
    ///
    /// # Errors
    /// If the entry points outside the machine's memory.
    pub fn read(memory: &Memory, entry: &DirectoryEntry) -> Result<Self> {
        memory.words(HostPhysical::new(entry.exit_counts)).map(Self)
    }

    /// The count of one reason.
    #[must_use]
    pub fn of(&self, reason: ExitReason) -> u64 {
        self.0[reason as usize]
    }

    /// The counts since `earlier`, for the reasons that have any.
    pub fn since(self, earlier: Self) -> impl Iterator<Item = (ExitReason, u64)> {
        let counts = ExitReason::ALL
            .into_iter()
            .zip(self.0.into_iter().zip(earlier.0));
        counts
            .map(|(reason, (now, before))| (reason, now.wrapping_sub(before)))
            .filter(|(_, count)| *count > 0)
    }
}

/// What stopped the sandbox with this entry, if something has.
///
/// # Errors
/// If the entry points outside the machine's memory.
pub fn violation(memory: &Memory, entry: &DirectoryEntry) -> Result<Option<Violation>> {
    let words = memory.words::<{ Violation::WORDS }>(HostPhysical::new(entry.violation))?;
    Ok(Some(Violation::from_words(&words)).filter(|violation| violation.reason != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_found_by_its_console_line() {
        let line = "tern: directory at 0x1f000, 4 sandboxes";
        assert_eq!(Directory::address(line), Some(HostPhysical::new(0x1f000)));
        assert_eq!(Directory::address("tern: directory"), None);
    }
}
