//! Channels as the words that replicas and voter write and read.
use crate::image::description::{self, Role};
use core::sync::atomic::AtomicU64;
use tern_vote::{Reader, Writer};

/// The words of the channel at `index`, to read; `None` if this sandbox may not see it.
#[must_use]
pub fn reader(index: u32) -> Option<Reader<'static>> {
    words(index).map(|(words, _)| Reader::new(words))
}

/// The words of the channel at `index`, to write; `None` if this sandbox may not.
#[must_use]
pub fn writer(index: u32) -> Option<Writer<'static>> {
    own_words(index).map(Writer::new)
}

/// The words of the channel at `index`; `None` if this sandbox does not write it.
#[must_use]
pub fn own_words(index: u32) -> Option<&'static [AtomicU64]> {
    let (words, role) = words(index)?;
    (role == Role::Writer).then_some(words)
}

fn words(index: u32) -> Option<(&'static [AtomicU64], Role)> {
    let (first, count, role) = description::channel_window(index)?;
    // SAFETY: the window is mapped for good and aligned to a page. It is shared with
    // other cores, hence atomics; where it is mapped read-only, only loads are made,
    // which for aligned 64-bit words are plain moves.
    let words = unsafe { core::slice::from_raw_parts(first.as_ptr().cast(), count) };
    Some((words, role))
}
