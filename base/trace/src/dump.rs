//! A copy of a ring's words, taken by a reader, with the checks that make it a trace.
//!
//! **Which records are valid.** The writer stores a record's words before the head that
//! counts it, at most two of them (a record and its continuation) at a time. If the words
//! are copied while it writes, and the head is read again *after* the copy, then only
//! the records number `head` and `head + 1` can be half written; in a ring that
//! overwrites, they lie where `head - capacity` and the next one were. So the numbers
//! from `head - capacity + 2` up to the head read *before* the copy are whole. A ring that
//! drops never overwrites a record that its reader has not released.
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::ring::{HEADER_WORDS, MAGIC, word};
use crate::{Events, Kind, Mode, Record, Ring, SCHEMA_VERSION};

/// Why words are no ring that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpError {
    /// Fewer words than the header, or than the header's capacity asks for.
    Truncated {
        /// Words that there are.
        words: usize,
        /// Words that there should be.
        needed: u64,
    },
    /// No ring was ever made here; holds the first word.
    Magic(u64),
    /// Made by another version; holds its number.
    Version(u64),
    /// A header word that no writer leaves behind; holds its position.
    Header(usize),
    /// The counters by kind do not add up to the records written and dropped.
    Counters {
        /// Their sum.
        counted: u64,
        /// Records written and dropped, by the header.
        expected: u64,
    },
    /// A record of unknown kind; holds its number since the start.
    Record(u64),
}

impl fmt::Display for DumpError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { words, needed } => {
                write!(out, "truncated: {words} words of {needed}")
            }
            Self::Magic(found) => write!(out, "no trace ring here: it begins with {found:#018x}"),
            Self::Version(found) => {
                write!(
                    out,
                    "written by schema version {found}, this tool reads {SCHEMA_VERSION}"
                )
            }
            Self::Header(word) => write!(out, "header word {word} holds an impossible value"),
            Self::Counters { counted, expected } => write!(
                out,
                "the counters by kind add up to {counted}, but {expected} records were written or dropped"
            ),
            Self::Record(number) => write!(out, "record {number} is of no known kind"),
        }
    }
}

impl core::error::Error for DumpError {}

/// A checked copy of a ring.
#[derive(Clone, Copy, Debug)]
pub struct Dump<'a> {
    words: &'a [u64],
    capacity: u64,
    mode: Mode,
    first: u64,
    end: u64,
}

impl<'a> Dump<'a> {
    /// Checks words that were copied at one moment, with the writer stopped.
    ///
    /// # Errors
    /// [`DumpError`] if they are no ring, or an inconsistent one.
    pub fn of(words: &'a [u64]) -> Result<Self, DumpError> {
        let dump = Self::checked(words)?;
        let counted = dump
            .counters()
            .fold(0u64, |sum, (_, count)| sum.wrapping_add(count));
        let expected = dump.written().wrapping_add(dump.dropped());
        // A push that was stopped on its way has counted up to three records that the
        // head does not: a loss record, the record, its continuation.
        if !(expected..=expected.saturating_add(3)).contains(&counted) {
            return Err(DumpError::Counters { counted, expected });
        }
        Ok(dump)
    }

    /// Copies a ring while its writer may be writing, and checks the copy.
    ///
    /// # Errors
    /// [`DumpError`]. The counters are not compared: they are of different moments.
    pub fn of_live(ring: &[AtomicU64], copy: &'a mut [u64]) -> Result<Self, DumpError> {
        let load = |word: usize| {
            ring.get(word)
                .map_or(0, |word| word.load(Ordering::Acquire))
        };
        let before = load(word::HEAD);
        for (to, from) in copy.iter_mut().zip(ring) {
            *to = from.load(Ordering::Acquire);
        }
        let after = load(word::HEAD);
        if let Some(head) = copy.get_mut(word::HEAD) {
            *head = after;
        }
        let dump = Self::checked(copy)?;
        Ok(Self {
            end: before,
            first: dump.first.min(before),
            ..dump
        })
    }

    fn checked(words: &'a [u64]) -> Result<Self, DumpError> {
        let truncated = |needed| DumpError::Truncated {
            words: words.len(),
            needed,
        };
        if words.len() < HEADER_WORDS {
            return Err(truncated(HEADER_WORDS as u64));
        }
        if words[word::MAGIC] != MAGIC {
            return Err(DumpError::Magic(words[word::MAGIC]));
        }
        if words[word::VERSION] != u64::from(SCHEMA_VERSION) {
            return Err(DumpError::Version(words[word::VERSION]));
        }
        let mode = Mode::from_word(words[word::MODE]).ok_or(DumpError::Header(word::MODE))?;
        let capacity = words[word::CAPACITY];
        if !capacity.is_power_of_two()
            || capacity < Ring::MIN_CAPACITY as u64
            || capacity > u64::from(u32::MAX)
        {
            return Err(DumpError::Header(word::CAPACITY));
        }
        let needed = HEADER_WORDS as u64 + capacity * Record::WORDS as u64;
        if (words.len() as u64) < needed {
            return Err(truncated(needed));
        }
        let (end, tail) = (words[word::HEAD], words[word::TAIL]);
        let first = match mode {
            Mode::Stream if tail > end || end - tail > capacity => {
                return Err(DumpError::Header(word::TAIL));
            }
            Mode::Stream => tail,
            Mode::Overwrite => end.saturating_add(2).saturating_sub(capacity),
        };
        Ok(Self {
            words,
            capacity,
            mode,
            first,
            end,
        })
    }

    /// What the ring does when it is full.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Records written since the start, overwritten ones included.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.words[word::HEAD]
    }

    /// Records that were dropped because the ring was full.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.words[word::LOST]
    }

    /// Records that were overwritten, or that a reader has taken before.
    #[must_use]
    pub const fn overwritten(&self) -> u64 {
        self.first
    }

    /// How often each kind was pushed, dropped and overwritten records included.
    pub fn counters(&self) -> impl Iterator<Item = (Kind, u64)> + use<'a> {
        let words = self.words;
        Kind::ALL
            .iter()
            .map(move |&kind| (kind, words[word::COUNTERS + kind as usize]))
    }

    /// The records that are whole, oldest first.
    #[must_use]
    pub const fn records(&self) -> Records<'a> {
        Records {
            words: self.words,
            capacity: self.capacity,
            next: self.first,
            end: self.end,
        }
    }

    /// The events of the records. A ring that overwrites may begin in the middle of a
    /// pair: then the lone continuation is left out.
    ///
    /// # Errors
    /// [`DumpError::Record`] at the first record of unknown kind.
    pub fn events(&self) -> Result<Events<impl Iterator<Item = Record> + use<'a>>, DumpError> {
        for record in self.records() {
            record?;
        }
        let began = self.first;
        let whole = self.records().filter_map(Result::ok).enumerate();
        Ok(Events::new(whole.filter_map(move |(position, record)| {
            let cut = position == 0 && began > 0 && record.kind == Kind::Continuation;
            (!cut).then_some(record)
        })))
    }
}

/// The records of a [`Dump`], oldest first.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    words: &'a [u64],
    capacity: u64,
    next: u64,
    end: u64,
}

impl Iterator for Records<'_> {
    type Item = Result<Record, DumpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let position = HEADER_WORDS + (number & (self.capacity - 1)) as usize * Record::WORDS;
        let words = [self.words[position], self.words[position + 1]];
        Some(Record::from_words(words).ok_or(DumpError::Record(number)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.end - self.next) as usize;
        (left, Some(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn words(pushes: u64) -> Vec<u64> {
        let memory: Vec<_> = (0..HEADER_WORDS + 16).map(|_| AtomicU64::new(0)).collect();
        let mut ring = Ring::format(&memory, Mode::Stream).unwrap();
        for tsc in 0..pushes {
            ring.push(Record::new(tsc, Kind::Block, 0, 0));
        }
        memory.into_iter().map(AtomicU64::into_inner).collect()
    }

    #[test]
    fn what_is_wrong_with_a_ring_is_named() {
        for (word, value, error) in [
            (word::MAGIC, 5, DumpError::Magic(5)),
            (word::VERSION, 9, DumpError::Version(9)),
            (word::CAPACITY, 6, DumpError::Header(word::CAPACITY)),
            (
                word::CAPACITY,
                16,
                DumpError::Truncated {
                    words: 144,
                    needed: 160,
                },
            ),
            (word::MODE, 2, DumpError::Header(word::MODE)),
            (word::TAIL, 4, DumpError::Header(word::TAIL)),
            (word::HEAD, u64::MAX, DumpError::Header(word::TAIL)),
            (
                word::LOST,
                9,
                DumpError::Counters {
                    counted: 3,
                    expected: 12,
                },
            ),
        ] {
            let mut words = words(3);
            words[word] = value;
            assert_eq!(Dump::of(&words).err(), Some(error), "word {word} = {value}");
        }
        assert!(matches!(Dump::of(&[]), Err(DumpError::Truncated { .. })));
    }

    /// Counted first, in the ring last: so many records may be between the two.
    #[test]
    fn a_push_that_was_stopped_on_its_way_is_no_inconsistency() {
        for (ahead, consistent) in [(0, true), (1, true), (3, true), (4, false)] {
            let mut words = words(3);
            words[word::COUNTERS + Kind::Block as usize] += ahead;
            assert_eq!(Dump::of(&words).is_ok(), consistent, "{ahead} ahead");
        }
    }

    #[test]
    fn a_record_of_unknown_kind_is_an_error_with_its_number() {
        let mut words = words(3);
        words[HEADER_WORDS + 3] = 0xEE;
        let dump = Dump::of(&words).unwrap();
        assert_eq!(dump.records().nth(1), Some(Err(DumpError::Record(1))));
        assert_eq!(dump.events().err(), Some(DumpError::Record(1)));
    }

    /// Every header word set to a choice of values: an error or a readable ring, no panic.
    #[test]
    fn no_header_makes_the_reader_panic() {
        for position in 0..HEADER_WORDS {
            for value in [
                0,
                1,
                2,
                3,
                7,
                8,
                1 << 31,
                1 << 32,
                1 << 63,
                u64::MAX - 1,
                u64::MAX,
            ] {
                for mode in [0, 1] {
                    let mut words = words(5);
                    words[word::MODE] = mode;
                    words[position] = value;
                    if let Ok(dump) = Dump::of(&words) {
                        let _ = dump.events().map(Iterator::count);
                    }
                }
            }
        }
    }
}
