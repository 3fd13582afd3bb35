//! Nested page tables: which machine memory a sandbox sees where, and what it may do
//! with it. What is not mapped does not exist for the sandbox.
use crate::frames::{Frames, LARGE_PAGE, OutOfMemory};
use crate::guest::Mapping;
use core::marker::PhantomData;
use tern_units::{HostPhysical, PAGE_SIZE};

/// What a sandbox may do with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read, write and execute: its own memory.
    Full,
    /// Read and write: what it shares as the writer.
    ReadWrite,
    /// Read alone: what it shares as a reader, and the image.
    ReadOnly,
}

/// How a vendor writes the entries.
pub trait Format {
    /// An entry that leads to the table at `address`.
    fn table(address: u64) -> u64;
    /// An entry that maps the page at `address`, a large one if `large`.
    fn page(address: u64, access: Access, large: bool) -> u64;
    /// Whether an entry is in use.
    fn is_present(entry: u64) -> bool;
}

/// Bits of an entry that hold the address.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const ENTRIES: usize = 512;

/// The four-level tables of one sandbox.
#[derive(Debug)]
pub struct Tables<F> {
    root: HostPhysical,
    format: PhantomData<F>,
}

impl<F: Format> Tables<F> {
    /// Tables that map nothing.
    ///
    /// # Errors
    /// If there is no memory left.
    pub fn new(frames: &mut Frames) -> Result<Self, OutOfMemory> {
        Ok(Self {
            root: frames.page()?,
            format: PhantomData,
        })
    }

    /// Address of the top table.
    #[must_use]
    pub fn root(&self) -> HostPhysical {
        self.root
    }

    /// Maps a range: large pages wherever guest and host are both at multiples of
    /// 2 MiB, small ones elsewhere.
    ///
    /// # Errors
    /// If there is no memory left for tables.
    ///
    /// # Panics
    /// If the range is not in whole pages or is mapped already: the plan of the machine
    /// would be wrong.
    pub fn map(&mut self, frames: &mut Frames, mapping: &Mapping) -> Result<(), OutOfMemory> {
        let small = PAGE_SIZE as u64;
        let Mapping {
            guest,
            host,
            bytes,
            access,
        } = *mapping;
        assert!(
            guest.is_aligned(small) && host.is_aligned(small) && bytes.is_multiple_of(small),
            "nested mapping of {bytes:#x} bytes at {guest} to {host} is not in whole pages"
        );
        let mut done = 0;
        while done < bytes {
            let (from, to) = (guest.as_u64() + done, host.as_u64() + done);
            let large = (from | to).is_multiple_of(LARGE_PAGE) && bytes - done >= LARGE_PAGE;
            let entry = self.entry(frames, from, u32::from(large))?;
            assert!(
                !F::is_present(*entry),
                "guest-physical {from:#x} is mapped twice"
            );
            *entry = F::page(to, access, large);
            done += if large { LARGE_PAGE } else { small };
        }
        Ok(())
    }

    /// The entry for `address` in the table of `level` (0 for 4 KiB, 1 for 2 MiB), with
    /// the tables above it made where they are missing.
    fn entry(
        &mut self,
        frames: &mut Frames,
        address: u64,
        level: u32,
    ) -> Result<&mut u64, OutOfMemory> {
        let mut table = self.root.as_u64();
        for above in (level + 1..4).rev() {
            let entry = Self::slot(table, address, above);
            // SAFETY: `table` is a page of ours, mapped to itself, and the index is
            // within it; no reference to it is alive.
            let entry = unsafe { &mut *entry };
            if !F::is_present(*entry) {
                *entry = F::table(frames.page()?.as_u64());
            }
            table = *entry & ADDRESS;
        }
        // SAFETY: as above; the result borrows `self`.
        Ok(unsafe { &mut *Self::slot(table, address, level) })
    }

    fn slot(table: u64, address: u64, level: u32) -> *mut u64 {
        let index = (address >> (12 + 9 * level)) as usize % ENTRIES;
        (table as *mut u64).wrapping_add(index)
    }
}
