//! Where Bochs keeps the machine's memory: in blocks of its own memory, in the order in
//! which the machine used them first (`BX_MEM_C::allocate_block` of version 2.7). The
//! ROM uses them all in a known order, so reading the emulator's memory reads the
//! machine's.
use super::image::IMAGE_START;
use crate::emulator::{Memory, Piece};
use crate::error::{Context, Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use tern_units::HostPhysical;

/// Bytes in a block (`BX_MEM_BLOCK_LEN`).
const BLOCK: u64 = 128 << 10;
/// Memory below the screen's and the ROMs' addresses.
const LOW_END: u64 = 0xa_0000;
const PAGE: u64 = 4096;

/// The memory of the machine in `process`, of `bytes` bytes, that was started with
/// `image` (its contents from [`IMAGE_START`] on) and has not executed anything yet.
///
/// # Errors
/// If the process does not let itself be read, or does not hold the image.
pub fn open(process: u32, image: &[u8], bytes: u64) -> Result<Memory> {
    let path = format!("/proc/{process}/mem");
    let file = File::open(&path).context(|| format!("opening {path}"))?;
    let maps = format!("/proc/{process}/maps");
    let maps = std::fs::read_to_string(&maps).context(|| format!("reading {maps}"))?;
    let first = maps
        .lines()
        .filter_map(range)
        .filter(|(start, end)| end - start >= bytes)
        .flat_map(|(start, _)| (0..4).map(move |page| start.next_multiple_of(PAGE) + page * PAGE))
        .find(|start| holds(&file, *start, image))
        .ok_or_else(|| Error::failure(format!("process {process} does not hold the image")))?;
    let image_bytes = image.len() as u64;
    let pieces = pieces(image_bytes, bytes)
        .map(|(address, bytes, offset)| Piece {
            address: HostPhysical::new(address),
            bytes,
            offset: first + offset,
        })
        .collect();
    Ok(Memory::new(file, pieces))
}

/// A line of `maps` for private writable memory without a file: its range.
fn range(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let anonymous = words.next()?.starts_with("rw-p") && words.nth(2)? == "0";
    let parse = |digits| u64::from_str_radix(digits, 16).ok();
    anonymous.then_some((parse(start)?, parse(end)?))
}

fn holds(file: &File, at: u64, image: &[u8]) -> bool {
    let mut bytes = vec![0; image.len().min(BLOCK as usize)];
    file.read_exact_at(&mut bytes, at).is_ok() && image.starts_with(&bytes)
}

/// Address, size and offset of what lies in one piece: the image's blocks, those below,
/// those above.
fn pieces(image: u64, memory: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    let image = image.next_multiple_of(BLOCK);
    let above = IMAGE_START + image;
    [
        (IMAGE_START, image, 0),
        (0, LOW_END, image),
        (above, memory.saturating_sub(above), image + LOW_END),
    ]
    .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_each_other_in_the_order_of_first_use() {
        const { assert!(IMAGE_START.is_multiple_of(BLOCK) && LOW_END.is_multiple_of(BLOCK)) };
        let found: Vec<_> = pieces(0x2_0001, 0x40_0000).collect();
        assert_eq!(
            found,
            [
                (0x10_0000, 0x4_0000, 0),
                (0, 0xa_0000, 0x4_0000),
                (0x14_0000, 0x2c_0000, 0xe_0000)
            ]
        );
    }

    #[test]
    fn only_private_memory_without_a_file_is_looked_at() {
        let line = "7f10-7f20 rw-p 00000000 00:00 0 ";
        assert_eq!(range(line), Some((0x7f10, 0x7f20)));
        assert_eq!(range("7f10-7f20 r--p 00000000 00:00 0"), None);
        assert_eq!(range("7f10-7f20 rw-p 00000000 08:01 77 /lib/x"), None);
    }

    #[test]
    fn a_process_that_holds_the_image_is_read_where_it_lies() {
        // This process stands for the emulator, a large vector for its memory.
        let mut memory = vec![0_u8; 0x40_0000];
        let start = memory.as_ptr() as u64;
        let page = (start.next_multiple_of(PAGE) - start) as usize;
        let image: Vec<u8> = (0..0x2_0000_u32).map(|i| (i * 7 % 251) as u8 | 1).collect();
        memory[page..page + image.len()].copy_from_slice(&image);
        memory[page + 0x2_0010] = 0x5a; // the second block is the machine's first
        let seen = open(std::process::id(), &image, 0x30_0000).unwrap();
        let byte = |address| seen.bytes(HostPhysical::new(address), 1).unwrap()[0];
        assert_eq!(byte(IMAGE_START + 5), image[5]);
        assert_eq!(byte(0x10), 0x5a);
        drop(memory);
    }
}
