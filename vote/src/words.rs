//! Channel memory as words: one side writes, the others read, at any time.
//!
//! A word is never seen half written; a record of several words may be, which is what
//! [`crate::SealedRecord`] is for. Stores are releases and loads acquires, so a reader that
//! sees a word also sees what was written before it.
use core::sync::atomic::{AtomicU64, Ordering};

/// A channel, or a part of one, as its readers see it.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    words: &'a [AtomicU64],
}

/// A channel, or a part of one, as its writer sees it. It can read back its own words.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    words: &'a [AtomicU64],
}

impl<'a> Reader<'a> {
    /// Reads these words, which another may write meanwhile.
    #[must_use]
    pub const fn new(words: &'a [AtomicU64]) -> Self {
        Self { words }
    }

    /// Number of words.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The word at `at`.
    ///
    /// # Panics
    /// If `at` is outside the channel; layouts come from the channel's own size.
    #[must_use]
    pub fn load(&self, at: usize) -> u64 {
        self.words[at].load(Ordering::Acquire)
    }
}

impl<'a> Writer<'a> {
    /// Writes these words, which others may read meanwhile.
    #[must_use]
    pub const fn new(words: &'a [AtomicU64]) -> Self {
        Self { words }
    }

    /// The same words, to read.
    #[must_use]
    pub const fn reader(&self) -> Reader<'a> {
        Reader { words: self.words }
    }

    /// Stores `value` at `at`.
    ///
    /// # Panics
    /// If `at` is outside the channel; layouts come from the channel's own size.
    pub fn store(&self, at: usize, value: u64) {
        self.words[at].store(value, Ordering::Release);
    }
}
