//! What the loader says, by either protocol: memory, the boot module, ACPI's root.
use crate::ranges::{Range, Ranges};
use tern_machine::pvh;

/// The `protocol` with which the PVH entry calls `start`; the Multiboot2 entry has another.
pub const PVH: u64 = 0;

/// What the hypervisor takes from the loader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Information {
    /// Usable memory.
    pub memory: Ranges,
    /// The first boot module.
    pub module: Option<Range>,
    /// Address of ACPI's root pointer.
    pub acpi_root: Option<u64>,
    /// The timestamp counter's rate, where the loader knows it: `tsc_hertz=` on the
    /// command line of a PVH loader.
    pub tsc_hertz: Option<u64>,
    /// How long kernels get to set themselves up, in milliseconds: `lead_ms=` there.
    pub lead_ms: Option<u64>,
}

/// The number after `key` among the words of a command line.
fn number(line: &str, key: &str) -> Option<u64> {
    let mut words = line.split_ascii_whitespace();
    words.find_map(|word| word.strip_prefix(key)?.parse().ok())
}

/// Why the hand-over cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandoverError {
    /// The PVH start information is not one of version 1.
    BadPvh,
    /// The Multiboot2 information ends early.
    BadMultiboot,
}

impl core::fmt::Display for HandoverError {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str(match self {
            Self::BadPvh => {
                "the loader's PVH start information is not of version 1: use a newer loader"
            }
            Self::BadMultiboot => "the loader's Multiboot2 information is damaged: use GRUB 2",
        })
    }
}

/// Reads PVH start information.
///
/// # Errors
/// If it is not one of version 1 or later.
///
/// # Safety
/// Physical memory is mapped to itself, and `address` is what the PVH entry received.
pub unsafe fn from_pvh(address: u64) -> Result<Information, HandoverError> {
    // SAFETY: as the caller vouches.
    let start = unsafe { pvh::Start::read(address, 0) }.ok_or(HandoverError::BadPvh)?;
    let mut found = Information::default();
    for region in start
        .memory_map()
        .filter(|region| region.kind == pvh::MEMORY_USABLE)
    {
        found.memory.add(Range::new(region.address, region.bytes));
    }
    found.module = start
        .modules()
        .next()
        .map(|module| Range::new(module.address, module.bytes));
    found.acpi_root = Some(start.info().acpi_root).filter(|&root| root != 0);
    found.tsc_hertz = number(start.command_line(), "tsc_hertz=");
    found.lead_ms = number(start.command_line(), "lead_ms=");
    Ok(found)
}

/// Reads Multiboot2 information, `bytes` from its start at `address`. The root pointer
/// of ACPI is a copy inside the information: its address is the copy's.
///
/// # Errors
/// If it ends early or a tag reaches past its end.
///
/// Source: Multiboot2 specification 2.0, §3.6.
pub fn from_multiboot2(bytes: &[u8], address: u64) -> Result<Information, HandoverError> {
    let bad = HandoverError::BadMultiboot;
    let total = read_u32(bytes, 0).ok_or(bad)? as usize;
    let bytes = bytes.get(..total).ok_or(bad)?;
    let mut found = Information::default();
    let mut at = 8;
    loop {
        let kind = read_u32(bytes, at).ok_or(bad)?;
        let length = read_u32(bytes, at + 4).ok_or(bad)? as usize;
        let tag = bytes
            .get(at..)
            .and_then(|rest| rest.get(..length))
            .ok_or(bad)?;
        if length < 8 {
            return Err(bad);
        }
        match kind {
            0 => return Ok(found),
            3 if found.module.is_none() => {
                let start = u64::from(read_u32(tag, 8).ok_or(bad)?);
                let end = u64::from(read_u32(tag, 12).ok_or(bad)?);
                found.module = Some(Range { start, end });
            }
            6 => {
                let entry_bytes = read_u32(tag, 8).ok_or(bad)?.max(24) as usize;
                for entry in tag.get(16..).ok_or(bad)?.chunks_exact(entry_bytes) {
                    const AVAILABLE: u32 = 1;
                    if read_u32(entry, 16) == Some(AVAILABLE) {
                        let start = read_u64(entry, 0).ok_or(bad)?;
                        let length = read_u64(entry, 8).ok_or(bad)?;
                        found.memory.add(Range::new(start, length));
                    }
                }
            }
            // Version 2 of the root pointer is preferred, in whatever order they come.
            15 => found.acpi_root = Some(address + at as u64 + 8),
            14 if found.acpi_root.is_none() => found.acpi_root = Some(address + at as u64 + 8),
            _ => {}
        }
        at += length.next_multiple_of(8);
    }
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn the_loader_may_tell_numbers() {
        let line = "quiet tsc_hertz=100000000 lead_ms=fast";
        assert_eq!(number(line, "tsc_hertz="), Some(100_000_000));
        assert_eq!(number(line, "lead_ms="), None);
        assert_eq!(number("", "lead_ms="), None);
    }

    fn information(tags: &[(u32, &[u32])]) -> Vec<u8> {
        let mut words = Vec::from([0, 0]);
        for (kind, body) in tags {
            words.extend([*kind, 8 + 4 * body.len() as u32]);
            words.extend(*body);
            if words.len() % 2 == 1 {
                words.push(0);
            }
        }
        words[0] = 4 * words.len() as u32;
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn memory_module_and_root_pointer_are_found() {
        let bytes = information(&[
            (1, &[0x61]),
            (14, &[0; 5]),
            (15, &[0; 9]),
            (3, &[0x10_0000, 0x20_0000, 0]),
            (3, &[0x30_0000, 0x40_0000, 0]),
            (
                6,
                &[
                    24, 0, 0, 0, 0x9_f000, 0, 1, 0, 0xf_0000, 0, 0x1_0000, 0, 2, 0,
                ],
            ),
            (0, &[]),
        ]);
        let found = from_multiboot2(&bytes, 0x1000).unwrap();
        assert_eq!(
            found.module,
            Some(Range {
                start: 0x10_0000,
                end: 0x20_0000
            })
        );
        assert_eq!(
            found.memory.iter().collect::<Vec<_>>(),
            [Range {
                start: 0,
                end: 0x9_f000
            }]
        );
        // 8 of header, 16 of command line, 32 of version 1, 8 of the tag's own header.
        assert_eq!(found.acpi_root, Some(0x1000 + 8 + 16 + 32 + 8));
    }

    #[test]
    fn information_that_ends_early_is_refused() {
        let whole = information(&[(3, &[1, 2, 0]), (0, &[])]);
        for length in 0..whole.len() {
            assert!(
                from_multiboot2(&whole[..length], 0).is_err(),
                "{length} bytes"
            );
        }
        let endless = information(&[(3, &[1, 2, 0])]);
        assert!(from_multiboot2(&endless, 0).is_err());
    }
}
