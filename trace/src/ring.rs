//! The ring: one for each core, written by that core alone, read by anybody.
use core::sync::atomic::{AtomicU64, Ordering};

use crate::{Event, Kind, Record};

/// Marks a ring of this layout; its first word.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"TERNRING");

/// The version of the record kinds and of the ring's layout.
pub const SCHEMA_VERSION: u32 = 1;

/// Words of the header, before the first record.
///
/// Three parts on cache lines of their own: what never changes, what the writer
/// changes, what the reader changes; then the counters by kind.
pub const HEADER_WORDS: usize = 64;

/// Positions of the header's words.
pub(crate) mod word {
    /// [`super::MAGIC`].
    pub(crate) const MAGIC: usize = 0;
    /// [`super::SCHEMA_VERSION`].
    pub(crate) const VERSION: usize = 1;
    /// Records that fit.
    pub(crate) const CAPACITY: usize = 2;
    /// [`super::Mode`].
    pub(crate) const MODE: usize = 3;
    /// Records written since the start; the next one's position is this modulo capacity.
    pub(crate) const HEAD: usize = 8;
    /// Records dropped since the start.
    pub(crate) const LOST: usize = 9;
    /// Records dropped since the last `Lost` record.
    pub(crate) const PENDING: usize = 10;
    /// Records that a reader has taken; they may be overwritten.
    pub(crate) const TAIL: usize = 16;
    /// First of the counters by kind, which count dropped records too.
    pub(crate) const COUNTERS: usize = 32;
}

const _: () = assert!(word::COUNTERS + Kind::COUNTERS == HEADER_WORDS);

/// What a full ring does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Mode {
    /// Drops new records and counts them.
    Stream = 0,
    /// Overwrites the oldest: a flight recorder.
    Overwrite = 1,
}

impl Mode {
    pub(crate) const fn from_word(word: u64) -> Option<Self> {
        match word {
            0 => Some(Self::Stream),
            1 => Some(Self::Overwrite),
            _ => None,
        }
    }
}

/// Why memory is no ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// Too few words for a header and four records.
    TooSmall,
    /// Not formatted, or by another version.
    NotFormatted,
}

impl core::fmt::Display for RingError {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str(match self {
            Self::TooSmall => {
                "the trace ring's memory is too small for its header and four records"
            }
            Self::NotFormatted => "the trace ring has no header of this version",
        })
    }
}

impl core::error::Error for RingError {}

/// The writer's view of a ring in shared memory.
///
/// One writer: pushes must not nest, so a kernel pushes with interrupts off. Any
/// number of readers may look on.
///
/// A slot's words and then the head are stored with release order, which on x86 is a
/// plain store. So a reader that sees any part of a record also sees, afterwards, a
/// head that is at least the number of that push: see [`crate::Dump`] for the rule that
/// keeps half-written records out.
#[derive(Clone, Copy, Debug)]
pub struct Ring<'a> {
    header: &'a [AtomicU64; HEADER_WORDS],
    slots: &'a [[AtomicU64; Record::WORDS]],
    overwrite: bool,
}

impl<'a> Ring<'a> {
    /// The fewest records of a ring: two may be half written.
    pub const MIN_CAPACITY: usize = 4;

    /// Records that fit `words` words: a power of two, or zero.
    #[must_use]
    pub const fn capacity_of(words: usize) -> usize {
        let fits = words.saturating_sub(HEADER_WORDS) / Record::WORDS;
        if fits < Self::MIN_CAPACITY {
            0
        } else {
            1 << fits.ilog2()
        }
    }

    /// Makes an empty ring of `words`, which nobody else may write.
    ///
    /// # Errors
    /// [`RingError::TooSmall`].
    pub fn format(words: &'a [AtomicU64], mode: Mode) -> Result<Self, RingError> {
        let ring = Self::over(words, mode)?;
        ring.set(word::MAGIC, 0);
        for word in &ring.header[1..] {
            word.store(0, Ordering::Relaxed);
        }
        ring.set(word::VERSION, u64::from(SCHEMA_VERSION));
        ring.set(word::CAPACITY, ring.slots.len() as u64);
        ring.set(word::MODE, mode as u64);
        ring.header[word::MAGIC].store(MAGIC, Ordering::Release);
        Ok(ring)
    }

    /// The ring that `format` made of the same words earlier; it goes on where it was.
    ///
    /// # Errors
    /// [`RingError`].
    pub fn open(words: &'a [AtomicU64]) -> Result<Self, RingError> {
        let ring = Self::over(words, Mode::Stream)?;
        let formatted = ring.header[word::MAGIC].load(Ordering::Acquire) == MAGIC
            && ring.get(word::VERSION) == u64::from(SCHEMA_VERSION)
            && ring.get(word::CAPACITY) == ring.slots.len() as u64;
        match Mode::from_word(ring.get(word::MODE)) {
            Some(mode) if formatted => Ok(Self {
                overwrite: mode == Mode::Overwrite,
                ..ring
            }),
            _ => Err(RingError::NotFormatted),
        }
    }

    fn over(words: &'a [AtomicU64], mode: Mode) -> Result<Self, RingError> {
        let capacity = Self::capacity_of(words.len());
        let (header, rest) = words.split_first_chunk().ok_or(RingError::TooSmall)?;
        let slots = rest
            .as_chunks()
            .0
            .get(..capacity)
            .ok_or(RingError::TooSmall)?;
        if slots.is_empty() {
            return Err(RingError::TooSmall);
        }
        Ok(Self {
            header,
            slots,
            overwrite: mode == Mode::Overwrite,
        })
    }

    /// Records that fit.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Records written since the start, overwritten ones included.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.get(word::HEAD)
    }

    /// Records dropped since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.get(word::LOST)
    }

    /// Writes one record, of a kind that has no continuation. Its time must not lie
    /// before the last record's.
    #[inline]
    pub fn push(&self, record: Record) {
        debug_assert!(
            !record.kind.is_wide(),
            "this kind has a continuation: use push_wide"
        );
        self.put(record, None);
    }

    /// Writes a record and its continuation; a reader sees both or neither.
    #[inline]
    pub fn push_wide(&self, record: Record, wide: u64) {
        debug_assert!(
            record.kind.is_wide(),
            "this kind has no continuation: use push"
        );
        self.put(record, Some(wide));
    }

    /// Writes an event, with its continuation where it has one.
    #[inline]
    pub fn push_event(&self, tsc: u64, event: Event) {
        let (record, wide) = event.encode(tsc);
        self.put(record, wide);
    }

    /// At most two slots and one store of the head: `Dump` relies on both.
    #[inline]
    fn put(&self, record: Record, wide: Option<u64>) {
        let length = 1 + u64::from(wide.is_some());
        self.add(word::COUNTERS + record.kind as usize, 1);
        if wide.is_some() {
            self.add(word::COUNTERS + Kind::Continuation as usize, 1);
        }
        let mut head = self.get(word::HEAD);
        if !self.overwrite {
            let used = head.wrapping_sub(self.header[word::TAIL].load(Ordering::Acquire));
            let free = (self.slots.len() as u64).saturating_sub(used);
            let pending = self.get(word::PENDING);
            if free < length || pending != 0 {
                if free < length + u64::from(pending != 0) {
                    return self.drop_records(length);
                }
                self.push_lost(head, record.tsc, pending);
                head = head.wrapping_add(1);
            }
        }
        self.store(head, record);
        if let Some(wide) = wide {
            self.store(head.wrapping_add(1), Record::continuation(wide));
        }
        self.header[word::HEAD].store(head.wrapping_add(length), Ordering::Release);
    }

    #[inline]
    fn store(&self, number: u64, record: Record) {
        let position = number as usize & self.slots.len().wrapping_sub(1);
        if let Some(slot) = self.slots.get(position) {
            let words = record.to_words();
            slot[0].store(words[0], Ordering::Release);
            slot[1].store(words[1], Ordering::Release);
        }
    }

    #[cold]
    fn drop_records(&self, count: u64) {
        self.add(word::LOST, count);
        self.add(word::PENDING, count);
    }

    #[cold]
    fn push_lost(&self, number: u64, tsc: u64, pending: u64) {
        let count = u32::try_from(pending).unwrap_or(u32::MAX);
        self.store(number, Record::new(tsc, Kind::Lost, 0, count));
        self.add(word::COUNTERS + Kind::Lost as usize, 1);
        self.set(word::PENDING, pending.saturating_sub(count.into()));
        self.header[word::HEAD].store(number.wrapping_add(1), Ordering::Release);
    }

    /// How many records a reader has taken, in stream mode: their slots are free again.
    /// Only the reader calls this.
    pub fn release_up_to(&self, taken: u64) {
        self.header[word::TAIL].store(taken, Ordering::Release);
    }

    #[inline]
    fn get(&self, word: usize) -> u64 {
        self.header[word].load(Ordering::Relaxed)
    }

    #[inline]
    fn set(&self, word: usize, value: u64) {
        self.header[word].store(value, Ordering::Relaxed);
    }

    /// The single writer needs no read-modify-write; 64 bits last for centuries.
    #[inline]
    fn add(&self, word: usize, count: u64) {
        self.set(word, self.get(word).wrapping_add(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dump;
    use std::vec::Vec;

    fn memory(capacity: usize) -> Vec<AtomicU64> {
        (0..HEADER_WORDS + capacity * Record::WORDS)
            .map(|_| AtomicU64::new(0xA5))
            .collect()
    }

    fn copy(words: &[AtomicU64]) -> Vec<u64> {
        words
            .iter()
            .map(|word| word.load(Ordering::Relaxed))
            .collect()
    }

    fn job(tsc: u64) -> Record {
        Record::new(tsc, Kind::Release, 1, tsc as u32)
    }

    fn times(dump: &Dump) -> Vec<u64> {
        dump.records().map(|record| record.unwrap().tsc).collect()
    }

    #[test]
    fn the_capacity_is_the_largest_power_of_two_that_fits() {
        for (words, capacity) in [
            (0, 0),
            (64, 0),
            (71, 0),
            (72, 4),
            (79, 4),
            (80, 8),
            (4096, 1024),
        ] {
            assert_eq!(Ring::capacity_of(words), capacity, "{words} words");
        }
        assert_eq!(
            Ring::format(&memory(3), Mode::Stream).err(),
            Some(RingError::TooSmall)
        );
    }

    #[test]
    fn a_ring_opens_where_it_was_left_and_only_if_it_was_formatted() {
        let words = memory(8);
        assert_eq!(Ring::open(&words).err(), Some(RingError::NotFormatted));
        Ring::format(&words, Mode::Overwrite).unwrap().push(job(1));
        let ring = Ring::open(&words).unwrap();
        ring.push(job(2));
        assert_eq!(ring.written(), 2);
        assert!(ring.overwrite);
        assert_eq!(times(&Dump::of(&copy(&words)).unwrap()), [1, 2]);
    }

    #[test]
    fn a_full_stream_drops_the_new_and_counts_each() {
        let words = memory(8);
        let ring = Ring::format(&words, Mode::Stream).unwrap();
        for tsc in 1..=11 {
            ring.push(job(tsc));
        }
        let words = copy(&words);
        let dump = Dump::of(&words).unwrap();
        assert_eq!(times(&dump), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(
            (dump.written(), dump.dropped(), dump.overwritten()),
            (8, 3, 0)
        );
        assert_eq!(dump.counters().next(), Some((Kind::Release, 11)));
    }

    #[test]
    fn a_stream_that_is_read_again_says_where_records_are_missing() {
        let words = memory(4);
        let ring = Ring::format(&words, Mode::Stream).unwrap();
        for tsc in 1..=7 {
            ring.push(job(tsc));
        }
        ring.release_up_to(3);
        ring.push(job(8));
        let words = copy(&words);
        let dump = Dump::of(&words).unwrap();
        let records: Vec<_> = dump.records().map(Result::unwrap).collect();
        assert_eq!(records, [job(4), Record::new(8, Kind::Lost, 0, 3), job(8)]);
        assert_eq!(dump.dropped(), 3);
    }

    #[test]
    fn a_pair_that_does_not_fit_is_dropped_whole() {
        let words = memory(4);
        let ring = Ring::format(&words, Mode::Stream).unwrap();
        for tsc in 1..=3 {
            ring.push(job(tsc));
        }
        ring.push_wide(Record::new(4, Kind::Vote, 0, 0), 99);
        assert_eq!((ring.written(), ring.lost()), (3, 2));
        assert!(Dump::of(&copy(&words)).is_ok());
    }

    #[test]
    fn a_flight_recorder_keeps_the_newest_but_for_two_slots_that_may_be_half_written() {
        let words = memory(8);
        let ring = Ring::format(&words, Mode::Overwrite).unwrap();
        for tsc in 1..=21 {
            ring.push(job(tsc));
        }
        let words = copy(&words);
        let dump = Dump::of(&words).unwrap();
        assert_eq!(times(&dump), [16, 17, 18, 19, 20, 21]);
        assert_eq!(
            (dump.written(), dump.dropped(), dump.overwritten()),
            (21, 0, 15)
        );
    }

    /// For every length of a history of pairs: what is read back is a suffix of what
    /// was written, in order, and no lone continuation is taken for an event.
    #[test]
    fn after_any_number_of_pushes_the_ring_holds_a_suffix_of_the_history() {
        for mode in [Mode::Stream, Mode::Overwrite] {
            for length in 0..40u64 {
                let words = memory(8);
                let ring = Ring::format(&words, mode).unwrap();
                let history: Vec<_> = (0..length)
                    .map(|tsc| match tsc % 3 {
                        0 => Event::Fault {
                            class: 0,
                            detail: 0,
                            address: tsc,
                        },
                        _ => Event::Release {
                            thread: 0,
                            job: tsc as u32,
                        },
                    })
                    .collect();
                for (tsc, &event) in (0..).zip(&history) {
                    ring.push_event(tsc, event);
                }
                let words = copy(&words);
                let dump = Dump::of(&words).unwrap();
                let read: Vec<_> = dump.events().unwrap().map(Result::unwrap).collect();
                match (mode, read.first()) {
                    (_, None) => assert_eq!(length, 0),
                    (Mode::Stream, Some(_)) => assert!(
                        read.iter()
                            .all(|&(tsc, event)| history[tsc as usize] == event)
                    ),
                    (Mode::Overwrite, Some(&(first, _))) => {
                        let kept: Vec<_> = (0..).zip(history).skip(first as usize).collect();
                        assert_eq!(read, kept, "after {length} events");
                    }
                }
                let pushed: u64 = dump.counters().map(|(_, count)| count).sum();
                assert_eq!(pushed, dump.written() + dump.dropped());
            }
        }
    }

    /// The writer runs as fast as it can over a small ring; each record repeats its
    /// number in both words, so a mixture of two records would show.
    #[test]
    fn a_reader_beside_the_writer_never_takes_a_torn_record_for_a_whole_one() {
        use std::sync::atomic::AtomicBool;
        let words = memory(64);
        let ring = Ring::format(&words, Mode::Overwrite).unwrap();
        let done = AtomicBool::new(false);
        let mut seen = 0u64;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..2_000_000u64 {
                    ring.push(Record {
                        tsc: number,
                        kind: Kind::Release,
                        flags: number as u8,
                        object: number as u16,
                        argument: number as u32,
                    });
                }
                done.store(true, Ordering::Release);
            });
            let mut copy = std::vec![0; words.len()];
            while !done.load(Ordering::Acquire) {
                let dump = Dump::of_live(&words, &mut copy).unwrap();
                let mut before = None;
                for record in dump.records() {
                    let record = record.unwrap();
                    assert_eq!(record.argument, record.tsc as u32);
                    assert_eq!(record.object, record.tsc as u16);
                    assert_eq!(record.flags, record.tsc as u8);
                    assert!(before.is_none_or(|before| before + 1 == record.tsc));
                    before = Some(record.tsc);
                    seen += 1;
                }
            }
        });
        assert!(seen > 0, "the reader never met the writer");
    }
}
