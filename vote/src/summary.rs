//! The summary of a replica's memory, kept incrementally beside its leaves.
use crate::key::Key;
use crate::leaf::Leaf;
use tern_units::PageNumber;

/// Σ mix(key, page, leaf) mod 2^64 over all pages. The mix binds each leaf to its
/// page: equal pages do not cancel and swapped pages do not vanish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Summary(pub u64);

impl Summary {
    /// The summary of no pages.
    pub const EMPTY: Self = Self(0);

    /// Adds the leaf of a page that was not in it.
    #[must_use]
    pub fn with(self, key: &Key, page: PageNumber, leaf: Leaf) -> Self {
        Self(self.0.wrapping_add(key.term(page.0, leaf.0)))
    }

    /// Takes out the leaf of a page that was in it.
    #[must_use]
    pub fn without(self, key: &Key, page: PageNumber, leaf: Leaf) -> Self {
        Self(self.0.wrapping_sub(key.term(page.0, leaf.0)))
    }
}

/// The leaves of all pages of a replica, in storage that the caller gives, with
/// their summary. Both can be hit by a fault: [`LeafTable::recompute`] mends the summary,
/// hashing a page anew mends its leaf.
#[derive(Clone, Debug)]
pub struct LeafTable<S> {
    key: Key,
    leaves: S,
    summary: Summary,
}

impl<S: AsRef<[u64]> + AsMut<[u64]>> LeafTable<S> {
    /// A table over as many pages as the storage has words. Whatever the storage holds
    /// is taken for leaves, so all pages are to be hashed before it says anything.
    #[must_use]
    pub fn new(key: Key, leaves: S) -> Self {
        let mut table = Self {
            key,
            leaves,
            summary: Summary::EMPTY,
        };
        table.recompute();
        table
    }

    /// Number of pages.
    #[must_use]
    pub fn pages(&self) -> u32 {
        self.leaves.as_ref().len() as u32
    }

    /// The leaf recorded for a page.
    ///
    /// # Panics
    /// If the page is not in the table.
    #[must_use]
    pub fn leaf(&self, page: PageNumber) -> Leaf {
        Leaf(self.leaves.as_ref()[page.0 as usize])
    }

    /// Records the leaf of a page: its old term leaves the summary, the new one joins it.
    ///
    /// # Panics
    /// If the page is not in the table.
    pub fn set(&mut self, page: PageNumber, leaf: Leaf) {
        let old = self.leaf(page);
        self.summary = self
            .summary
            .without(&self.key, page, old)
            .with(&self.key, page, leaf);
        self.leaves.as_mut()[page.0 as usize] = leaf.0;
    }

    /// The summary as kept so far.
    #[must_use]
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    /// Makes the summary anew from the leaves; returns whether the kept one was right.
    pub fn recompute(&mut self) -> bool {
        let pages = (0..).map(PageNumber);
        let fresh = pages
            .zip(self.leaves.as_ref())
            .fold(Summary::EMPTY, |sum, (page, leaf)| {
                sum.with(&self.key, page, Leaf(*leaf))
            });
        let was_right = fresh == self.summary;
        self.summary = fresh;
        was_right
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const KEY: Key = Key([5, 6, 7, 8]);

    fn table(leaves: &[u64]) -> LeafTable<Vec<u64>> {
        LeafTable::new(KEY, leaves.to_vec())
    }

    proptest! {
        #[test]
        fn the_kept_summary_is_the_one_from_scratch(
            start in prop::collection::vec(any::<u64>(), 1..40),
            changes in prop::collection::vec((any::<u32>(), any::<u64>()), 0..100),
        ) {
            let mut table = table(&start);
            for (page, leaf) in changes {
                table.set(PageNumber(page % start.len() as u32), Leaf(leaf));
            }
            prop_assert!(table.recompute());
        }

        #[test]
        fn every_single_bit_of_every_leaf_moves_the_summary(
            leaves in prop::collection::vec(any::<u64>(), 1..20),
        ) {
            let sound = table(&leaves).summary();
            for bit in 0..64 * leaves.len() {
                let mut flipped = leaves.clone();
                flipped[bit / 64] ^= 1 << (bit % 64);
                prop_assert_ne!(table(&flipped).summary(), sound);
            }
        }

        #[test]
        fn swapped_pages_are_seen(
            leaves in prop::collection::vec(any::<u64>(), 2..20),
            at in any::<(usize, usize)>(),
        ) {
            let (one, other) = (at.0 % leaves.len(), at.1 % leaves.len());
            prop_assume!(leaves[one] != leaves[other]);
            let mut swapped = leaves.clone();
            swapped.swap(one, other);
            prop_assert_ne!(table(&swapped).summary(), table(&leaves).summary());
        }
    }

    #[test]
    fn equal_pages_do_not_cancel() {
        // The sum of raw leaves by XOR is 0 in both cases.
        assert_ne!(table(&[9, 9]).summary(), table(&[0, 0]).summary());
        assert_ne!(table(&[9, 9]).summary(), table(&[7, 7]).summary());
    }

    #[test]
    fn a_flip_in_the_kept_summary_is_mended() {
        let mut table = table(&[1, 2, 3]);
        let sound = table.summary();
        table.summary.0 ^= 1 << 63;
        assert!(!table.recompute());
        assert_eq!(table.summary(), sound);
    }
}
