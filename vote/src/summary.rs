//! The summary of a replica's memory, kept incrementally beside its leaves.
use crate::key::Key;
use crate::leaf::Leaf;
use tern_units::{PageNumber, StateWords};

/// Σ mix(key, page, leaf) mod 2^64 over all pages. The mix binds each leaf to its
/// page: equal pages do not cancel and swapped pages do not vanish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Summary(pub u64);

impl Summary {
    /// The summary of no pages.
    pub const EMPTY: Self = Self(0);

    /// Adds the leaf of a page that was not in it.
    #[inline]
    #[must_use]
    pub fn with(self, key: &Key, page: PageNumber, leaf: Leaf) -> Self {
        Self(self.0.wrapping_add(key.term(page.0, leaf.0)))
    }

    /// Takes out the leaf `old` of a page that was in it, and adds `new` in its place.
    #[inline]
    #[must_use]
    pub fn replaced(self, key: &Key, page: PageNumber, old: Leaf, new: Leaf) -> Self {
        let place = key.place(page.0);
        let without = self.0.wrapping_sub(key.term_at(place, old.0));
        Self(without.wrapping_add(key.term_at(place, new.0)))
    }
}

/// The leaves of all pages of a replica, in storage that the caller gives, with
/// their summary. Both can be hit by a fault: [`LeafTable::recompute`] mends the summary,
/// hashing a page anew mends its leaf.
#[derive(Clone, Debug)]
pub struct LeafTable<S> {
    leaves: S,
    summary: u64,
}

impl<S: AsRef<[u64]> + AsMut<[u64]>> LeafTable<S> {
    /// A table over as many pages as the storage has words. Whatever the storage holds
    /// is taken for leaves, so all pages are to be hashed before it says anything.
    #[must_use]
    pub fn new(key: &Key, leaves: S) -> Self {
        let mut table = Self { leaves, summary: 0 };
        table.recompute(key);
        table
    }

    /// Number of pages.
    #[must_use]
    pub fn pages(&self) -> u32 {
        self.leaves.as_ref().len() as u32
    }

    /// The leaf recorded for a page; `None` if the page is not in the table.
    #[must_use]
    pub fn leaf(&self, page: PageNumber) -> Option<Leaf> {
        self.leaves.as_ref().get(page.0 as usize).copied().map(Leaf)
    }

    /// Records the leaf of a page: its old term leaves the summary, the new one joins it.
    /// A page that is not in the table changes nothing.
    pub fn set(&mut self, key: &Key, page: PageNumber, leaf: Leaf) {
        let Some(place) = self.leaves.as_mut().get_mut(page.0 as usize) else {
            return;
        };
        let old = Leaf(*place);
        self.summary = Summary(self.summary).replaced(key, page, old, leaf).0;
        *place = leaf.0;
    }

    /// The summary as kept so far.
    #[must_use]
    pub const fn summary(&self) -> Summary {
        Summary(self.summary)
    }

    /// Makes the summary anew from the leaves; returns whether the kept one was right.
    pub fn recompute(&mut self, key: &Key) -> bool {
        let pages = (0..).map(PageNumber);
        let fresh = pages
            .zip(self.leaves.as_ref())
            .fold(Summary::EMPTY, |sum, (page, leaf)| {
                sum.with(key, page, Leaf(*leaf))
            });
        let was_right = fresh.0 == self.summary;
        self.summary = fresh.0;
        was_right
    }
}

impl<S: AsMut<[u64]>> StateWords for LeafTable<S> {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        visitor("table.summary", &mut self.summary);
        for leaf in self.leaves.as_mut() {
            visitor("table.leaf", leaf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const KEY: Key = Key([5, 6, 7, 8]);

    fn table(leaves: &[u64]) -> LeafTable<Vec<u64>> {
        LeafTable::new(&KEY, leaves.to_vec())
    }

    proptest! {
        #[test]
        fn the_kept_summary_is_the_one_from_scratch(
            start in prop::collection::vec(any::<u64>(), 1..40),
            changes in prop::collection::vec((any::<u32>(), any::<u64>()), 0..100),
        ) {
            let mut table = table(&start);
            for (page, leaf) in changes {
                let page = PageNumber(page % start.len() as u32);
                table.set(&KEY, page, Leaf(leaf));
            }
            prop_assert!(table.recompute(&KEY));
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
    fn a_page_outside_the_table_is_nothing() {
        let mut table = table(&[1, 2, 3]);
        let sound = table.summary();
        table.set(&KEY, PageNumber(3), Leaf(9));
        table.set(&KEY, PageNumber(u32::MAX), Leaf(9));
        assert_eq!(table.summary(), sound);
        assert_eq!(table.leaf(PageNumber(3)), None);
    }

    #[test]
    fn a_flip_in_the_kept_summary_is_mended() {
        let mut table = table(&[1, 2, 3]);
        let sound = table.summary();
        table.summary ^= 1 << 63;
        assert!(!table.recompute(&KEY));
        assert_eq!(table.summary(), sound);
    }
}
