//! A toy program for replicas: some pages, and a job of some writes to them whose output
//! depends on all that it read.
use std::rc::Rc;

use tern_recovery::PageMemory;
use tern_units::{PAGE_SIZE, PageNumber};
use tern_vote::{Page, Release};

/// Words of a page.
pub const PAGE_WORDS: usize = PAGE_SIZE / 8;
/// Writes of a job, one a step.
const WRITES: u32 = 12;
/// Pages at the program's begin that it reads and never writes.
const CONSTANT: u64 = 2;

/// A program's pages with their dirty bits. A clone shares the pages that neither has written
/// since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    pages: Vec<Rc<Page>>,
    /// The checkpoint's copies.
    kept: Vec<Rc<Page>>,
    dirty: Vec<bool>,
}

impl Memory {
    /// The memory of a program of `pages` pages, before its first job.
    ///
    /// # Panics
    /// If there are fewer pages than a job needs.
    #[must_use]
    pub fn new(pages: u32) -> Self {
        assert!(u64::from(pages) > CONSTANT, "a job needs a page to write");
        let pages = pages as usize;
        let mut memory = Self {
            pages: std::iter::repeat_n(Rc::new([0; PAGE_SIZE]), pages).collect(),
            kept: std::iter::repeat_n(Rc::new([0; PAGE_SIZE]), pages).collect(),
            dirty: vec![false; pages],
        };
        // No two pages are equal.
        for page in 0..pages {
            memory.write(page, 0, page as u64 + 1);
        }
        memory.dirty.fill(false);
        memory
    }

    /// Whether all pages hold what those of `other` hold, dirty or not.
    #[must_use]
    pub fn holds_the_same(&self, other: &Self) -> bool {
        self.pages == other.pages
    }

    /// Flips a bit: the page tables do not see it.
    pub fn flip(&mut self, page: u32, bit: u32) {
        self.content(page as usize)[bit as usize / 8] ^= 1 << (bit % 8);
    }

    /// Flips a bit of the checkpoint's copy of a page.
    pub fn flip_kept(&mut self, page: u32, bit: u32) {
        let kept = Rc::make_mut(&mut self.kept[page as usize]);
        kept[bit as usize / 8] ^= 1 << (bit % 8);
    }

    /// Makes a bit what it is stuck at.
    pub fn set(&mut self, page: u32, bit: u32, is_one: bool) {
        let byte = &mut self.content(page as usize)[bit as usize / 8];
        let mask = 1 << (bit % 8);
        *byte = if is_one { *byte | mask } else { *byte & !mask };
    }

    /// Changes a word that jobs hardly ever read, as a fault of the program itself does: the
    /// page tables see it.
    pub fn damage(&mut self, page: u32) {
        let last = PAGE_WORDS - 1;
        let value = self.word(page as usize, last);
        self.write(page as usize, last, !value);
    }

    fn word(&self, page: usize, word: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.pages[page][8 * word..8 * word + 8]);
        u64::from_le_bytes(bytes)
    }

    fn write(&mut self, page: usize, word: usize, value: u64) {
        self.content(page)[8 * word..8 * word + 8].copy_from_slice(&value.to_le_bytes());
        self.dirty[page] = true;
    }

    fn content(&mut self, page: usize) -> &mut Page {
        Rc::make_mut(&mut self.pages[page])
    }
}

impl PageMemory for Memory {
    fn page(&self, page: PageNumber) -> &Page {
        &self.pages[page.0 as usize]
    }

    fn replace(&mut self, page: PageNumber, content: &Page) {
        *self.content(page.0 as usize) = *content;
    }

    fn take_dirty(&mut self, page: PageNumber) -> bool {
        std::mem::take(&mut self.dirty[page.0 as usize])
    }

    fn kept(&self, page: PageNumber) -> Option<&Page> {
        self.kept.get(page.0 as usize).map(Rc::as_ref)
    }

    fn keep(&mut self, page: PageNumber) {
        let page = page.0 as usize;
        self.kept[page] = Rc::clone(&self.pages[page]);
    }
}

/// A flip of a bit in the middle of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterFlip {
    /// Before which of the job's writes, from 0; modulo their number.
    pub before: u32,
    /// In the generator's state, the sum, or the count of writes left; modulo three.
    pub word: u32,
    /// Which bit; of the count only the lowest four.
    pub bit: u32,
}

/// The program's job, one write at a time: the pages but the first two change, one of
/// them wholly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToyJob {
    state: u64,
    left: u32,
    sum: u64,
}

impl ToyJob {
    pub(crate) fn new(release: &Release) -> Self {
        Self {
            state: release.payload[0] ^ release.epoch,
            left: WRITES,
            sum: release.payload[1],
        }
    }

    /// Makes the next write; whether there was one left.
    pub(crate) fn step(&mut self, memory: &mut Memory) -> bool {
        let Some(left) = self.left.checked_sub(1) else {
            return false;
        };
        self.left = left;
        let others = memory.pages.len() as u64 - CONSTANT;
        let page = (CONSTANT + next(&mut self.state) % others) as usize;
        if left == 0 {
            for word in 0..PAGE_WORDS {
                memory.write(page, word, self.sum ^ word as u64);
            }
            return true;
        }
        let word = (next(&mut self.state) % PAGE_WORDS as u64) as usize;
        let constant = memory.word(left as usize % CONSTANT as usize, word);
        let read = memory.word(page, word).wrapping_add(constant);
        self.sum = self.sum.rotate_left(9) ^ read;
        let value = next(&mut self.state).wrapping_add(self.sum);
        memory.write(page, word, value);
        true
    }

    /// Flips a bit of what the job keeps in registers, if this is when; whether it was.
    pub(crate) fn flip(&mut self, flip: RegisterFlip) -> bool {
        let RegisterFlip { before, word, bit } = flip;
        if self.left != WRITES - before % WRITES {
            return false;
        }
        match word % 3 {
            0 => self.state ^= 1 << (bit % 64),
            1 => self.sum ^= 1 << (bit % 64),
            _ => self.left ^= 1 << (bit % 4),
        }
        true
    }

    pub(crate) const fn output(&self) -> [u64; 2] {
        [self.sum, self.state]
    }
}

/// Does a whole job at once.
pub(crate) fn run_job(memory: &mut Memory, release: &Release) -> [u64; 2] {
    let mut job = ToyJob::new(release);
    while job.step(memory) {}
    memory.dirty.fill(false);
    job.output()
}

/// Marsaglia's xorshift64*, stepped once.
pub(crate) fn next(state: &mut u64) -> u64 {
    *state = (*state).max(1);
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}
