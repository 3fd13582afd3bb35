//! Pages, found from outside through page tables, a program's and the hypervisor's: the four-level
//! format of the AMD64 Architecture Programmer's Manual, volume 2, section 5.3.
use super::Memory;
use crate::error::{Error, Result};
use tern_units::{HostPhysical, PAGE_SIZE};

/// The pages that a program can reach, in the order of their addresses.
///
/// `base` is where the sandbox's guest-physical zero lies; the root is guest-physical.
///
/// # Errors
/// If the table points outside the machine's memory.
pub fn user_pages(memory: &Memory, base: HostPhysical, root: u64) -> Result<Vec<UserPage>> {
    let read = |table| memory.words(HostPhysical::new(base.as_u64() + table));
    let mut pages = Vec::new();
    // Only the lower half: the upper half is the kernel's.
    let lower = mapped(read, root)?
        .into_iter()
        .filter(|it| it.user && it.address < HALF);
    for range in lower {
        let offsets = (0..range.bytes).step_by(PAGE_SIZE);
        pages.extend(offsets.map(|offset| UserPage {
            address: range.address + offset,
            frame: HostPhysical::new(base.as_u64() + range.frame + offset),
            writable: range.writable,
            executable: range.executable,
        }));
    }
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
    /// Whether the program may execute it.
    pub executable: bool,
}

/// First address that is not in the lower half.
const HALF: u64 = 1 << 47;

/// An address space of a sandbox, its kernel's part included.
#[derive(Clone, Debug)]
pub struct Space {
    base: HostPhysical,
    pages: Vec<Mapped>,
}

impl Space {
    /// Reads the tables with this root, guest-physical, of the sandbox whose guest-physical zero
    /// lies at `base`.
    ///
    /// # Errors
    /// If the tables point outside the machine's memory.
    pub fn read(memory: &Memory, base: HostPhysical, root: u64) -> Result<Self> {
        let read = |table| memory.words(HostPhysical::new(base.as_u64() + table));
        let pages = mapped(read, root)?;
        Ok(Self { base, pages })
    }

    /// Returns where the machine keeps `count` bytes at `address`, piece by piece.
    ///
    /// # Errors
    /// If one of them is not mapped.
    pub fn pieces(&self, address: u64, count: usize) -> Result<Vec<(HostPhysical, usize)>> {
        let (mut at, mut left) = (address & (2 * HALF - 1), count as u64);
        let mut pieces = Vec::new();
        while left > 0 {
            let mut pages = self.pages.iter();
            let page = pages.find(|page| (page.address..page.address + page.bytes).contains(&at));
            let page = page.ok_or_else(|| Error::failure(format!("{at:#x} is not mapped")))?;
            let offset = at - page.address;
            let piece = left.min(page.bytes - offset);
            let frame = HostPhysical::new(self.base.as_u64() + page.frame + offset);
            pieces.push((frame, piece as usize));
            (at, left) = (at + piece, left - piece);
        }
        Ok(pieces)
    }

    /// Reads `count` bytes at `address`.
    ///
    /// # Errors
    /// If one of them is not mapped.
    pub fn bytes(&self, memory: &Memory, address: u64, count: usize) -> Result<Vec<u8>> {
        let pieces = self.pieces(address, count)?;
        let read: Result<Vec<_>> = pieces
            .into_iter()
            .map(|(frame, count)| memory.bytes(frame, count))
            .collect();
        Ok(read?.concat())
    }
}

/// A page that tables map, small or large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Where it is seen, without the bits that repeat the highest one.
    pub address: u64,
    /// Where it is.
    pub frame: u64,
    /// Its size.
    pub bytes: u64,
    /// Whether it may be written.
    pub writable: bool,
    /// Whether it may be executed.
    pub executable: bool,
    /// Whether ring 3 reaches it.
    pub user: bool,
}

/// Returns all pages that the tables with this root map, in the order of their addresses. `read`
/// reads the table at an address.
///
/// # Errors
/// If a table cannot be read.
pub fn mapped(read: impl Fn(u64) -> Result<[u64; 512]>, root: u64) -> Result<Vec<Mapped>> {
    let whole = Mapped {
        address: 0,
        frame: root & FRAME,
        bytes: 2 * HALF,
        writable: true,
        executable: true,
        user: true,
    };
    let mut found = Vec::new();
    walk(&read, &whole, &mut found)?;
    Ok(found)
}

const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// Adds what the table at `table.frame`, for the addresses of `table`, maps.
fn walk(
    read: &impl Fn(u64) -> Result<[u64; 512]>,
    table: &Mapped,
    found: &mut Vec<Mapped>,
) -> Result<()> {
    const PRESENT: u64 = 1;
    const WRITABLE: u64 = 1 << 1;
    const USER: u64 = 1 << 2;
    const LARGE: u64 = 1 << 7;
    const NO_EXECUTE: u64 = 1 << 63;
    let bytes = table.bytes / 512;
    for (entry, index) in read(table.frame)?.into_iter().zip(0_u64..) {
        if entry & PRESENT == 0 {
            continue;
        }
        let mut below = Mapped {
            address: table.address + index * bytes,
            frame: entry & FRAME,
            bytes,
            writable: table.writable && entry & WRITABLE != 0,
            executable: table.executable && entry & NO_EXECUTE == 0,
            user: table.user && entry & USER != 0,
        };
        if bytes == PAGE_SIZE as u64 || entry & LARGE != 0 {
            // Low bits of a large page's address have another meaning.
            below.frame &= !(bytes - 1);
            found.push(below);
        } else {
            walk(read, &below, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
            executable: writable,
            address: (1 << 30) + (2 << 21) + (index << 12),
            frame: HostPhysical::new(frame),
            writable,
        };
        assert_eq!(pages, [at(5, 0x9000, false), at(6, 0xa000, true)]);
    }

    #[test]
    fn every_page_is_found_with_its_size_and_the_rights_of_all_levels() {
        const NO_EXECUTE: u64 = 1 << 63;
        let mut tables = std::collections::BTreeMap::from([
            (0x1000, [0; 512]),
            (0x2000, [0; 512]),
            (0x3000, [0; 512]),
            (0x4000, [0; 512]),
        ]);
        for (table, index, entry) in [
            (0x1000, 0, 0x2003),
            (0x1000, 511, 0x2001 | NO_EXECUTE),
            (0x2000, 0, 0x3003),
            (0x2000, 2, 0x1_4000_1083 | NO_EXECUTE), // 1 GiB, bit 12 is a memory type's
            (0x3000, 1, 0x4003),
            (0x4000, 5, 0x9001),
            (0x4000, 6, 0xa000), // not present
        ] {
            tables.get_mut(&table).unwrap()[index] = entry;
        }
        let read = |table| {
            let none = || crate::error::Error::failure(format!("no table at {table:#x}"));
            tables.get(&table).copied().ok_or_else(none)
        };
        let small = |address| Mapped {
            address,
            frame: 0x9000,
            bytes: 4096,
            writable: false,
            executable: address < HALF,
            user: false,
        };
        let large = |address| Mapped {
            address,
            frame: 0x1_4000_0000,
            bytes: 1 << 30,
            writable: address < HALF,
            executable: false,
            user: false,
        };
        let (low, high) = (0x20_5000, 0xff80_0020_5000);
        let all = [
            small(low),
            large(2 << 30),
            small(high),
            large(0xff80_8000_0000),
        ];
        assert_eq!(mapped(read, 0x1000).unwrap(), all);
        tables.remove(&0x4000);
        let read = |table| {
            let none = || crate::error::Error::failure(format!("no table at {table:#x}"));
            tables.get(&table).copied().ok_or_else(none)
        };
        assert!(mapped(read, 0x1000).is_err());
    }
}
