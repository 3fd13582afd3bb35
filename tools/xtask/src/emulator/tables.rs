//! A program's pages, found from outside through the page tables of its sandbox: the
//! four-level format of the AMD64 Architecture Programmer's Manual, volume 2, section 5.3.
use super::Memory;
use crate::error::Result;
use tern_units::{HostPhysical, PAGE_SIZE};

/// The pages that a program can reach, in the order of their addresses.
///
/// `base` is where the sandbox's guest-physical zero lies; the root is guest-physical.
///
/// # Errors
/// If the table points outside the machine's memory.
pub fn user_pages(memory: &Memory, base: HostPhysical, root: u64) -> Result<Vec<UserPage>> {
    let mut pages = Vec::new();
    let walk = Walk { memory, base };
    // Only the lower half: the upper half is the kernel's.
    walk.table(root, 3, 0, 256, (true, true), &mut pages)?;
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

struct Walk<'a> {
    memory: &'a Memory,
    base: HostPhysical,
}

impl Walk<'_> {
    const PRESENT: u64 = 1;
    const WRITABLE: u64 = 1 << 1;
    const USER: u64 = 1 << 2;
    const LARGE: u64 = 1 << 7;
    const NO_EXECUTE: u64 = 1 << 63;
    const FRAME: u64 = 0x000f_ffff_ffff_f000;

    fn table(
        &self,
        table: u64,
        level: u32,
        prefix: u64,
        entries: usize,
        (writable, executable): (bool, bool),
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
            let executable = executable && entry & Self::NO_EXECUTE == 0;
            if level > 0 && entry & Self::LARGE == 0 {
                let rights = (writable, executable);
                self.table(entry, level - 1, address, 512, rights, pages)?;
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
                    executable,
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
}
