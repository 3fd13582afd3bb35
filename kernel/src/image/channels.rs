//! Channels as the words that replicas and voter write and read.
use crate::image::description::{self, Role};
use core::sync::atomic::AtomicU64;
use tern_vote::{ChannelReader, ChannelWriter, Reader, Writer};

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

/// The channel at `index`, sealed or not, to read; `None` if this sandbox may not see it.
#[must_use]
pub fn shown(index: u32) -> Option<ChannelReader<'static>> {
    let (words, _) = words(index)?;
    Some(match parts(index, words)? {
        Parts::Plain(words) => ChannelReader::Plain(Reader::new(words)),
        Parts::Sealed { seal, halves } => ChannelReader::Sealed {
            seal,
            halves: halves.map(Reader::new),
        },
    })
}

/// The channel at `index`, sealed or not, to write; `None` if this sandbox may not.
#[must_use]
pub fn own(index: u32) -> Option<ChannelWriter<'static>> {
    let words = own_words(index)?;
    Some(match parts(index, words)? {
        Parts::Plain(words) => ChannelWriter::Plain(Writer::new(words)),
        Parts::Sealed { seal, halves } => ChannelWriter::Sealed {
            seal,
            halves: halves.map(Writer::new),
        },
    })
}

/// What a channel's memory consists of.
enum Parts {
    Plain(&'static [AtomicU64]),
    Sealed {
        seal: &'static AtomicU64,
        halves: [&'static [AtomicU64]; 2],
    },
}

fn parts(index: u32, words: &'static [AtomicU64]) -> Option<Parts> {
    let channel = description::system().channels.get(index as usize)?;
    if channel.seal.is_none() {
        return Some(Parts::Plain(words));
    }
    let at = |offset: u64| (offset / 8) as usize;
    let half = |half| words.get(at(channel.half_offset(half))..at(channel.half_offset(half + 1)));
    Some(Parts::Sealed {
        seal: words.get(at(channel.seal_offset()))?,
        halves: [half(0)?, half(1)?],
    })
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
