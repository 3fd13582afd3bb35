//! The key of a replica set, and the mixing of words under it.

/// Four words that come with the system image: the same for all replicas and the
/// voter, different from system to system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub [u64; 4]);

impl Key {
    /// What the leaf of `page` adds to a summary. For a given page it is a bijection of
    /// the leaf, so a single changed leaf always changes the summary.
    #[inline]
    #[must_use]
    pub(crate) fn term(&self, page: u32, leaf: u64) -> u64 {
        self.term_at(self.place(page), leaf)
    }

    /// What a page's number is to its terms.
    #[inline]
    pub(crate) const fn place(&self, page: u32) -> u64 {
        scramble(page as u64 ^ self.0[1])
    }

    /// The term of a leaf at a page's place.
    #[inline]
    pub(crate) const fn term_at(&self, place: u64, leaf: u64) -> u64 {
        scramble(scramble(leaf ^ self.0[0]).wrapping_add(place))
    }

    /// A digest of words under a purpose, so that no record passes as another kind.
    /// Any change confined to one word changes it; others do but for one in 2^64.
    #[must_use]
    pub fn digest(&self, purpose: u64, words: &[u64]) -> u64 {
        let start = scramble(purpose ^ self.0[2]) ^ words.len() as u64;
        words
            .iter()
            .fold(scramble(start ^ self.0[3]), |state, word| {
                scramble(state ^ word)
            })
    }
}

/// A bijection of words in which each input bit moves about half of the output bits:
/// the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
#[inline]
pub(crate) const fn scramble(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_scrambled_as_splitmix64_does() {
        // First outputs for seed 1234567, as published with the generator.
        let mut state = 1_234_567_u64;
        for wanted in [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ] {
            assert_eq!(scramble(state), wanted);
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        }
    }

    #[test]
    fn purposes_and_lengths_separate_digests() {
        let key = Key([1, 2, 3, 4]);
        let all = [
            key.digest(1, &[]),
            key.digest(2, &[]),
            key.digest(1, &[0]),
            key.digest(1, &[0, 0]),
            Key([1, 2, 3, 5]).digest(1, &[]),
            Key([1, 2, 4, 4]).digest(1, &[]),
        ];
        for (index, digest) in all.iter().enumerate() {
            assert!(!all[..index].contains(digest));
        }
    }
}
