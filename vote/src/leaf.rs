//! The hash of one page: the fast keyed leaf, the slow one, and the full SHA-256 that
//! confirms a repair.
use crate::key::Key;
use ahash::RandomState;
use core::fmt;
use core::hash::{BuildHasher, Hasher};
use sha2::{Digest, Sha256};
use tern_units::PAGE_SIZE;

/// The bytes of a page.
pub type Page = [u8; PAGE_SIZE];

/// The 64-bit hash of one page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Leaf(pub u64);

/// The SHA-256 of one page, as words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageHash(pub [u64; 4]);

/// Something that makes leaves of pages.
pub trait PageHasher {
    /// The leaf of a page.
    fn leaf(&self, page: &Page) -> Leaf;
}

/// Which hash makes the leaves of a replica set.
#[derive(Clone)]
pub enum LeafKind {
    /// `ahash` with fixed seeds. With the AES instructions enabled at compile time, as
    /// they are in the freestanding images, it is some 30 GB/s; without, it falls back to
    /// multiplication and gives other values. So leaves mean something only among
    /// copies of one build, which is what replicas are.
    Ahash(RandomState),
    /// The first 64 bits of SHA-256 over the key and the page.
    Sha256(Key),
}

impl LeafKind {
    /// The fast leaf, on the AES instructions.
    #[must_use]
    pub fn ahash(key: &Key) -> Self {
        let [a, b, c, d] = key.0;
        Self::Ahash(RandomState::with_seeds(a, b, c, d))
    }

    /// The cryptographic leaf.
    #[must_use]
    pub const fn sha256(key: &Key) -> Self {
        Self::Sha256(*key)
    }
}

impl PageHasher for LeafKind {
    fn leaf(&self, page: &Page) -> Leaf {
        match self {
            Self::Ahash(state) => {
                let mut hasher = state.build_hasher();
                hasher.write(page);
                Leaf(hasher.finish())
            }
            Self::Sha256(key) => {
                let mut hasher = Sha256::new();
                for word in key.0 {
                    hasher.update(word.to_le_bytes());
                }
                hasher.update(page);
                Leaf(words_of(&hasher.finalize())[0])
            }
        }
    }
}

impl fmt::Debug for LeafKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Ahash(_) => "Ahash",
            Self::Sha256(_) => "Sha256",
        })
    }
}

/// The bytes of a page of words, as the processor keeps them in memory.
pub fn page_of_words(words: &[u64; PAGE_SIZE / 8], page: &mut Page) {
    for (bytes, word) in page.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
}

/// The SHA-256 (FIPS 180-4) of a page.
#[must_use]
pub fn sha256(page: &Page) -> PageHash {
    PageHash(words_of(&Sha256::digest(page)))
}

fn words_of(digest: &[u8]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(digest.chunks_exact(8)) {
        *word = bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const KEY: Key = Key([11, 22, 33, 44]);

    fn page(seed: u64) -> Page {
        let mut page = [0; PAGE_SIZE];
        for (index, bytes) in page.chunks_exact_mut(8).enumerate() {
            let word = crate::key::scramble(seed.wrapping_add(index as u64));
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        page
    }

    #[test]
    fn the_confirmation_is_sha_256() {
        // SHA-256 of 4096 zero bytes, as sha256sum prints it:
        // ad7facb2586fc6e966c004d7d1d16b024f5805ff7cb47c7a85dabd8b48892ca7
        let wanted = [
            0xe9c6_6f58_b2ac_7fad,
            0x026b_d1d1_d704_c066,
            0x7a7c_b47c_ff05_584f,
            0xa72c_8948_8bbd_da85,
        ];
        assert_eq!(sha256(&[0; PAGE_SIZE]).0, wanted);
    }

    #[test]
    fn every_single_bit_of_a_page_moves_every_leaf() {
        for hasher in [LeafKind::ahash(&KEY), LeafKind::sha256(&KEY)] {
            for mut page in [page(1), [0; PAGE_SIZE], [0xff; PAGE_SIZE]] {
                let sound = hasher.leaf(&page);
                for bit in 0..8 * PAGE_SIZE {
                    page[bit / 8] ^= 1 << (bit % 8);
                    assert_ne!(hasher.leaf(&page), sound, "{hasher:?}, bit {bit}");
                    page[bit / 8] ^= 1 << (bit % 8);
                }
            }
        }
    }

    #[test]
    fn leaves_depend_on_every_word_of_the_key_and_on_nothing_else() {
        let make: [fn(&Key) -> LeafKind; 2] = [LeafKind::ahash, LeafKind::sha256];
        for make in make {
            let sound = make(&KEY).leaf(&page(2));
            assert_eq!(make(&KEY).leaf(&page(2)), sound);
            for word in 0..4 {
                let mut other = KEY;
                other.0[word] ^= 1;
                assert_ne!(make(&other).leaf(&page(2)), sound);
            }
        }
    }

    #[test]
    fn leaves_of_similar_pages_do_not_collide() {
        let hasher = LeafKind::ahash(&KEY);
        let mut leaves: Vec<u64> = (0..PAGE_SIZE)
            .flat_map(|byte| {
                let mut page = [0; PAGE_SIZE];
                page[byte] = 1;
                let single = hasher.leaf(&page).0;
                page[(byte + 1) % PAGE_SIZE] = 0x80;
                [single, hasher.leaf(&page).0]
            })
            .collect();
        leaves.sort_unstable();
        leaves.dedup();
        assert_eq!(leaves.len(), 2 * PAGE_SIZE);
    }
}
