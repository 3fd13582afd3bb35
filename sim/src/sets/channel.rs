//! A channel of a set, and what the hypervisor does for it: where it is sealed, half of it cannot be
//! written, and what is not sealed in time can be closed.
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use tern_abi::seal::Seal;
use tern_vote::{ChannelReader, ChannelWriter, Reader, Set, Writer};

use super::place::Place;
use super::words::{copy, zeros};

/// A channel.
#[derive(Debug)]
pub struct Channel {
    /// How it is sealed, if it is.
    sealing: Option<Sealing>,
    /// All of it: both halves, one behind the other.
    words: Vec<AtomicU64>,
}

/// How a channel is sealed.
#[derive(Debug)]
struct Sealing {
    /// The time from one number of its seal to the next.
    interval: u64,
    /// From this time after a number's begin on it may be sealed.
    from: u64,
    /// From this time after a number's begin on it may be closed, if ever.
    close: Option<u64>,
    /// The seal's word.
    word: AtomicU64,
}

impl Clone for Channel {
    fn clone(&self) -> Self {
        let sealing = self.sealing.as_ref();
        Self {
            sealing: sealing.map(|sealing| Sealing {
                word: AtomicU64::new(sealing.word.load(Ordering::Relaxed)),
                ..*sealing
            }),
            words: copy(&self.words),
        }
    }
}

impl Channel {
    /// One of so many bytes, sealed as the description says.
    pub fn new(bytes: u64, described: &tern_config::Channel) -> Self {
        let halves = if described.seal.is_some() { 2 } else { 1 };
        Self {
            sealing: described.seal.map(|interval| Sealing {
                interval,
                from: described.seal_from,
                close: described.close,
                word: AtomicU64::new(Seal::NONE.to_word()),
            }),
            words: zeros(halves * bytes),
        }
    }

    /// All words of it.
    pub fn words(&self) -> &[AtomicU64] {
        &self.words
    }

    /// What its writer can write: a half; all of it, where it is not sealed.
    pub fn open_words(&self) -> &[AtomicU64] {
        match self.sealing {
            Some(_) => {
                let half = self.half_words();
                let begin = Seal::from_word(self.seal_word()).open_half() * half;
                &self.words[begin..begin + half]
            }
            None => &self.words,
        }
    }

    /// Words of a half; of all of it, where it is not sealed.
    pub fn half_words(&self) -> usize {
        match self.sealing {
            Some(_) => self.words.len() / 2,
            None => self.words.len(),
        }
    }

    /// The word at which begins what its readers read.
    pub fn sealed_at(&self) -> usize {
        match self.sealing {
            Some(_) => Seal::from_word(self.seal_word()).sealed_half() * self.half_words(),
            None => 0,
        }
    }

    /// The seal's word.
    pub fn seal_word(&self) -> u64 {
        let sealing = self.sealing.as_ref();
        sealing.map_or(0, |sealing| sealing.word.load(Ordering::Relaxed))
    }

    /// Whether `number` is the last that was sealed or closed.
    pub fn is_sealed_as(&self, number: u64) -> bool {
        Seal::from_word(self.seal_word()).number() == Some(number)
    }

    /// As its readers see it.
    pub fn reader(&self) -> ChannelReader<'_> {
        match &self.sealing {
            None => ChannelReader::Plain(Reader::new(&self.words)),
            Some(Sealing { word: seal, .. }) => {
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
        match &self.sealing {
            None => ChannelWriter::Plain(Writer::new(&self.words)),
            Some(Sealing { word: seal, .. }) => {
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
        let Some(Sealing {
            interval,
            from,
            word,
            ..
        }) = &self.sealing
        else {
            return true;
        };
        let seal = Seal::from_word(word.load(Ordering::Relaxed));
        let begin = number.saturating_mul(*interval);
        let is_due = begin.saturating_add(*from) <= now;
        let next = seal.next(number).filter(|_| is_due);
        if let Some(next) = next {
            word.store(next.to_word(), Ordering::Relaxed);
        }
        next.is_some()
    }

    /// Closes `number` at `now`, if it is not decided yet. Returns whether it is then; where nobody
    /// closes there is nothing to do.
    pub fn close(&self, number: u64, now: u64) -> bool {
        let Some(Sealing {
            interval,
            close: Some(close),
            word,
            ..
        }) = &self.sealing
        else {
            return true;
        };
        let begin = number.saturating_mul(*interval);
        if now < begin.saturating_add(*close) {
            return false;
        }
        let seal = Seal::from_word(word.load(Ordering::Relaxed));
        if let Some(closed) = seal.closed(number) {
            word.store(closed.to_word(), Ordering::Relaxed);
        }
        true
    }
}

/// What changes words that are about to be sealed.
pub type Lie = dyn Fn(&Set, Writer<'_>);

/// A sandbox that says something else in a channel than its task, before anybody reads it.
#[derive(Clone)]
pub struct Liar {
    /// Whose channel it is.
    pub of: Place,
    /// Changes what is about to be sealed.
    pub lie: Rc<Lie>,
}

impl Liar {
    /// Changes what stands in the open half of the channel of `of`, if that is where it lies.
    pub fn strike(liar: Option<&Self>, of: Place, set: &Set, channel: ChannelWriter<'_>) {
        if let Some(liar) = liar.filter(|liar| liar.of == of) {
            (liar.lie)(set, channel.open());
        }
    }
}

impl fmt::Debug for Liar {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Liar")
    }
}
