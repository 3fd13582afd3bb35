//! The descent from unequal summaries to the pages that differ, in bounded pieces.
use crate::Set;
use crate::key::Key;
use crate::layout::{ReplicaLayout, VoterLayout, purpose};
use crate::leaf::Leaf;
use crate::summary::Summary;
use crate::words::{Reader, Writer};
use tern_units::{PageNumber, StateWords};

/// The most pages whose leaves are compared in one step.
pub const PAGES_PER_STEP: u32 = 64;

/// A page that the target must take over, and what it must hash to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The page.
    pub page: PageNumber,
    /// Its leaf in the majority.
    pub leaf: Leaf,
}

impl Difference {
    /// Writes it as number `index` of the list for `epoch`.
    fn publish(self, set: &Set, layout: &VoterLayout, epoch: u64, index: u32, own: Writer<'_>) {
        let at = layout.difference(index);
        own.store(at, u64::from(self.page.0));
        own.store(at + 1, self.leaf.0);
        own.store(at + 2, self.check(&set.key, set.number, epoch, index));
    }

    /// Reads number `index` of the list for `epoch`; `None` if what is there is not that.
    #[must_use]
    pub fn read(
        set: &Set,
        layout: &VoterLayout,
        epoch: u64,
        index: u32,
        voter: Reader<'_>,
    ) -> Option<Self> {
        if index >= layout.capacity() {
            return None;
        }
        let at = layout.difference(index);
        let page = PageNumber(u32::try_from(voter.load(at)).ok()?);
        let difference = Self {
            page,
            leaf: Leaf(voter.load(at + 1)),
        };
        let check = difference.check(&set.key, set.number, epoch, index);
        (voter.load(at + 2) == check).then_some(difference)
    }

    fn check(self, key: &Key, set: u32, epoch: u64, index: u32) -> u64 {
        let place = u64::from(index) << 32 | u64::from(self.page.0);
        key.digest(
            purpose::DIFFERENCE,
            &[u64::from(set), epoch, place, self.leaf.0],
        )
    }
}

/// Compares the leaves of a target with those of a member of the majority, and lists
/// the pages that differ in the voter's channel.
///
/// A table counts only if its leaves sum up to the summary in its owner's ballot, so
/// a fault in a table cannot put a page on the list, or keep one off it, unnoticed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Descent {
    epoch: u64,
    pages: u64,
    next: u64,
    found: u64,
    majority: Sum,
    target: Sum,
}

/// The sum that a table of leaves must have, and what it comes to so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    wanted: u64,
    so_far: u64,
}

/// How a descent goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescentStep {
    /// So many pages are still to be compared.
    More(u32),
    /// All are.
    Done(DescentEnd),
}

/// What a descent found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescentEnd {
    /// So many differing pages, all in the list.
    Listed(u32),
    /// The majority's leaves do not fit their ballot: try another member.
    MajorityTable,
    /// The target's leaves do not fit its ballot: it must hash all its pages.
    TargetTable,
}

impl Descent {
    /// A descent for `epoch` over `pages` pages, from the summaries that the ballots of
    /// the majority and of the target state.
    #[must_use]
    pub const fn new(epoch: u64, pages: u32, majority: Summary, target: Summary) -> Self {
        Self {
            epoch,
            pages: pages as u64,
            next: 0,
            found: 0,
            majority: Sum {
                wanted: majority.0,
                so_far: Summary::EMPTY.0,
            },
            target: Sum {
                wanted: target.0,
                so_far: Summary::EMPTY.0,
            },
        }
    }

    /// Begins anew, with the leaves of another member of the majority.
    pub const fn restart(&mut self) {
        self.next = 0;
        self.found = 0;
        self.majority.so_far = Summary::EMPTY.0;
        self.target.so_far = Summary::EMPTY.0;
    }

    /// Compares at most [`PAGES_PER_STEP`] pages.
    pub fn step(
        &mut self,
        set: &Set,
        majority: Reader<'_>,
        target: Reader<'_>,
        layout: &VoterLayout,
        own: Writer<'_>,
    ) -> DescentStep {
        let (Some(majority_layout), Some(target_layout)) = (
            ReplicaLayout::new(majority.len()),
            ReplicaLayout::new(target.len()),
        ) else {
            return DescentStep::Done(DescentEnd::TargetTable);
        };

        // A majority that agrees on more pages than a replica can have is faulty. Looked at in
        // every step: the numbers may have changed since the last.
        let tables = majority_layout.capacity().min(target_layout.capacity());
        let room = tables.min(layout.capacity());
        let Some(pages) = u32::try_from(self.pages).ok().filter(|it| *it <= room) else {
            return DescentStep::Done(DescentEnd::MajorityTable);
        };
        let first = self.next.min(u64::from(pages)) as u32;
        let end = pages.min(first.saturating_add(PAGES_PER_STEP));

        for page in first..end {
            let number = PageNumber(page);
            let sound = Leaf(majority.load(majority_layout.leaf(page)));
            let found = Leaf(target.load(target_layout.leaf(page)));
            self.majority.add(&set.key, number, sound);
            self.target.add(&set.key, number, found);
            // More differences than pages: the count has changed since the last step.
            if sound != found && self.found < u64::from(pages) {
                let difference = Difference {
                    page: number,
                    leaf: sound,
                };
                difference.publish(set, layout, self.epoch, self.found as u32, own);
                self.found += 1;
            }
        }
        self.next = u64::from(end);
        if end < pages {
            return DescentStep::More(pages - end);
        }

        DescentStep::Done(if !self.majority.fits() {
            DescentEnd::MajorityTable
        } else if !self.target.fits() {
            DescentEnd::TargetTable
        } else {
            DescentEnd::Listed(self.found.min(u64::from(pages)) as u32)
        })
    }
}

impl Sum {
    fn add(&mut self, key: &Key, page: PageNumber, leaf: Leaf) {
        self.so_far = Summary(self.so_far).with(key, page, leaf).0;
    }

    const fn fits(&self) -> bool {
        self.so_far == self.wanted
    }
}

impl StateWords for Descent {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        visitor("descent.epoch", &mut self.epoch);
        visitor("descent.pages", &mut self.pages);
        visitor("descent.next", &mut self.next);
        visitor("descent.found", &mut self.found);
        visitor("descent.majority.wanted", &mut self.majority.wanted);
        visitor("descent.majority.so_far", &mut self.majority.so_far);
        visitor("descent.target.wanted", &mut self.target.wanted);
        visitor("descent.target.so_far", &mut self.target.so_far);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ballot::tests::{SET, channel};
    use crate::summary::LeafTable;
    use core::sync::atomic::{AtomicU64, Ordering};
    use proptest::prelude::*;
    use std::vec::Vec;

    const EPOCH: u64 = 12;

    struct Bench {
        majority: Vec<AtomicU64>,
        target: Vec<AtomicU64>,
        voter: Vec<AtomicU64>,
        summaries: [Summary; 2],
        pages: u32,
    }

    impl Bench {
        fn new(majority: &[u64], target: &[u64]) -> Self {
            let pages = majority.len() as u32;
            let table = |leaves: &[u64]| {
                let words = channel(pages);
                let layout = ReplicaLayout::new(words.len()).unwrap();
                for (page, leaf) in leaves.iter().enumerate() {
                    words[layout.leaf(page as u32)].store(*leaf, Ordering::Relaxed);
                }
                (words, LeafTable::new(&SET.key, leaves.to_vec()).summary())
            };
            let (majority, one) = table(majority);
            let (target, two) = table(target);
            let words = crate::voter_channel_bytes(pages) / 8;
            let voter = (0..words).map(|_| AtomicU64::new(0)).collect();
            Self {
                majority,
                target,
                voter,
                summaries: [one, two],
                pages,
            }
        }

        fn run(&self) -> DescentEnd {
            let layout = VoterLayout::new(self.voter.len()).unwrap();
            let mut descent = Descent::new(EPOCH, self.pages, self.summaries[0], self.summaries[1]);
            let mut left = self.pages;
            loop {
                match descent.step(
                    &SET,
                    Reader::new(&self.majority),
                    Reader::new(&self.target),
                    &layout,
                    Writer::new(&self.voter),
                ) {
                    DescentStep::More(more) => {
                        assert_eq!(
                            more,
                            left - PAGES_PER_STEP,
                            "every step does a bounded piece"
                        );
                        left = more;
                    }
                    DescentStep::Done(end) => return end,
                }
            }
        }

        fn listed(&self, count: u32) -> Vec<(usize, u64)> {
            let layout = VoterLayout::new(self.voter.len()).unwrap();
            (0..count)
                .map(|index| {
                    let voter = Reader::new(&self.voter);
                    let entry = Difference::read(&SET, &layout, EPOCH, index, voter).unwrap();
                    (entry.page.0 as usize, entry.leaf.0)
                })
                .collect()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_list_is_exactly_what_differs(
            sound in prop::collection::vec(any::<u64>(), 1..300),
            damage in prop::collection::vec((any::<usize>(), 0_u32..64), 0..30),
        ) {
            let mut target = sound.clone();
            for (page, bit) in damage {
                target[page % sound.len()] ^= 1 << bit;
            }
            let differing: Vec<_> = sound
                .iter()
                .enumerate()
                .filter(|(page, leaf)| target[*page] != **leaf)
                .map(|(page, leaf)| (page, *leaf))
                .collect();
            let bench = Bench::new(&sound, &target);
            let count = differing.len() as u32;
            prop_assert_eq!(bench.run(), DescentEnd::Listed(count));
            prop_assert_eq!(bench.listed(count), differing);
        }

        #[test]
        fn a_flip_in_either_table_is_noticed(
            sound in prop::collection::vec(any::<u64>(), 1..100),
            page: usize,
            bit in 0_u32..64,
        ) {
            let page = page % sound.len();
            let mut bench = Bench::new(&sound, &sound);
            let layout = ReplicaLayout::new(bench.majority.len()).unwrap();
            let word = layout.leaf(page as u32);
            *bench.majority[word].get_mut() ^= 1 << bit;
            prop_assert_eq!(bench.run(), DescentEnd::MajorityTable);
            *bench.majority[word].get_mut() ^= 1 << bit;
            *bench.target[word].get_mut() ^= 1 << bit;
            prop_assert_eq!(bench.run(), DescentEnd::TargetTable);
        }
    }

    #[test]
    fn more_pages_than_there_is_room_for_are_not_those_of_the_majority() {
        let mut bench = Bench::new(&[1, 2, 3], &[1, 2, 3]);
        let layouts = ReplicaLayout::new(bench.majority.len()).unwrap();
        let list = VoterLayout::new(bench.voter.len()).unwrap();
        for pages in [
            layouts.capacity().min(list.capacity()) + 1,
            1_000_000,
            u32::MAX,
        ] {
            bench.pages = pages;
            assert_eq!(bench.run(), DescentEnd::MajorityTable);
        }
    }

    #[test]
    fn an_entry_of_another_epoch_or_place_or_with_a_flip_is_not_read() {
        let mut bench = Bench::new(&[1, 2, 3], &[1, 7, 8]);
        assert_eq!(bench.run(), DescentEnd::Listed(2));
        let layout = VoterLayout::new(bench.voter.len()).unwrap();
        let read = |bench: &Bench, epoch, index| {
            Difference::read(&SET, &layout, epoch, index, Reader::new(&bench.voter))
        };
        assert!(read(&bench, EPOCH, 0).is_some());
        assert_eq!(read(&bench, EPOCH + 1, 0), None);
        assert_eq!(read(&bench, EPOCH, 2), None);
        assert_eq!(read(&bench, EPOCH, u32::MAX), None);
        for bit in 0..192 {
            let word = layout.difference(0) + bit / 64;
            *bench.voter[word].get_mut() ^= 1 << (bit % 64);
            assert_eq!(read(&bench, EPOCH, 0), None, "bit {bit}");
            *bench.voter[word].get_mut() ^= 1 << (bit % 64);
        }
    }
}
