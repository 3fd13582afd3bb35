//! A checkpoint: a second copy of a replica's pages, as they were when its set last agreed.
//!
//! Which pages are to be copied, or put back, say the leaves: those that differ from the
//! checkpoint's own. No copy counts before it is hashed, and the checkpoint holds an agreed state
//! only if its leaves sum up to what was agreed on. So a flip in a page, made after the page was
//! hashed, never gets into a checkpoint, and one in a checkpoint never comes back unnoticed.
use crate::memory::{Hashing, PageMemory, Published};
use tern_units::{PageNumber, StateWords};
use tern_vote::{LeafTable, Page, PageHasher, Summary, Writer};

/// The most equal leaves that one step passes over.
const SKIP_PER_STEP: u64 = 64;

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointStep {
    /// Dealt with a page that differed, or that was scrubbed.
    Page(PageNumber),
    /// Passed over pages that do not differ.
    Passed,
    /// There is nothing left to do.
    Done,
}

/// The leaves of a checkpoint, and how far a pass over it is.
#[derive(Clone, Debug)]
pub struct Checkpoint<S> {
    table: LeafTable<S>,
    next: u64,
    scrub_next: u64,
    scrub_left: u64,
    moved: u64,
}

impl<S: AsRef<[u64]> + AsMut<[u64]>> Checkpoint<S> {
    /// A checkpoint with its leaves in `storage`, a word for each page. It holds nothing yet.
    #[must_use]
    pub fn new(hashing: &Hashing, storage: S) -> Self {
        Self {
            table: LeafTable::new(&hashing.set.key, storage),
            next: 0,
            scrub_next: 0,
            scrub_left: 0,
            moved: 0,
        }
    }

    /// Number of pages; none where no checkpoint is kept.
    #[must_use]
    pub fn pages(&self) -> u32 {
        self.table.pages()
    }

    /// Pages that the pass under way, or the last, has copied.
    #[must_use]
    pub const fn moved(&self) -> u32 {
        self.moved as u32
    }

    /// Whether it holds the state with this summary. A kept summary that differs is made anew
    /// before it counts: a fault may have changed it alone.
    #[must_use]
    pub fn holds(&mut self, hashing: &Hashing, summary: Summary) -> bool {
        if self.table.summary() != summary {
            self.table.recompute(&hashing.set.key);
        }
        self.table.summary() == summary
    }

    /// Begins a pass over all pages, which looks at `scrub` copies that do not differ as well.
    pub const fn begin(&mut self, scrub: u32) {
        self.next = 0;
        self.moved = 0;
        self.scrub_left = scrub as u64;
    }

    /// Copies at most one page that differs into the checkpoint: only if it is what its table says.
    /// A page that is not has its leaf corrected, so that the table says what there is.
    pub fn keep_step<T: AsRef<[u64]> + AsMut<[u64]>>(
        &mut self,
        hashing: &Hashing,
        memory: &mut impl PageMemory,
        table: &mut Published<T>,
        own: Writer<'_>,
    ) -> CheckpointStep {
        match self.next_differing(table) {
            Found::Page(page) => {
                if table.hash(hashing, memory, page, own) {
                    self.copy(hashing, memory, table, page);
                }
                CheckpointStep::Page(page)
            }
            Found::None => CheckpointStep::Passed,
            Found::End => self.scrub_step(hashing, memory, table, own),
        }
    }

    /// Puts at most one page that differs back from the checkpoint: only if the copy has the leaf
    /// that it was kept with. `scratch` holds the copy while it is looked at.
    pub fn put_back_step<T: AsRef<[u64]> + AsMut<[u64]>>(
        &mut self,
        hashing: &Hashing,
        memory: &mut impl PageMemory,
        scratch: &mut Page,
        table: &mut Published<T>,
        own: Writer<'_>,
    ) -> CheckpointStep {
        let page = match self.next_differing(table) {
            Found::Page(page) => page,
            Found::None => return CheckpointStep::Passed,
            Found::End => return CheckpointStep::Done,
        };
        if let Some(kept) = memory.kept(page) {
            *scratch = *kept;
            if self.table.leaf(page) == Some(hashing.hasher.leaf(scratch)) {
                memory.replace(page, scratch);
                self.moved = self.moved.saturating_add(1);
            }
        }
        // Read back: a frame with a stuck bit does not hold what was put there.
        table.hash(hashing, memory, page, own);
        CheckpointStep::Page(page)
    }

    /// Copies a page whose leaf was right just now; the copy counts only if it has that, too.
    fn copy<T: AsRef<[u64]> + AsMut<[u64]>>(
        &mut self,
        hashing: &Hashing,
        memory: &mut impl PageMemory,
        table: &Published<T>,
        page: PageNumber,
    ) {
        memory.keep(page);
        let leaf = memory.kept(page).map(|kept| hashing.hasher.leaf(kept));
        if let Some(leaf) = leaf.filter(|leaf| table.recorded(page) == Some(*leaf)) {
            self.table.set(&hashing.set.key, page, leaf);
            self.moved = self.moved.saturating_add(1);
        }
    }

    /// Looks at one copy that does not differ. One that has changed is made anew from its page.
    fn scrub_step<T: AsRef<[u64]> + AsMut<[u64]>>(
        &mut self,
        hashing: &Hashing,
        memory: &mut impl PageMemory,
        table: &mut Published<T>,
        own: Writer<'_>,
    ) -> CheckpointStep {
        let pages = u64::from(self.pages());
        self.scrub_left = self.scrub_left.min(pages);
        if self.scrub_left == 0 {
            return CheckpointStep::Done;
        }
        self.scrub_left -= 1;
        if self.scrub_next >= pages {
            self.scrub_next = 0;
        }
        let page = PageNumber(self.scrub_next as u32);
        self.scrub_next += 1;
        let leaf = memory.kept(page).map(|kept| hashing.hasher.leaf(kept));
        if leaf != self.table.leaf(page) && table.hash(hashing, memory, page, own) {
            self.copy(hashing, memory, table, page);
        }
        CheckpointStep::Page(page)
    }

    /// Returns the next page whose leaf is not the checkpoint's.
    fn next_differing<T: AsRef<[u64]> + AsMut<[u64]>>(&mut self, table: &Published<T>) -> Found {
        let pages = u64::from(self.pages().min(table.pages()));
        if self.next >= pages {
            return Found::End;
        }
        let end = pages.min(self.next.saturating_add(SKIP_PER_STEP));
        while self.next < end {
            let page = PageNumber(self.next as u32);
            self.next += 1;
            if table.recorded(page) != self.table.leaf(page) {
                return Found::Page(page);
            }
        }
        Found::None
    }
}

/// What a search for a page that differs came to.
enum Found {
    Page(PageNumber),
    None,
    End,
}

impl<S: AsMut<[u64]>> StateWords for Checkpoint<S> {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        self.table.visit(visitor);
        visitor("checkpoint.next", &mut self.next);
        visitor("checkpoint.scrub_next", &mut self.scrub_next);
        visitor("checkpoint.scrub_left", &mut self.scrub_left);
        visitor("checkpoint.moved", &mut self.moved);
    }
}
