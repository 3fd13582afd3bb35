//! Nested page tables: which machine memory a sandbox sees where, and what it may do
//! with it. What is not mapped does not exist for the sandbox.
use crate::memory::frames::{Frames, LARGE_PAGE, OutOfMemory};
use crate::memory::mapping::{Access, Mapping};
use bit_field::BitField;
use core::marker::PhantomData;
use tern_units::{HostPhysical, PAGE_SIZE};

/// The bit of an entry above the lowest table that makes it one of a large page, in every format.
pub const LARGE: u64 = 1 << 7;

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

/// The four-level tables of one sandbox.
#[derive(Debug)]
pub struct Tables<F> {
    root: HostPhysical,
    small_code: bool,
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
            small_code: false,
            format: PhantomData,
        })
    }

    /// The same, that map with small pages alone what may be executed, if `small`.
    #[must_use]
    pub fn with_small_code(self, small: bool) -> Self {
        Self {
            small_code: small,
            ..self
        }
    }

    /// Address of the top table.
    #[must_use]
    pub fn root(&self) -> HostPhysical {
        self.root
    }

    /// Maps a range: large pages wherever they may be and guest and host are both at
    /// multiples of 2 MiB, small ones elsewhere.
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
        let may_be_large = !(self.small_code && access == Access::Full);
        let mut done = 0;
        while done < bytes {
            let (from, to) = (guest.as_u64() + done, host.as_u64() + done);
            let large = may_be_large
                && (from | to).is_multiple_of(LARGE_PAGE)
                && bytes - done >= LARGE_PAGE;
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
            assert!(
                *entry & LARGE == 0,
                "guest-physical {address:#x} is mapped twice"
            );
            table = *entry & ADDRESS;
        }
        // SAFETY: as above; the result borrows `self`.
        Ok(unsafe { &mut *Self::slot(table, address, level) })
    }

    fn slot(table: u64, address: u64, level: u32) -> *mut u64 {
        let lowest = 12 + 9 * level as usize;
        let index = address.get_bits(lowest..lowest + 9);
        (table as *mut u64).wrapping_add(index as usize)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::memory::frames::tests::of_host;
    use crate::svm::NestedFormat;
    use crate::vmx::ExtendedFormat;
    use std::vec::Vec;
    use tern_units::GuestPhysical;

    const MIB: u64 = 1 << 20;

    fn mapping(guest: u64, host: u64, bytes: u64, access: Access) -> Mapping {
        Mapping {
            guest: GuestPhysical::new(guest),
            host: HostPhysical::new(host),
            bytes,
            access,
        }
    }

    /// The entry that the processor finds for `address`, and the address it leads to.
    fn walk<F: Format>(tables: &Tables<F>, address: u64) -> Option<(u64, u64)> {
        let mut table = tables.root().as_u64();
        for level in (0..4).rev() {
            // SAFETY: a table of four levels in leaked memory.
            let entry = unsafe { *Tables::<F>::slot(table, address, level) };
            if !F::is_present(entry) {
                return None;
            }
            let size = 1 << (12 + 9 * level);
            if level == 0 || entry & LARGE != 0 {
                let page = entry & ADDRESS & !(size - 1);
                return Some((entry, page + address % size));
            }
            table = entry & ADDRESS;
        }
        None
    }

    /// A sandbox's memory of 4 MiB, a channel of two pages that it writes, and one that it reads,
    /// of 2 MiB at a host address that no large page can have and at one that it can.
    fn sandbox<F: Format>(small_code: bool) -> (Tables<F>, Vec<Mapping>) {
        let mut frames = of_host(4 * MIB);
        let tables = Tables::<F>::new(&mut frames).unwrap();
        let mut tables = tables.with_small_code(small_code);
        let mappings = Vec::from([
            mapping(0, 64 * MIB, 4 * MIB, Access::Full),
            mapping(0x10_0000_0000, 128 * MIB, 0x2000, Access::ReadWrite),
            mapping(0x10_0020_0000, 129 * MIB, 2 * MIB, Access::ReadOnly),
            mapping(0x10_0040_0000, 132 * MIB, 2 * MIB, Access::ReadOnly),
            mapping(0x10_0060_0000, 134 * MIB, 0x1000, Access::Code),
        ]);
        for mapping in &mappings {
            tables.map(&mut frames, mapping).unwrap();
        }
        (tables, mappings)
    }

    /// `permits` says of an entry whether it may be read, written, executed.
    fn maps_what_it_was_given_and_nothing_else<F: Format>(
        small_code: bool,
        permits: impl Fn(u64) -> [bool; 3],
    ) {
        let (tables, mappings) = sandbox::<F>(small_code);
        for it in &mappings {
            let wanted = match it.access {
                Access::Full => [true, true, true],
                Access::ReadWrite => [true, true, false],
                Access::ReadOnly => [true, false, false],
                Access::Code => [true, false, true],
            };
            for offset in (0..it.bytes)
                .step_by(4096)
                .flat_map(|page| [page, page + 4095])
            {
                let (entry, address) = walk(&tables, it.guest.as_u64() + offset).unwrap();
                assert_eq!(address, it.host.as_u64() + offset);
                assert_eq!(permits(entry), wanted, "{it:x?}");
            }
        }
        for outside in [
            4 * MIB,
            0x10_0000_2000,
            0x10_001f_f000,
            0x10_0060_1000,
            0xfee0_0000,
        ] {
            assert_eq!(walk(&tables, outside), None, "{outside:#x}");
        }
        let is_large = |address| walk(&tables, address).unwrap().0 & LARGE != 0;
        assert_eq!(is_large(0), !small_code);
        assert!(
            is_large(0x10_0040_0000),
            "what is not executed always is, where it can be"
        );
    }

    #[test]
    fn nested_tables_of_either_vendor_map_what_they_were_given_and_nothing_else() {
        // AMD APM vol. 2 §15.25.5: guests' accesses are user accesses (bit 2).
        // The memory type is the first of the page attribute table: bits 3 and 4, and 12 of large
        // pages, 7 of small ones, where large ones have their own (APM vol. 2 §7.8.3).
        let amd = |entry: u64| {
            assert_eq!(entry & (1 << 3 | 1 << 4 | 1 << 12) & !ADDRESS, 0);
            [entry & 5 == 5, entry & 2 != 0, entry >> 63 == 0]
        };
        maps_what_it_was_given_and_nothing_else::<NestedFormat>(false, amd);
        // Intel SDM vol. 3 §29.3.2: and the memory type in bits 5:3 is write-back, 6, whatever the
        // guest's page attribute table says, bit 6.
        let intel = |entry: u64| {
            assert_eq!(entry >> 3 & 0xf, 0xe);
            [entry & 1 != 0, entry & 2 != 0, entry & 4 != 0]
        };
        maps_what_it_was_given_and_nothing_else::<ExtendedFormat>(false, intel);
        maps_what_it_was_given_and_nothing_else::<ExtendedFormat>(true, intel);
    }

    #[test]
    fn nothing_is_mapped_twice_whatever_the_pages_sizes() {
        for again in [
            mapping(0, 256 * MIB, 2 * MIB, Access::Full),
            mapping(0x1000, 256 * MIB, 0x1000, Access::Full),
            mapping(0x10_0000_0000, 256 * MIB, 2 * MIB, Access::Full),
            mapping(0x10_0000_1000, 256 * MIB, 0x1000, Access::Full),
        ] {
            let refused = std::panic::catch_unwind(|| {
                let (mut tables, _) = sandbox::<NestedFormat>(false);
                tables.map(&mut of_host(2 * MIB), &again)
            });
            assert!(refused.is_err(), "{again:x?}");
        }
    }
}
