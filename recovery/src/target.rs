//! The target of a repair: takes pages from the donor, each only if it is what the
//! majority voted for and what the witness confirms.
use crate::memory::{Hashing, PageMemory, Published};
use crate::progress::Progress;
use crate::{RepairEnd, RepairStep};
use tern_units::{PageNumber, StateWords};
use tern_vote::{
    Difference, Leaf, Page, PageHash, PageHasher, Plan, Reader, ReplicaLayout, Set, Summary,
    VoterLayout, Writer, sha256,
};

/// A target's work in one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    epoch: u64,
    next: u64,
    accepted: u64,
    rejected: u64,
    differing: u64,
    repaired: u64,
    wanted: u64,
}

impl Target {
    /// The target of that plan. `wanted` is the majority's summary, `repaired` the number of
    /// pages accepted in earlier epochs of the same repair.
    #[must_use]
    pub const fn new(epoch: u64, plan: &Plan, wanted: Summary, repaired: u32) -> Self {
        Self {
            epoch,
            next: 0,
            accepted: 0,
            rejected: 0,
            differing: plan.differing as u64,
            repaired: repaired as u64,
            wanted: wanted.0,
        }
    }

    /// How far it is.
    #[must_use]
    pub const fn progress(&self) -> Progress {
        Progress {
            epoch: self.epoch,
            next: self.next as u32,
            accepted: self.accepted as u32,
            rejected: self.rejected as u32,
            differing: self.differing as u32,
            repaired: self.repaired as u32,
        }
    }

    /// Says in the target's channel how far it is.
    pub fn announce(&self, set: &Set, own: Writer<'_>) {
        if let Some(layout) = ReplicaLayout::new(own.reader().len()) {
            self.progress().publish(set, &layout, own);
        }
    }

    /// Takes one page, if donor and witness have brought it. `scratch` holds the page
    /// between its coming and its being accepted, so nothing unchecked reaches the memory.
    pub fn step<S: AsRef<[u64]> + AsMut<[u64]>>(
        &mut self,
        hashing: &Hashing,
        memory: &mut impl PageMemory,
        table: &mut Published<S>,
        scratch: &mut Page,
        channels: &Channels<'_>,
        own: Writer<'_>,
    ) -> RepairStep {
        let set = &hashing.set;
        let left = self.differing.saturating_sub(self.next);
        if left == 0 {
            return RepairStep::Ended(self.end(hashing, table));
        }
        let (Ok(index), Some(layouts)) = (u32::try_from(self.next), channels.layouts()) else {
            return RepairStep::Ended(RepairEnd::Incomplete);
        };
        let listed = Difference::read(set, &layouts.lists, self.epoch, index, channels.voter);
        let Some(difference) = listed.filter(|it| it.page.0 < table.pages()) else {
            return RepairStep::Ended(RepairEnd::Incomplete);
        };
        let given = layouts.given(set, channels, self.epoch, index);
        let confirmed = layouts.confirmed(set, channels, self.epoch, index);
        let (Some(given), Some(confirmed)) = (given, confirmed) else {
            return RepairStep::Waiting { left: left as u32 };
        };

        let page = difference.page;
        let mut accepted = false;
        if given.page == page && confirmed.0 == page {
            layouts.fetch(channels, index, scratch);
            let sound = hashing.hasher.leaf(scratch) == difference.leaf
                && given.leaf == difference.leaf
                && sha256(scratch) == confirmed.1;
            if sound {
                memory.replace(page, scratch);
                table.hash(hashing, memory, page, own);
            }
            // Read back: a frame with a stuck bit does not hold what was put there.
            accepted = sound && table.recorded(page) == Some(difference.leaf);
        }
        if accepted {
            self.accepted = self.accepted.saturating_add(1);
            self.repaired = self.repaired.saturating_add(1);
        } else {
            self.rejected = self.rejected.saturating_add(1);
        }
        self.next = self.next.saturating_add(1);
        self.announce(set, own);
        RepairStep::Page {
            page,
            left: (left - 1) as u32,
        }
    }

    fn end<S: AsRef<[u64]> + AsMut<[u64]>>(
        &self,
        hashing: &Hashing,
        table: &mut Published<S>,
    ) -> RepairEnd {
        table.recompute(hashing);
        if table.summary().0 == self.wanted {
            RepairEnd::Complete
        } else {
            RepairEnd::Incomplete
        }
    }
}

impl StateWords for Target {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        visitor("target.epoch", &mut self.epoch);
        visitor("target.next", &mut self.next);
        visitor("target.accepted", &mut self.accepted);
        visitor("target.rejected", &mut self.rejected);
        visitor("target.differing", &mut self.differing);
        visitor("target.repaired", &mut self.repaired);
        visitor("target.wanted", &mut self.wanted);
    }
}

/// The channels that a target reads.
#[derive(Clone, Copy, Debug)]
pub struct Channels<'a> {
    /// The voter's: the list.
    pub voter: Reader<'a>,
    /// The donor's: pages.
    pub donor: Reader<'a>,
    /// The witness's: hashes.
    pub witness: Reader<'a>,
}

struct Layouts {
    lists: VoterLayout,
    donor: ReplicaLayout,
    witness: ReplicaLayout,
}

struct Given {
    page: PageNumber,
    leaf: Leaf,
}

impl Channels<'_> {
    fn layouts(&self) -> Option<Layouts> {
        Some(Layouts {
            lists: VoterLayout::new(self.voter.len())?,
            donor: ReplicaLayout::new(self.donor.len())?,
            witness: ReplicaLayout::new(self.witness.len())?,
        })
    }
}

impl Layouts {
    /// The head of what the donor gives as number `index`, once it is there.
    fn given(&self, set: &Set, channels: &Channels<'_>, epoch: u64, index: u32) -> Option<Given> {
        let slot = self.donor.slot(index);
        let ([of, number, page, leaf], _) = slot.read(channels.donor, &set.key).ok()?;
        (of == epoch && number == u64::from(index)).then_some(Given {
            page: PageNumber(page as u32),
            leaf: Leaf(leaf),
        })
    }

    /// What the witness says of number `index`, once it does.
    fn confirmed(
        &self,
        set: &Set,
        channels: &Channels<'_>,
        epoch: u64,
        index: u32,
    ) -> Option<(PageNumber, PageHash)> {
        if index >= self.witness.capacity() {
            return None;
        }
        let entry = self.witness.hash(index);
        let ([of, number, page, a, b, c, d], _) = entry.read(channels.witness, &set.key).ok()?;
        (of == epoch && number == u64::from(index))
            .then_some((PageNumber(page as u32), PageHash([a, b, c, d])))
    }

    fn fetch(&self, channels: &Channels<'_>, index: u32, page: &mut Page) {
        let at = self.donor.slot_page(index);
        for (word, bytes) in page.chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&channels.donor.load(at + word).to_le_bytes());
        }
    }
}
