//! A replica's memory and its published leaves, as the steps here see them.
use tern_units::PageNumber;
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
}

/// The leaves of a replica with their summary, also written to its channel where the
/// voter finds them.
#[derive(Debug)]
pub struct Published<S> {
    set: Set,
    hasher: LeafKind,
    table: LeafTable<S>,
}

impl<S: AsRef<[u64]> + AsMut<[u64]>> Published<S> {
    /// Leaves in `storage`, a word for each page. All pages are to be hashed before
    /// the table says anything.
    #[must_use]
    pub fn new(set: Set, hasher: LeafKind, storage: S) -> Self {
        Self {
            set,
            hasher,
            table: LeafTable::new(set.key, storage),
        }
    }

    /// Number of pages.
    #[must_use]
    pub fn pages(&self) -> u32 {
        self.table.pages()
    }

    /// The leaf recorded for a page.
    #[must_use]
    pub fn recorded(&self, page: PageNumber) -> Leaf {
        self.table.leaf(page)
    }

    /// The summary of the recorded leaves.
    #[must_use]
    pub const fn summary(&self) -> Summary {
        self.table.summary()
    }

    /// The leaf of a content.
    #[must_use]
    pub fn leaf_of(&self, content: &Page) -> Leaf {
        self.hasher.leaf(content)
    }

    /// Hashes a page and records and publishes its leaf; returns whether it was the
    /// recorded one.
    pub fn hash(&mut self, memory: &impl PageMemory, page: PageNumber, own: Writer<'_>) -> bool {
        let leaf = self.hasher.leaf(memory.page(page));
        let same = leaf == self.table.leaf(page);
        self.table.set(page, leaf);
        if let Some(layout) = ReplicaLayout::new(own.reader().len())
            && page.0 < layout.capacity()
        {
            own.store(layout.leaf(page.0), leaf.0);
        }
        same
    }

    /// Makes the summary anew from the recorded leaves; returns whether it was right.
    pub fn recompute(&mut self) -> bool {
        self.table.recompute()
    }

    /// The set that the replica belongs to.
    #[must_use]
    pub const fn set(&self) -> &Set {
        &self.set
    }
}
