//! The witness of a repair: another member of the majority, that says what the listed
//! pages are without giving them.
use crate::memory::{PageMemory, Published};
use crate::{RepairEnd, RepairStep};
use tern_vote::{Difference, Plan, Reader, ReplicaLayout, VoterLayout, Writer, sha256};

/// A witness's work in one epoch.
#[derive(Clone, Copy, Debug)]
pub struct Witness {
    epoch: u64,
    differing: u32,
    next: u32,
}

impl Witness {
    /// The witness of that plan.
    #[must_use]
    pub const fn new(epoch: u64, plan: &Plan) -> Self {
        Self {
            epoch,
            differing: plan.differing,
            next: 0,
        }
    }

    /// Publishes the SHA-256 of one page, if the page is what this replica voted for.
    pub fn step<S: AsRef<[u64]> + AsMut<[u64]>>(
        &mut self,
        memory: &impl PageMemory,
        table: &mut Published<S>,
        voter: Reader<'_>,
        own: Writer<'_>,
    ) -> RepairStep {
        let left = self.differing - self.next;
        if left == 0 {
            return RepairStep::Ended(RepairEnd::Complete);
        }
        let set = *table.set();
        let (Some(layout), Some(lists)) = (
            ReplicaLayout::new(own.reader().len()),
            VoterLayout::new(voter.len()),
        ) else {
            return RepairStep::Ended(RepairEnd::Incomplete);
        };
        let index = self.next;
        let listed = Difference::read(&set, &lists, self.epoch, index, voter)
            .filter(|it| it.page.0 < table.pages() && index < layout.capacity());
        let Some(Difference { page, leaf }) = listed else {
            return RepairStep::Ended(RepairEnd::Incomplete);
        };
        let content = memory.page(page);
        if table.leaf_of(content) != leaf {
            table.hash(memory, page, own);
            return RepairStep::Ended(RepairEnd::OwnFault(page));
        }
        let [a, b, c, d] = sha256(content).0;
        let entry = [self.epoch, u64::from(index), u64::from(page.0), a, b, c, d];
        layout.hash(index).write(own, &set.key, &entry);
        self.next += 1;
        RepairStep::Page {
            page,
            left: left - 1,
        }
    }
}
