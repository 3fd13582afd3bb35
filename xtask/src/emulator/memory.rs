//! The machine's memory as the host sees it: QEMU keeps it in a file that this
//! process reads while the machine runs, without stopping or slowing it.
use crate::error::{Context, Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tern_abi::directory::{DirectoryEntry, DirectoryHeader, ExitReason, HEADER_WORDS, Violation};
use tern_units::{HostPhysical, PAGE_SIZE};

/// Physical memory below the hole for devices, where a file offset is an address.
#[derive(Debug)]
pub struct Memory {
    file: File,
}

impl Memory {
    /// The memory that the emulator keeps in the file at `path`.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).context(|| format!("opening {}", path.display()))?;
        Ok(Self { file })
    }

    /// Reads `count` bytes from `address`.
    ///
    /// # Errors
    /// If the machine has no memory there.
    pub fn bytes(&self, address: HostPhysical, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.file
            .read_exact_at(&mut bytes, address.as_u64())
            .context(|| format!("reading {count} bytes of the machine's memory at {address}"))?;
        Ok(bytes)
    }

    /// Reads `N` words from `address`.
    ///
    /// # Errors
    /// If the machine has no memory there.
    pub fn words<const N: usize>(&self, address: HostPhysical) -> Result<[u64; N]> {
        let bytes = self.bytes(address, N * 8)?;
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            let mut value = [0; 8];
            value.copy_from_slice(bytes);
            *word = u64::from_le_bytes(value);
        }
        Ok(words)
    }
}

/// The hypervisor's directory, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Its head.
    pub header: DirectoryHeader,
    /// One entry a sandbox, in the order of the system description.
    pub entries: Vec<DirectoryEntry>,
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
        Ok(Self { header, entries })
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

/// Page frames behind a page table of the x86-64 four-level format, found by reading
/// it from outside: AMD64 Architecture Programmer's Manual, volume 2, section 5.3.
///
/// `base` is where the sandbox's guest-physical zero lies; the root is guest-physical.
///
/// # Errors
/// If the table points outside the machine's memory.
pub fn user_pages(memory: &Memory, base: HostPhysical, root: u64) -> Result<Vec<UserPage>> {
    let mut pages = Vec::new();
    let walk = Walk { memory, base };
    // Only the lower half: the upper half is the kernel's.
    walk.table(root, 3, 0, 256, true, &mut pages)?;
    Ok(pages)
}

/// A page that a program can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserPage {
    /// Where the program sees it.
    pub address: u64,
    /// Where the machine keeps it.
    pub frame: HostPhysical,
    /// Whether the program may write it.
    pub writable: bool,
}

struct Walk<'a> {
    memory: &'a Memory,
    base: HostPhysical,
}

impl Walk<'_> {
    const PRESENT: u64 = 1;
    const WRITABLE: u64 = 1 << 1;
    const USER: u64 = 1 << 2;
    const LARGE: u64 = 1 << 7;
    const FRAME: u64 = 0x000f_ffff_ffff_f000;

    fn table(
        &self,
        table: u64,
        level: u32,
        prefix: u64,
        entries: usize,
        writable: bool,
        pages: &mut Vec<UserPage>,
    ) -> Result<()> {
        let host = HostPhysical::new(self.base.as_u64() + (table & Self::FRAME));
        let words = self.memory.words::<512>(host)?;
        for (index, entry) in words.into_iter().take(entries).enumerate() {
            if entry & (Self::PRESENT | Self::USER) != Self::PRESENT | Self::USER {
                continue;
            }
            let address = prefix | (index as u64) << (12 + 9 * level);
            let writable = writable && entry & Self::WRITABLE != 0;
            if level > 0 && entry & Self::LARGE == 0 {
                self.table(entry, level - 1, address, 512, writable, pages)?;
                continue;
            }
            let first = self.base.as_u64() + (entry & Self::FRAME & !((1 << (12 + 9 * level)) - 1));
            for page in 0..1_u64 << (9 * level) {
                let offset = page * PAGE_SIZE as u64;
                let frame = HostPhysical::new(first + offset);
                pages.push(UserPage {
                    address: address + offset,
                    frame,
                    writable,
                });
            }
        }
        Ok(())
    }
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

    #[test]
    fn user_pages_are_found_through_the_tables_and_kernel_pages_are_not() {
        // Guest-physical zero at 0x1000 of the file; root at 0, then one table a level.
        let mut tables = vec![[0_u64; 512]; 6];
        tables[1][0] = 0x1000 | 7;
        tables[1][256] = 0x1000 | 7;
        tables[2][1] = 0x2000 | 7;
        tables[3][2] = 0x3000 | 7;
        tables[3][3] = 0x20_0000 | 0x83;
        tables[4][5] = 0x8000 | 0x8000_0000_0000_0005;
        tables[4][6] = 0x9000 | 7;
        tables[4][7] = 0xa000 | 3;
        let bytes: Vec<u8> = tables
            .iter()
            .flatten()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        let path = std::env::temp_dir().join(format!("tern-walk-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let memory = Memory::open(&path).unwrap();
        let pages = user_pages(&memory, HostPhysical::new(0x1000), 0).unwrap();
        std::fs::remove_file(&path).unwrap();
        let at = |index: u64, frame, writable| UserPage {
            address: (1 << 30) + (2 << 21) + (index << 12),
            frame: HostPhysical::new(frame),
            writable,
        };
        assert_eq!(pages, [at(5, 0x9000, false), at(6, 0xa000, true)]);
    }
}
