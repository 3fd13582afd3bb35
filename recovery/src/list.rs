//! The voter's list of pages that differ, as a member of the majority goes through it: it
//! speaks only of pages that still are what it voted for.
use crate::memory::{PageMemory, Published};
use crate::{RepairEnd, RepairStep};
use tern_units::PageNumber;
use tern_vote::{Difference, Leaf, Page, Plan, Reader, VoterLayout, Writer};

/// The list of one epoch, and where a donor or a witness stands in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub(crate) epoch: u64,
    /// The position of the next page.
    pub(crate) next: u32,
    differing: u32,
}

/// A page on the list.
pub(crate) struct Listed<'a> {
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
            differing: plan.differing,
        }
    }

    /// Pages still to be dealt with.
    pub(crate) const fn left(&self) -> u32 {
        self.differing - self.next
    }

    /// The next page. If it no longer is what this replica voted for, its table is corrected,
    /// and its next ballot shows that it is damaged itself.
    pub(crate) fn page<'a, S: AsRef<[u64]> + AsMut<[u64]>>(
        &self,
        memory: &'a impl PageMemory,
        table: &mut Published<S>,
        voter: Reader<'_>,
        own: Writer<'_>,
    ) -> Result<Listed<'a>, RepairEnd> {
        let lists = VoterLayout::new(voter.len()).ok_or(RepairEnd::Incomplete)?;
        let listed = Difference::read(table.set(), &lists, self.epoch, self.next, voter);
        let listed = listed.filter(|listed| listed.page.0 < table.pages());
        let Difference { page, leaf } = listed.ok_or(RepairEnd::Incomplete)?;
        let content = memory.page(page);
        if table.leaf_of(content) != leaf {
            table.hash(memory, page, own);
            return Err(RepairEnd::OwnFault(page));
        }
        Ok(Listed {
            page,
            leaf,
            content,
        })
    }

    /// The page is dealt with.
    pub(crate) const fn pass(&mut self, page: PageNumber) -> RepairStep {
        self.next += 1;
        let left = self.left();
        RepairStep::Page { page, left }
    }
}
