//! The donor of a repair: gives the listed pages, slot by slot, in its own channel.
use crate::list::{List, Listed};
use crate::memory::{PageMemory, Published};
use crate::progress::Progress;
use crate::{RepairEnd, RepairStep};
use tern_vote::{Plan, Reader, ReplicaLayout, SLOTS, Writer};

/// A donor's work in one epoch. Its pages are its statement: what the target makes of
/// them must be what the witness says.
#[derive(Clone, Copy, Debug)]
pub struct Donor {
    list: List,
    /// Entries that the target has dealt with, as far as is known.
    taken: u32,
}

impl Donor {
    /// The donor of that plan.
    #[must_use]
    pub const fn new(epoch: u64, plan: &Plan) -> Self {
        let list = List::new(epoch, plan);
        Self { list, taken: 0 }
    }

    /// Gives one page, if a slot is free for it. A page goes out only if it still is what
    /// this replica voted for.
    pub fn step<S: AsRef<[u64]> + AsMut<[u64]>>(
        &mut self,
        memory: &impl PageMemory,
        table: &mut Published<S>,
        voter: Reader<'_>,
        target: Reader<'_>,
        own: Writer<'_>,
    ) -> RepairStep {
        let (index, left) = (self.list.next, self.list.left());
        if left == 0 {
            return RepairStep::Ended(RepairEnd::Complete);
        }
        let (Some(layout), Some(theirs)) = (
            ReplicaLayout::new(own.reader().len()),
            ReplicaLayout::new(target.len()),
        ) else {
            return RepairStep::Ended(RepairEnd::Incomplete);
        };
        let progress = Progress::read(table.set(), &theirs, target);
        if let Some(progress) = progress.filter(|it| it.epoch == self.list.epoch) {
            self.taken = self.taken.max(progress.next);
        }
        if index >= self.taken.saturating_add(SLOTS as u32) {
            return RepairStep::Waiting { left };
        }
        let Listed {
            page,
            leaf,
            content,
        } = match self.list.page(memory, table, voter, own) {
            Ok(listed) => listed,
            Err(end) => return RepairStep::Ended(end),
        };
        let slot = layout.slot(index);
        slot.open(own);
        let at = layout.slot_page(index);
        for (word, bytes) in content.chunks_exact(8).enumerate() {
            own.store(at + word, le_word(bytes));
        }
        let head = [self.list.epoch, u64::from(index), u64::from(page.0), leaf.0];
        slot.write(own, &table.set().key, &head);
        self.list.pass(page)
    }
}

/// Eight bytes of a page as a word.
fn le_word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_le_bytes(word)
}
