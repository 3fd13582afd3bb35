//! A replica's memory and its published leaves, as the steps here see them.
use tern_units::{PageNumber, StateWords};
use tern_vote::{Leaf, LeafKind, LeafTable, Page, PageHasher, ReplicaLayout, Set, Summary, Writer};

/// The pages of a replicated program, by their position in its page list. While a
/// step runs, nothing else writes them.
pub trait PageMemory {
    /// The content of a page.
    fn page(&self, page: PageNumber) -> &Page;

    /// Puts a content in place of a page's.
    fn replace(&mut self, page: PageNumber, content: &Page);

    /// Whether the program has written the page since this was last asked, as far as
    /// the page tables tell.
    fn take_dirty(&mut self, page: PageNumber) -> bool;

    /// The checkpoint's copy of a page; none where no checkpoint is kept.
    fn kept(&self, _page: PageNumber) -> Option<&Page> {
        None
    }

    /// Makes the checkpoint's copy of a page what the page is now, where one is kept.
    fn keep(&mut self, _page: PageNumber) {}
}

/// How pages are hashed in a set.
#[derive(Clone, Debug)]
pub struct Hashing {
    /// The set.
    pub set: Set,
    /// The hash of a page.
    pub hasher: LeafKind,
}

/// The leaves of a replica with their summary, also written to its channel where the
/// voter finds them.
#[derive(Clone, Debug)]
pub struct Published<S> {
    table: LeafTable<S>,
}

impl<S: AsRef<[u64]> + AsMut<[u64]>> Published<S> {
    /// Leaves in `storage`, a word for each page. All pages are to be hashed before
    /// the table says anything.
    #[must_use]
    pub fn new(hashing: &Hashing, storage: S) -> Self {
        Self {
            table: LeafTable::new(&hashing.set.key, storage),
        }
    }

    /// Number of pages.
    #[must_use]
    pub fn pages(&self) -> u32 {
        self.table.pages()
    }

    /// The leaf recorded for a page; `None` if there is no such page.
    #[must_use]
    pub fn recorded(&self, page: PageNumber) -> Option<Leaf> {
        self.table.leaf(page)
    }

    /// The summary of the recorded leaves.
    #[must_use]
    pub const fn summary(&self) -> Summary {
        self.table.summary()
    }

    /// Hashes a page and records and publishes its leaf; returns whether it was the
    /// recorded one. A page that there is not is as recorded.
    #[inline(always)]
    pub fn hash(
        &mut self,
        hashing: &Hashing,
        memory: &impl PageMemory,
        page: PageNumber,
        own: Writer<'_>,
    ) -> bool {
        let Some(recorded) = self.recorded(page) else {
            return true;
        };
        let leaf = hashing.hasher.leaf(memory.page(page));
        self.table.set(&hashing.set.key, page, leaf);
        if let Some(layout) = ReplicaLayout::new(own.reader().len())
            && page.0 < layout.capacity()
        {
            own.store(layout.leaf(page.0), leaf.0);
        }
        leaf == recorded
    }

    /// Makes the summary anew from the recorded leaves; returns whether it was right.
    pub fn recompute(&mut self, hashing: &Hashing) -> bool {
        self.table.recompute(&hashing.set.key)
    }
}

impl<S: AsMut<[u64]>> StateWords for Published<S> {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        self.table.visit(visitor);
    }
}
