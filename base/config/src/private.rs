//! What follows the system image in the boot module: for each sandbox words that no other
//! sandbox sees, keys above all. What they mean is not known here.
//!
//! All numbers are little-endian 64-bit words.
//!
//! | offset | what |
//! | --- | --- |
//! | 0 | magic `TERNPRV1` |
//! | 8 | length of the whole part in bytes |
//! | 16 | SHA-256 of everything from byte 48 to the end |
//! | 48 | number of sandboxes |
//! | 56 | for each sandbox the number of its words |
//! | … | the words, sandbox by sandbox |
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

const MAGIC: [u8; 8] = *b"TERNPRV1";
const LENGTH_AT: usize = 8;
const CHECKSUM_AT: usize = 16;
const COUNT_AT: usize = 48;
const COUNTS_AT: usize = 56;

/// The most bytes for one sandbox: as many as lie between its command line and its kernel.
pub const PRIVATE_MAX: usize = 0xd000;

/// The private part of a boot module.
#[derive(Clone, Copy, Debug)]
pub struct Private<'a> {
    bytes: &'a [u8],
}

impl<'a> Private<'a> {
    /// Reads the part that follows an image in its boot module, and checks it whole; `None` if
    /// there is none, or it is not as it was written.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() < COUNTS_AT || bytes[..8] != MAGIC {
            return None;
        }
        let length = usize::try_from(word(bytes, LENGTH_AT)).ok()?;
        let bytes = bytes.get(..length)?;
        let checked = bytes.get(COUNT_AT..)?;
        let is_sound = Sha256::digest(checked)[..] == bytes[CHECKSUM_AT..COUNT_AT];
        (length >= COUNTS_AT && is_sound).then_some(Self { bytes })
    }

    /// Returns the words of a sandbox, as bytes; none of one that has none.
    #[must_use]
    pub fn of(&self, sandbox: usize) -> &'a [u8] {
        let count = word(self.bytes, COUNT_AT) as usize;
        let sizes = || (0..count).map(|index| word(self.bytes, COUNTS_AT + 8 * index) as usize * 8);
        let before: usize = sizes().take(sandbox).sum();
        let start = COUNTS_AT + 8 * count + before;
        let bytes = sizes().nth(sandbox).unwrap_or(0);
        self.bytes.get(start..start + bytes).unwrap_or(&[])
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    if let Some(bytes) = bytes.get(at..at + 8) {
        word.copy_from_slice(bytes);
    }
    u64::from_le_bytes(word)
}

/// Returns the private part of a boot module with these words, sandbox by sandbox.
pub(crate) fn part(words: &[Vec<u64>]) -> Vec<u8> {
    let mut bytes = Vec::from([0; COUNT_AT]);
    let mut put = |word: u64| bytes.extend_from_slice(&word.to_le_bytes());
    put(words.len() as u64);
    words.iter().for_each(|own| put(own.len() as u64));
    words.iter().flatten().for_each(|word| put(*word));
    let checksum = Sha256::digest(&bytes[COUNT_AT..]);
    let length = bytes.len() as u64;
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[LENGTH_AT..CHECKSUM_AT].copy_from_slice(&length.to_le_bytes());
    bytes[CHECKSUM_AT..COUNT_AT].copy_from_slice(&checksum);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn each_sandbox_gets_its_own_words_and_no_other() {
        let words = [vec![1, 2], vec![], vec![3], vec![4, 5, 6]];
        let bytes = part(&words);
        let private = Private::parse(&bytes).unwrap();
        for (sandbox, own) in words.iter().enumerate() {
            let expected: Vec<u8> = own
                .iter()
                .flat_map(|word: &u64| word.to_le_bytes())
                .collect();
            assert_eq!(private.of(sandbox), expected);
        }
        assert_eq!(private.of(4), []);
        // Loaders round modules up.
        let longer = [&bytes[..], &[0; 100]].concat();
        assert_eq!(Private::parse(&longer).unwrap().of(3), private.of(3));
    }

    #[test]
    fn every_bit_and_every_byte_less_is_found() {
        let bytes = part(&[vec![1, 2], vec![3]]);
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Private::parse(&damaged).is_none(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(Private::parse(&bytes[..length]).is_none(), "{length} bytes");
        }
    }
}
