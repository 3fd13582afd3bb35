//! The witness of a repair: another member of the majority, that says what the listed
//! pages are without giving them.
use crate::list::{List, Listed};
use crate::memory::{PageMemory, Published};
use crate::{RepairEnd, RepairStep};
use tern_vote::{Plan, Reader, ReplicaLayout, Writer, sha256};

/// A witness's work in one epoch.
#[derive(Clone, Copy, Debug)]
pub struct Witness {
    list: List,
}

impl Witness {
    /// The witness of that plan.
    #[must_use]
    pub const fn new(epoch: u64, plan: &Plan) -> Self {
        let list = List::new(epoch, plan);
        Self { list }
    }

    /// Publishes the SHA-256 of one page, if the page is what this replica voted for.
    pub fn step<S: AsRef<[u64]> + AsMut<[u64]>>(
        &mut self,
        memory: &impl PageMemory,
        table: &mut Published<S>,
        voter: Reader<'_>,
        own: Writer<'_>,
    ) -> RepairStep {
        let index = self.list.next;
        if self.list.left() == 0 {
            return RepairStep::Ended(RepairEnd::Complete);
        }
        let layout = ReplicaLayout::new(own.reader().len());
        let Some(layout) = layout.filter(|layout| index < layout.capacity()) else {
            return RepairStep::Ended(RepairEnd::Incomplete);
        };
        let Listed { page, content, .. } = match self.list.page(memory, table, voter, own) {
            Ok(listed) => listed,
            Err(end) => return RepairStep::Ended(end),
        };
        let [a, b, c, d] = sha256(content).0;
        let entry = [
            self.list.epoch,
            u64::from(index),
            u64::from(page.0),
            a,
            b,
            c,
            d,
        ];
        layout.hash(index).write(own, &table.set().key, &entry);
        self.list.pass(page)
    }
}
