//! The donor of a repair: gives the listed pages, slot by slot, in its own channel.
use crate::list::{List, Listed};
use crate::memory::{Hashing, PageMemory, Published};
use crate::progress::Progress;
use crate::{RepairEnd, RepairStep};
use tern_units::StateWords;
use tern_vote::{Plan, Reader, ReplicaLayout, SLOTS, Writer};

/// A donor's work in one epoch. Its pages are its statement: what the target makes of
/// them must be what the witness says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Donor {
    list: List,
    /// Entries that the target has dealt with, as far as is known.
    taken: u64,
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
        hashing: &Hashing,
        memory: &impl PageMemory,
        table: &mut Published<S>,
        voter: Reader<'_>,
        target: Reader<'_>,
        own: Writer<'_>,
    ) -> RepairStep {
        let Some((index, left)) = self.list.next() else {
            return RepairStep::Ended(RepairEnd::Complete);
        };
        let (Some(layout), Some(theirs)) = (
            ReplicaLayout::new(own.reader().len()),
            ReplicaLayout::new(target.len()),
        ) else {
            return RepairStep::Ended(RepairEnd::Incomplete);
        };
        let progress = Progress::read(&hashing.set, &theirs, target);
        if let Some(progress) = progress.filter(|it| it.epoch == self.list.epoch) {
            self.taken = self.taken.max(u64::from(progress.next));
        }
        if u64::from(index) >= self.taken.saturating_add(SLOTS as u64) {
            return RepairStep::Waiting { left };
        }

        let listed = self.list.page(index, hashing, memory, table, voter, own);
        let Listed {
            index,
            page,
            leaf,
            content,
        } = match listed {
            Ok(listed) => listed,
            Err(end) => return RepairStep::Ended(end),
        };
        let slot = layout.slot(index);
        slot.open(own, self.list.epoch);
        let at = layout.slot_page(index);
        for (word, bytes) in content.chunks_exact(8).enumerate() {
            own.store(at + word, le_word(bytes));
        }
        let head = [self.list.epoch, u64::from(index), u64::from(page.0), leaf.0];
        slot.write(own, &hashing.set.key, self.list.epoch, &head);
        self.list.pass(page)
    }
}

impl StateWords for Donor {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        self.list.visit(visitor);
        visitor("donor.taken", &mut self.taken);
    }
}

/// Eight bytes of a page as a word.
fn le_word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_le_bytes(word)
}
