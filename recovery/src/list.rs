//! The voter's list of pages that differ, as a member of the majority goes through it: it
//! speaks only of pages that still are what it voted for.
use crate::memory::{Hashing, PageMemory, Published};
use crate::{RepairEnd, RepairStep};
use tern_units::{PageNumber, StateWords};
use tern_vote::{Difference, Leaf, Page, PageHasher, Plan, Reader, VoterLayout, Writer};

/// The list of one epoch, and where a donor or a witness stands in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) epoch: u64,
    next: u64,
    differing: u64,
}

/// A page on the list.
pub(crate) struct Listed<'a> {
    /// Its position in the list.
    pub(crate) index: u32,
    pub(crate) page: PageNumber,
    /// What the majority voted for, and what the content has.
    pub(crate) leaf: Leaf,
    pub(crate) content: &'a Page,
}

impl List {
    pub(crate) const fn new(epoch: u64, plan: &Plan) -> Self {
        Self {
            epoch,
            next: 0,
            differing: plan.differing as u64,
        }
    }

    /// Pages still to be dealt with, and the position of the next; `None` when there are none.
    pub(crate) fn next(&self) -> Option<(u32, u32)> {
        let left = self.differing.checked_sub(self.next)?;
        let index = u32::try_from(self.next).ok()?;
        (left > 0).then_some((index, left as u32))
    }

    /// The next page, which is number `index`. If it no longer is what this replica voted for,
    /// its table is corrected, and its next ballot shows that it is damaged itself.
    pub(crate) fn page<'a, S: AsRef<[u64]> + AsMut<[u64]>>(
        &self,
        index: u32,
        hashing: &Hashing,
        memory: &'a impl PageMemory,
        table: &mut Published<S>,
        voter: Reader<'_>,
        own: Writer<'_>,
    ) -> Result<Listed<'a>, RepairEnd> {
        let lists = VoterLayout::new(voter.len()).ok_or(RepairEnd::Incomplete)?;
        let listed = Difference::read(&hashing.set, &lists, self.epoch, index, voter);
        let listed = listed.filter(|listed| listed.page.0 < table.pages());
        let Difference { page, leaf } = listed.ok_or(RepairEnd::Incomplete)?;
        let content = memory.page(page);
        if hashing.hasher.leaf(content) != leaf {
            table.hash(hashing, memory, page, own);
            return Err(RepairEnd::OwnFault(page));
        }
        Ok(Listed {
            index,
            page,
            leaf,
            content,
        })
    }

    /// The page is dealt with.
    pub(crate) fn pass(&mut self, page: PageNumber) -> RepairStep {
        self.next = self.next.saturating_add(1);
        let left = self.next().map_or(0, |(_, left)| left);
        RepairStep::Page { page, left }
    }
}

impl StateWords for List {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        visitor("list.epoch", &mut self.epoch);
        visitor("list.next", &mut self.next);
        visitor("list.differing", &mut self.differing);
    }
}
