//! Memory that cores share, as words.
use std::sync::atomic::{AtomicU64, Ordering};

/// The same words, for a world of their own.
pub(super) fn copy(words: &[AtomicU64]) -> Vec<AtomicU64> {
    let words = words.iter();
    words
        .map(|word| AtomicU64::new(word.load(Ordering::Relaxed)))
        .collect()
}

/// So many bytes of zeroes.
pub(super) fn zeros(bytes: u64) -> Vec<AtomicU64> {
    (0..bytes / 8).map(|_| AtomicU64::new(0)).collect()
}
