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

/// The memory of the machine in `process`, of `bytes` bytes, that was started with
/// `image` (its contents from [`IMAGE_START`] on), has not executed anything yet, and
/// has written `log`.
///
/// # Errors
/// If the process does not let itself be read, or does not hold the image.
pub fn open(process: u32, log: &str, image: &[u8], bytes: u64) -> Result<Memory> {
    let path = format!("/proc/{process}/mem");
    let file = File::open(&path).context(|| format!("opening {path}"))?;
    let first = log
        .lines()
        .find_map(first_block)
        .filter(|first| holds(&file, *first, image))
        .ok_or_else(|| Error::failure("the emulator keeps the image where it does not say"))?;
    let pieces = pieces(image.len() as u64, bytes)
        .map(|(address, bytes, offset)| Piece {
            address: HostPhysical::new(address),
            bytes,
            offset: first + offset,
        })
        .collect();
    Ok(Memory::new(file, pieces))
}

/// The address in the log's line `allocated memory at 0x…. after alignment, vector=0x…`.
fn first_block(line: &str) -> Option<u64> {
    let (_, digits) = line.split_once("after alignment, vector=0x")?;
    u64::from_str_radix(digits.trim_end(), 16).ok()
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
    fn a_process_that_holds_the_image_is_read_where_it_lies() {
        // This process stands for the emulator, a large vector for its memory.
        let mut memory = vec![0_u8; 0x40_0000];
        let start = memory.as_ptr() as u64;
        let page = (start.next_multiple_of(4096) - start) as usize;
        let image: Vec<u8> = (0..0x2_0000_u32).map(|i| (i * 7 % 251) as u8 | 1).collect();
        memory[page..page + image.len()].copy_from_slice(&image);
        memory[page + 0x2_0010] = 0x5a; // the second block is the machine's first
        let at = memory[page..].as_ptr();
        let log = format!("i[MEM0  ] allocated memory at 0x1. after alignment, vector={at:p}\n");
        let seen = open(std::process::id(), &log, &image, 0x30_0000).unwrap();
        let byte = |address| seen.bytes(HostPhysical::new(address), 1).unwrap()[0];
        assert_eq!(byte(IMAGE_START + 5), image[5]);
        assert_eq!(byte(0x10), 0x5a);
        drop(memory);
    }
}
