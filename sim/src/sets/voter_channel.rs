//! The voter's channel, and what its hypervisor does for it: where it is sealed, half of it
//! cannot be written.
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use tern_abi::seal::Seal;
use tern_vote::{
    ChannelReader, ChannelWriter, Reader, Release, Set, VoterLayout, Writer, voter_channel_bytes,
};

use super::words::{copy, zeros};

/// The voter's channel.
#[derive(Debug)]
pub struct VoterChannel {
    /// The time from one number of its seal to the next, and the seal's word, if it is sealed.
    seal: Option<(u64, AtomicU64)>,
    /// All of it: both halves, one behind the other.
    words: Vec<AtomicU64>,
}

impl Clone for VoterChannel {
    fn clone(&self) -> Self {
        let seal = self.seal.as_ref();
        Self {
            seal: seal
                .map(|(period, word)| (*period, AtomicU64::new(word.load(Ordering::Relaxed)))),
            words: copy(&self.words),
        }
    }
}

impl VoterChannel {
    /// One of a program of `pages` pages; sealed at most once in `period`, if that is given.
    pub fn new(pages: u32, period: Option<u64>) -> Self {
        let halves = if period.is_some() { 2 } else { 1 };
        Self {
            seal: period.map(|period| (period, AtomicU64::new(Seal::NONE.to_word()))),
            words: zeros(halves * voter_channel_bytes(pages)),
        }
    }

    /// All words of it.
    pub fn words(&self) -> &[AtomicU64] {
        &self.words
    }

    /// Words of a half; of all of it, where it is not sealed.
    pub fn half_words(&self) -> usize {
        match self.seal {
            Some(_) => self.words.len() / 2,
            None => self.words.len(),
        }
    }

    /// The word at which begins what its readers read.
    pub fn sealed_at(&self) -> usize {
        match self.seal {
            Some(_) => Seal::from_word(self.seal_word()).sealed_half() * self.half_words(),
            None => 0,
        }
    }

    /// The seal's word.
    pub fn seal_word(&self) -> u64 {
        let seal = self.seal.as_ref();
        seal.map_or(0, |(_, word)| word.load(Ordering::Relaxed))
    }

    /// As its readers see it.
    pub fn reader(&self) -> ChannelReader<'_> {
        match &self.seal {
            None => ChannelReader::Plain(Reader::new(&self.words)),
            Some((_, seal)) => {
                let (first, second) = self.words.split_at(self.half_words());
                ChannelReader::Sealed {
                    seal,
                    halves: [Reader::new(first), Reader::new(second)],
                }
            }
        }
    }

    /// As its writer sees it.
    pub fn writer(&self) -> ChannelWriter<'_> {
        match &self.seal {
            None => ChannelWriter::Plain(Writer::new(&self.words)),
            Some((_, seal)) => {
                let (first, second) = self.words.split_at(self.half_words());
                ChannelWriter::Sealed {
                    seal,
                    halves: [Writer::new(first), Writer::new(second)],
                }
            }
        }
    }

    /// Seals the open half as `number` at `now`, as its hypervisor does: numbers only grow, and
    /// none comes before its time. Returns whether it has; where there are no seals there is
    /// nothing to do.
    pub fn seal(&self, number: u64, now: u64) -> bool {
        let Some((period, word)) = &self.seal else {
            return true;
        };
        let seal = Seal::from_word(word.load(Ordering::Relaxed));
        let next = seal.next(number).filter(|_| number <= now / period);
        if let Some(next) = next {
            word.store(next.to_word(), Ordering::Relaxed);
        }
        next.is_some()
    }
}

/// A voter's sandbox that freezes other inputs than its voter.
#[derive(Clone)]
pub struct Liar(pub Rc<dyn Fn(&Release) -> Release>);

impl Liar {
    /// Puts its own input in the place of that which is about to be sealed.
    pub fn lie(&self, set: &Set, channel: &VoterChannel) {
        let own = channel.writer().open();
        let Some(layout) = VoterLayout::new(channel.half_words()) else {
            return;
        };
        if let Ok(truth) = Release::read(set, &layout, own.reader()) {
            (self.0)(&truth).publish(set, &layout, own);
        }
    }
}

impl fmt::Debug for Liar {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Liar")
    }
}
