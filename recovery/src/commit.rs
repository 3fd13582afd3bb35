//! The commit of a job: the pages it wrote are hashed anew, then a few of the others
//! (the scrub), so that a flip in a page that nobody writes is found in bounded time.
use crate::memory::{PageMemory, Published};
use tern_units::PageNumber;
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
#[derive(Clone, Debug)]
pub struct Commit {
    next: u32,
    scrub_next: u32,
    scrub_left: u32,
    scrub_per_epoch: u32,
}

impl Commit {
    /// Commits that scrub `scrub_per_epoch` pages each.
    #[must_use]
    pub const fn new(scrub_per_epoch: u32) -> Self {
        Self {
            next: u32::MAX,
            scrub_next: 0,
            scrub_left: 0,
            scrub_per_epoch,
        }
    }

    /// Begins a commit.
    pub const fn begin(&mut self) {
        self.next = 0;
        self.scrub_left = self.scrub_per_epoch;
    }

    /// The page that the scrub comes to next.
    #[must_use]
    pub const fn scrub_position(&self) -> PageNumber {
        PageNumber(self.scrub_next)
    }

    /// Hashes at most one page.
    pub fn step<S: AsRef<[u64]> + AsMut<[u64]>>(
        &mut self,
        memory: &mut impl PageMemory,
        table: &mut Published<S>,
        own: Writer<'_>,
    ) -> CommitStep {
        let pages = table.pages();
        if self.next < pages {
            let end = pages.min(self.next.saturating_add(SKIP_PER_STEP));
            while self.next < end {
                let page = PageNumber(self.next);
                self.next += 1;
                if memory.take_dirty(page) {
                    table.hash(memory, page, own);
                    return CommitStep::Hashed(page);
                }
            }
            return CommitStep::Skipped;
        }
        if self.scrub_next >= pages {
            self.scrub_next = 0;
            return CommitStep::Round {
                sound: table.recompute(),
            };
        }
        if self.scrub_left == 0 {
            return CommitStep::Done;
        }
        self.scrub_left -= 1;
        let page = PageNumber(self.scrub_next);
        self.scrub_next += 1;
        CommitStep::Scrubbed {
            page,
            sound: table.hash(memory, page, own),
        }
    }
}

/// The hashing of all pages: at the start, and after a fault that leaves the table
/// behind the memory, such as a job that was cancelled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rehash {
    next: u32,
}

impl Rehash {
    /// From the first page.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: 0 }
    }

    /// Hashes one page and returns it; `None` when all are hashed and the summary is made
    /// anew.
    pub fn step<S: AsRef<[u64]> + AsMut<[u64]>>(
        &mut self,
        memory: &mut impl PageMemory,
        table: &mut Published<S>,
        own: Writer<'_>,
    ) -> Option<PageNumber> {
        if self.next < table.pages() {
            let page = PageNumber(self.next);
            memory.take_dirty(page);
            table.hash(memory, page, own);
            self.next += 1;
            return Some(page);
        }
        table.recompute();
        None
    }
}
