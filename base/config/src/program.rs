//! How many pages a program's file takes in memory, from its ELF program headers.
use tern_units::PAGE_SIZE;

use crate::layout::LARGE_PAGE;

/// What a program's or a guest's file takes in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Pages of its loadable segments, zeroed data included; a page that two segments share
    /// counts twice.
    pub pages: u64,
    /// Pieces of 2 MiB that these are in, by their virtual addresses: each takes a page table. A
    /// piece that two segments share counts once if they follow each other.
    pub tables: u64,
    /// The first physical address past all of them.
    pub end: u64,
}

/// Pages of the loadable segments of a program's file: see [`program_shape`].
#[must_use]
pub fn program_pages(file: &[u8]) -> Option<u64> {
    program_shape(file).map(|shape| shape.pages)
}

/// What a 64-bit little-endian ELF file takes in memory. `None` if it is no such file.
///
/// System V ABI, "ELF-64 Object File Format", version 1.5: file header (figure 2) and
/// program header (figure 7).
#[must_use]
pub fn program_shape(file: &[u8]) -> Option<Shape> {
    const LOAD: u64 = 1;
    let page = PAGE_SIZE as u64;
    if file.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (offset, entry, count) = (word(file, 32, 8)?, word(file, 54, 2)?, word(file, 56, 2)?);
    let mut shape = Shape::default();
    let mut last_table = None;
    for index in 0..count {
        let at = offset.checked_add(index * entry)?;
        if word(file, at, 4)? != LOAD {
            continue;
        }
        let start = word(file, at.checked_add(16)?, 8)?;
        let physical = word(file, at.checked_add(24)?, 8)?;
        let size = word(file, at.checked_add(40)?, 8)?;
        let end = start.checked_add(size)?.checked_next_multiple_of(page)?;
        shape.pages = shape
            .pages
            .checked_add((end - start / page * page) / page)?;
        shape.end = shape.end.max(physical.checked_add(size)?);
        if size > 0 {
            let (first, last) = (start / LARGE_PAGE, (end - 1) / LARGE_PAGE);
            let shared = u64::from(last_table == Some(first));
            shape.tables = shape.tables.checked_add(last - first + 1 - shared)?;
            last_table = Some(last);
        }
    }
    Some(shape)
}

/// The little-endian number of `bytes` bytes at an offset.
fn word(file: &[u8], at: u64, bytes: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let number = file.get(at..at.checked_add(bytes)?)?;
    Some(
        number
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    /// An ELF file of nothing but program headers: (type, address, size in memory).
    pub(crate) fn file(segments: &[(u32, u64, u64)]) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[32] = 64;
        file[54] = 56;
        file[56] = segments.len() as u8;
        for (kind, address, size) in segments {
            let mut header = [0; 56];
            header[..4].copy_from_slice(&kind.to_le_bytes());
            header[16..24].copy_from_slice(&address.to_le_bytes());
            header[40..48].copy_from_slice(&size.to_le_bytes());
            file.extend_from_slice(&header);
        }
        file
    }

    #[test]
    fn segments_count_by_the_pages_they_touch() {
        for (segments, pages) in [
            (vec![], 0),
            (vec![(1, 0x40_0000, 1)], 1),
            (vec![(1, 0x40_0000, 4096)], 1),
            (vec![(1, 0x40_0ff0, 0x20)], 2),
            (
                vec![
                    (1, 0x40_0000, 0x2001),
                    (4, 0, 1 << 40),
                    (1, 0x50_0000, 0x1000),
                ],
                4,
            ),
        ] {
            assert_eq!(program_pages(&file(&segments)), Some(pages), "{segments:?}");
        }
    }

    #[test]
    fn what_is_no_elf_file_has_no_pages() {
        let good = file(&[(1, 0x40_0000, 1)]);
        for length in 0..good.len() - 16 {
            assert_eq!(program_pages(&good[..length]), None, "{length}");
        }
        assert_eq!(program_pages(b"#!/bin/sh\n"), None);
        assert_eq!(program_pages(&file(&[(1, u64::MAX, u64::MAX)])), None);
    }
}
