//! What gets into a checkpoint, and what comes back from it: nothing that is not what was agreed on.
use std::sync::atomic::AtomicU64;

use tern_recovery::{Checkpoint, CheckpointStep, Hashing, PageMemory, Published};
use tern_units::{PAGE_SIZE, PageNumber};
use tern_vote::{Code, Key, LeafKind, Page, Set, Writer, replica_channel_bytes};

const PAGES: usize = 70;

struct Memory {
    pages: Vec<Page>,
    kept: Vec<Page>,
    /// A copy that does not take what is put there.
    stuck: Option<usize>,
}

impl PageMemory for Memory {
    fn page(&self, page: PageNumber) -> &Page {
        &self.pages[page.0 as usize]
    }

    fn replace(&mut self, page: PageNumber, content: &Page) {
        self.pages[page.0 as usize] = *content;
    }

    fn take_dirty(&mut self, _: PageNumber) -> bool {
        false
    }

    fn kept(&self, page: PageNumber) -> Option<&Page> {
        self.kept.get(page.0 as usize)
    }

    fn keep(&mut self, page: PageNumber) {
        let page = page.0 as usize;
        self.kept[page] = self.pages[page];
        if self.stuck == Some(page) {
            self.kept[page][9] ^= 1;
        }
    }
}

/// A replica's memory with its table and its checkpoint.
struct Bench {
    hashing: Hashing,
    memory: Memory,
    table: Published<Vec<u64>>,
    checkpoint: Checkpoint<Vec<u64>>,
    own: Vec<AtomicU64>,
}

impl Bench {
    fn new() -> Self {
        let set = Set {
            number: 1,
            replicas: 2,
            key: Key([1, 2, 3, 4]),
            code: Code::Arithmetic,
        };
        let hashing = Hashing {
            set,
            hasher: LeafKind::ahash(&set.key),
        };
        let mut bench = Self {
            memory: Memory {
                pages: (0..PAGES).map(|page| [page as u8; PAGE_SIZE]).collect(),
                kept: vec![[0; PAGE_SIZE]; PAGES],
                stuck: None,
            },
            table: Published::new(&hashing, vec![0; PAGES]),
            checkpoint: Checkpoint::new(&hashing, vec![0; PAGES]),
            own: (0..replica_channel_bytes(PAGES as u32) / 8)
                .map(|_| AtomicU64::new(0))
                .collect(),
            hashing,
        };
        (0..PAGES).for_each(|page| bench.commit(page, page as u8));
        bench
    }

    /// A job writes to a page, which is hashed.
    fn commit(&mut self, page: usize, byte: u8) {
        self.memory.pages[page][100] = byte;
        let own = Writer::new(&self.own);
        let number = PageNumber(page as u32);
        self.table.hash(&self.hashing, &self.memory, number, own);
    }

    fn keep(&mut self, scrub: u32) {
        self.checkpoint.begin(scrub);
        let (own, table) = (Writer::new(&self.own), &mut self.table);
        while self
            .checkpoint
            .keep_step(&self.hashing, &mut self.memory, table, own)
            != CheckpointStep::Done
        {}
    }

    fn put_back(&mut self) {
        self.checkpoint.begin(0);
        let mut scratch = [0; PAGE_SIZE];
        let (own, table) = (Writer::new(&self.own), &mut self.table);
        let memory = &mut self.memory;
        while self
            .checkpoint
            .put_back_step(&self.hashing, memory, &mut scratch, table, own)
            != CheckpointStep::Done
        {}
    }

    fn holds_its_state(&mut self) -> bool {
        let summary = self.table.summary();
        self.checkpoint.holds(&self.hashing, summary)
    }
}

#[test]
fn what_a_job_wrote_is_undone_and_nothing_else_is_copied() {
    let mut bench = Bench::new();
    bench.keep(0);
    assert!(bench.holds_its_state());
    let (before, summary) = (bench.memory.pages.clone(), bench.table.summary());

    [3, 66].into_iter().for_each(|page| bench.commit(page, 200));
    assert!(!bench.holds_its_state());
    bench.put_back();
    assert_eq!(bench.checkpoint.moved(), 2);
    assert!(bench.memory.pages == before && bench.table.summary() == summary);

    bench.commit(5, 7);
    bench.keep(0);
    assert_eq!(bench.checkpoint.moved(), 1);
    assert!(bench.holds_its_state());
}

#[test]
fn a_page_that_is_not_what_was_hashed_never_gets_into_a_checkpoint() {
    let mut bench = Bench::new();
    bench.keep(0);
    let agreed = bench.table.summary();
    bench.commit(3, 200);
    let wanted = bench.table.summary();
    // After its hash, and before it is kept.
    bench.memory.pages[3][4000] ^= 4;
    bench.keep(0);
    assert!(bench.memory.kept[3][100] != 200, "the old copy stands");
    assert!(bench.checkpoint.holds(&bench.hashing, agreed));
    assert_ne!(
        bench.table.summary(),
        wanted,
        "its table says what there is"
    );
}

#[test]
fn a_copy_that_is_not_what_it_should_be_neither_counts_nor_comes_back() {
    let mut bench = Bench::new();
    bench.memory.stuck = Some(9);
    bench.keep(0);
    assert!(!bench.holds_its_state(), "a stuck bit");
    bench.memory.stuck = None;
    bench.keep(0);
    assert!(bench.holds_its_state());

    bench.commit(9, 77);
    let damaged = bench.memory.pages[9];
    bench.memory.kept[9][0] ^= 1;
    bench.put_back();
    assert!(bench.memory.pages[9] == damaged && bench.checkpoint.moved() == 0);
}

#[test]
fn a_scrub_makes_a_changed_copy_anew() {
    let mut bench = Bench::new();
    bench.keep(0);
    bench.memory.kept[20][0] ^= 1;
    bench.keep(PAGES as u32);
    assert!(bench.memory.kept[20] == bench.memory.pages[20]);
    assert_eq!(bench.checkpoint.moved(), 1);
}
