//! The commit of a job: the pages it wrote are hashed anew, then a few of the others
//! (the scrub), so that a flip in a page that nobody writes is found in bounded time.
use crate::memory::{Hashing, PageMemory, Published};
use tern_units::{PageNumber, StateWords};
use tern_vote::Writer;

/// The most clean pages that one step passes over.
const SKIP_PER_STEP: u32 = 64;

/// What one step of a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitStep {
    /// Hashed a page that the job wrote.
    Hashed(PageNumber),
    /// Passed over pages that the job did not write.
    Skipped,
    /// Hashed a page that the job did not write; `sound` if it was as recorded.
    Scrubbed {
        /// The page.
        page: PageNumber,
        /// Whether its leaf was the recorded one.
        sound: bool,
    },
    /// Finished a round through all pages: the summary was made anew.
    Round {
        /// Whether the summary was as kept.
        sound: bool,
    },
    /// There is nothing left to do.
    Done,
}

/// A commit under way, and where the scrub stands between commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    next: u64,
    scrub_next: u64,
    scrub_left: u64,
}

impl Commit {
    /// Begins a commit that scrubs `scrub` pages.
    pub const fn begin(&mut self, scrub: u32) {
        self.next = 0;
        self.scrub_left = scrub as u64;
    }

    /// The page that the scrub comes to next.
    #[must_use]
    pub const fn scrub_position(&self) -> PageNumber {
        PageNumber(self.scrub_next as u32)
    }

    /// Hashes at most one page. Inlined, as what it calls: a page's commit takes 30 ticks less.
    #[inline(always)]
    pub fn step<S: AsRef<[u64]> + AsMut<[u64]>>(
        &mut self,
        hashing: &Hashing,
        memory: &mut impl PageMemory,
        table: &mut Published<S>,
        own: Writer<'_>,
    ) -> CommitStep {
        let pages = u64::from(table.pages());
        if self.next < pages {
            let end = pages.min(self.next + u64::from(SKIP_PER_STEP));
            while self.next < end {
                let page = PageNumber(self.next as u32);
                self.next += 1;
                if memory.take_dirty(page) {
                    table.hash(hashing, memory, page, own);
                    return CommitStep::Hashed(page);
                }
            }
            return CommitStep::Skipped;
        }
        if self.scrub_next >= pages {
            self.scrub_next = 0;
            return CommitStep::Round {
                sound: table.recompute(hashing),
            };
        }
        if self.scrub_left == 0 {
            return CommitStep::Done;
        }
        // Nothing is scrubbed twice in a commit: a larger number is not one that was given.
        self.scrub_left = self.scrub_left.min(pages) - 1;
        let page = PageNumber(self.scrub_next as u32);
        self.scrub_next += 1;
        CommitStep::Scrubbed {
            page,
            sound: table.hash(hashing, memory, page, own),
        }
    }
}

impl StateWords for Commit {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        visitor("commit.next", &mut self.next);
        visitor("commit.scrub_next", &mut self.scrub_next);
        visitor("commit.scrub_left", &mut self.scrub_left);
    }
}

/// The hashing of all pages: at the start, and after a fault that leaves the table
/// behind the memory, such as a job that was cancelled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rehash {
    next: u64,
}

impl Rehash {
    /// Begins with the first page.
    pub const fn begin(&mut self) {
        self.next = 0;
    }

    /// Hashes one page and returns it; `None` when all are hashed and the summary is made
    /// anew.
    pub fn step<S: AsRef<[u64]> + AsMut<[u64]>>(
        &mut self,
        hashing: &Hashing,
        memory: &mut impl PageMemory,
        table: &mut Published<S>,
        own: Writer<'_>,
    ) -> Option<PageNumber> {
        if self.next < u64::from(table.pages()) {
            let page = PageNumber(self.next as u32);
            memory.take_dirty(page);
            table.hash(hashing, memory, page, own);
            self.next += 1;
            return Some(page);
        }
        table.recompute(hashing);
        None
    }
}

impl StateWords for Rehash {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        visitor("rehash.next", &mut self.next);
    }
}
