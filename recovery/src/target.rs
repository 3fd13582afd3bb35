//! The target of a repair: takes pages from the donor, each only if it is what the
//! majority voted for and what the witness confirms.
use crate::memory::{PageMemory, Published};
use crate::progress::Progress;
use crate::{RepairEnd, RepairStep};
use tern_units::PageNumber;
use tern_vote::{
    Difference, Leaf, Page, PageHash, Plan, Reader, ReplicaLayout, Summary, VoterLayout, Writer,
    sha256,
};

/// A target's work in one epoch.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    progress: Progress,
    wanted: Summary,
}

impl Target {
    /// The target of that plan. `wanted` is the majority's summary, `repaired` the number of
    /// pages accepted in earlier epochs of the same repair.
    #[must_use]
    pub const fn new(epoch: u64, plan: &Plan, wanted: Summary, repaired: u32) -> Self {
        let differing = plan.differing;
        let progress = Progress {
            epoch,
            next: 0,
            accepted: 0,
            rejected: 0,
            differing,
            repaired,
        };
        Self { progress, wanted }
    }

    /// How far it is.
    #[must_use]
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Says in the target's channel that the list is taken up.
    pub fn announce<S: AsRef<[u64]> + AsMut<[u64]>>(&self, table: &Published<S>, own: Writer<'_>) {
        if let Some(layout) = ReplicaLayout::new(own.reader().len()) {
            self.progress.publish(table.set(), &layout, own);
        }
    }

    /// Takes one page, if donor and witness have brought it. `scratch` holds the page
    /// between its coming and its being accepted, so nothing unchecked reaches the memory.
    pub fn step<S: AsRef<[u64]> + AsMut<[u64]>>(
        &mut self,
        memory: &mut impl PageMemory,
        table: &mut Published<S>,
        scratch: &mut Page,
        channels: &Channels<'_>,
        own: Writer<'_>,
    ) -> RepairStep {
        let set = *table.set();
        let Progress {
            epoch,
            next: index,
            differing,
            ..
        } = self.progress;
        let left = differing - index;
        if left == 0 {
            return RepairStep::Ended(self.end(table));
        }
        let Some(layouts) = channels.layouts() else {
            return RepairStep::Ended(RepairEnd::Incomplete);
        };
        let listed = Difference::read(&set, &layouts.lists, epoch, index, channels.voter);
        let Some(difference) = listed.filter(|it| it.page.0 < table.pages()) else {
            return RepairStep::Ended(RepairEnd::Incomplete);
        };
        let page = difference.page;
        let given = layouts.given(table, channels, epoch, index);
        let confirmed = layouts.confirmed(table, channels, epoch, index);
        let (Some(given), Some(confirmed)) = (given, confirmed) else {
            return RepairStep::Waiting { left };
        };
        if given.page == page && confirmed.0 == page {
            layouts.fetch(channels, index, scratch);
            let sound = table.leaf_of(scratch) == difference.leaf
                && given.leaf == difference.leaf
                && sha256(scratch) == confirmed.1;
            if sound {
                memory.replace(page, scratch);
                table.hash(memory, page, own);
            }
            // Read back: a frame with a stuck bit does not hold what was put there.
            if sound && table.recorded(page) == difference.leaf {
                self.progress.accepted += 1;
                self.progress.repaired += 1;
            } else {
                self.progress.rejected += 1;
            }
        } else {
            self.progress.rejected += 1;
        }
        self.progress.next += 1;
        self.announce(table, own);
        RepairStep::Page {
            page,
            left: left - 1,
        }
    }

    fn end<S: AsRef<[u64]> + AsMut<[u64]>>(&self, table: &mut Published<S>) -> RepairEnd {
        table.recompute();
        if table.summary() == self.wanted {
            RepairEnd::Complete
        } else {
            RepairEnd::Incomplete
        }
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
    fn given<S: AsRef<[u64]> + AsMut<[u64]>>(
        &self,
        table: &Published<S>,
        channels: &Channels<'_>,
        epoch: u64,
        index: u32,
    ) -> Option<Given> {
        let slot = self.donor.slot(index);
        let ([of, number, page, leaf], _) = slot.read(channels.donor, &table.set().key).ok()?;
        (of == epoch && number == u64::from(index)).then_some(Given {
            page: PageNumber(page as u32),
            leaf: Leaf(leaf),
        })
    }

    /// What the witness says of number `index`, once it does.
    fn confirmed<S: AsRef<[u64]> + AsMut<[u64]>>(
        &self,
        table: &Published<S>,
        channels: &Channels<'_>,
        epoch: u64,
        index: u32,
    ) -> Option<(PageNumber, PageHash)> {
        if index >= self.witness.capacity() {
            return None;
        }
        let entry = self.witness.hash(index);
        let ([of, number, page, a, b, c, d], _) =
            entry.read(channels.witness, &table.set().key).ok()?;
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
