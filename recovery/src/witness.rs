//! The witness of a repair: another member of the majority, that says what the listed
//! pages are without giving them.
use crate::list::{List, Listed};
use crate::memory::{Hashing, PageMemory, Published};
use crate::{RepairEnd, RepairStep};
use tern_units::StateWords;
use tern_vote::{Plan, Reader, ReplicaLayout, Writer, sha256};

/// A witness's work in one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
        hashing: &Hashing,
        memory: &impl PageMemory,
        table: &mut Published<S>,
        voter: Reader<'_>,
        own: Writer<'_>,
    ) -> RepairStep {
        let Some((index, _)) = self.list.next() else {
            return RepairStep::Ended(RepairEnd::Complete);
        };
        let layout = ReplicaLayout::new(own.reader().len());
        let Some(layout) = layout.filter(|layout| index < layout.capacity()) else {
            return RepairStep::Ended(RepairEnd::Incomplete);
        };
        let listed = self.list.page(index, hashing, memory, table, voter, own);
        let Listed { page, content, .. } = match listed {
            Ok(listed) => listed,
            Err(end) => return RepairStep::Ended(end),
        };
        let [a, b, c, d] = sha256(content).0;
        let epoch = self.list.epoch;
        let entry = [epoch, u64::from(index), u64::from(page.0), a, b, c, d];
        layout
            .hash(index)
            .write(own, &hashing.set.key, epoch, &entry);
        self.list.pass(page)
    }
}

impl StateWords for Witness {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        self.list.visit(visitor);
    }
}
