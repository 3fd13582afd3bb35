//! The donor of a repair: gives the listed pages, slot by slot, in its own channel.
use crate::memory::{PageMemory, Published};
use crate::progress::Progress;
use crate::{RepairEnd, RepairStep};
use tern_vote::{Difference, Plan, Reader, ReplicaLayout, SLOTS, VoterLayout, Writer};

/// A donor's work in one epoch. Its pages are its statement: what the target makes of
/// them must be what the witness says.
#[derive(Clone, Copy, Debug)]
pub struct Donor {
    epoch: u64,
    differing: u32,
    next: u32,
}

impl Donor {
    /// The donor of that plan.
    #[must_use]
    pub const fn new(epoch: u64, plan: &Plan) -> Self {
        Self {
            epoch,
            differing: plan.differing,
            next: 0,
        }
    }

    /// Gives one page, if a slot is free for it. A page goes out only if it still is what
    /// this replica voted for; otherwise its table is corrected, and its next ballot shows
    /// that it is damaged itself.
    pub fn step<S: AsRef<[u64]> + AsMut<[u64]>>(
        &mut self,
        memory: &impl PageMemory,
        table: &mut Published<S>,
        voter: Reader<'_>,
        target: Reader<'_>,
        own: Writer<'_>,
    ) -> RepairStep {
        let left = self.differing - self.next;
        if left == 0 {
            return RepairStep::Ended(RepairEnd::Complete);
        }
        let set = *table.set();
        let (Some(layout), Some(lists), Some(theirs)) = (
            ReplicaLayout::new(own.reader().len()),
            VoterLayout::new(voter.len()),
            ReplicaLayout::new(target.len()),
        ) else {
            return RepairStep::Ended(RepairEnd::Incomplete);
        };
        let index = self.next;
        let taken = match Progress::read(&set, &theirs, target) {
            Some(progress) if progress.epoch == self.epoch => progress.next,
            _ => 0,
        };
        if index >= taken.saturating_add(SLOTS as u32) {
            return RepairStep::Waiting { left };
        }
        let listed = Difference::read(&set, &lists, self.epoch, index, voter);
        let Some(Difference { page, leaf }) = listed.filter(|it| it.page.0 < table.pages()) else {
            return RepairStep::Ended(RepairEnd::Incomplete);
        };
        let content = memory.page(page);
        if table.leaf_of(content) != leaf {
            table.hash(memory, page, own);
            return RepairStep::Ended(RepairEnd::OwnFault(page));
        }
        let slot = layout.slot(index);
        slot.open(own);
        let at = layout.slot_page(index);
        for (word, bytes) in content.chunks_exact(8).enumerate() {
            own.store(at + word, le_word(bytes));
        }
        let head = [self.epoch, u64::from(index), u64::from(page.0), leaf.0];
        slot.write(own, &set.key, &head);
        self.next += 1;
        RepairStep::Page {
            page,
            left: left - 1,
        }
    }
}

/// Eight bytes of a page as a word.
fn le_word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_le_bytes(word)
}
