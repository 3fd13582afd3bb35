//! The ring: one for each core, written by that core alone, read by anybody.
use core::slice::Iter;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::{Event, Kind, Record};

/// Marks a ring of this layout; its first word.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"TERNRING");

/// The version of the record kinds and of the ring's layout.
pub const SCHEMA_VERSION: u32 = 4;

/// Words of the header, before the first record.
///
/// Three parts on cache lines of their own: what never changes, what the writer
/// changes, what the reader changes; then the counters by kind.
pub const HEADER_WORDS: usize = 128;

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
    pub(crate) const COUNTERS: usize = 64;
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
#[derive(Debug)]
pub struct Ring<'a> {
    header: &'a Header,
    slots: &'a [Slot],
    /// The slots from the head on, as far as the writer knows them to be free: never beyond
    /// the ring's end, and none while drops are to be reported.
    free: Iter<'a, Slot>,
    overwrite: bool,
}

type Slot = [AtomicU64; Record::WORDS];
type Words = [u64; Record::WORDS];

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
            free: [].iter(),
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
    pub fn push(&mut self, record: Record) {
        debug_assert!(
            !record.kind.is_wide(),
            "this kind has a continuation: use push_wide"
        );
        self.put(record, None);
    }

    /// Writes a record and its continuation; a reader sees both or neither.
    #[inline]
    pub fn push_wide(&mut self, record: Record, wide: u64) {
        debug_assert!(
            record.kind.is_wide(),
            "this kind has no continuation: use push"
        );
        self.put(record, Some(Record::continuation(wide)));
    }

    /// Writes an event, with its continuation where it has one.
    #[inline(always)]
    pub fn push_event(&mut self, tsc: u64, event: Event) {
        if event.has_long_amount() {
            return self.push_long_amount(tsc, event);
        }
        let (record, wide) = event.encode(tsc);
        self.put(record, wide.map(Record::continuation));
    }

    #[cold]
    #[inline(never)]
    fn push_long_amount(&mut self, tsc: u64, event: Event) {
        let (record, wide) = event.encode(tsc);
        self.put(record, wide.map(Record::continuation));
    }

    /// Writes two events without continuations, each at its time, at once: a reader sees
    /// both or neither.
    #[inline(always)]
    pub fn push_two(&mut self, first: (u64, Event), second: (u64, Event)) {
        let (first, wide) = first.1.encode(first.0);
        let (second, other) = second.1.encode(second.0);
        debug_assert!(
            wide.is_none() && other.is_none(),
            "these kinds have continuations: use push_event"
        );
        self.put(first, Some(second));
    }

    /// At most two slots and one store of the head: `Dump` relies on both.
    ///
    /// Few instructions, as it is in every path of the kernel: whether there is room is
    /// asked once for many records, and what is handed on where there is none fits
    /// registers.
    #[inline(always)]
    fn put(&mut self, record: Record, second: Option<Record>) {
        let header = self.header;
        add(header, word::COUNTERS + record.kind as usize, 1);
        let Some(second) = second else {
            return match self.free.next() {
                Some(slot) => {
                    store(slot, record.to_words());
                    publish(header, 1);
                }
                None => self.put_after_a_look(record.to_words(), None),
            };
        };
        add(header, word::COUNTERS + second.kind as usize, 1);
        let Some([slot, next]) = self.free.as_slice().first_chunk() else {
            return self.put_after_a_look(record.to_words(), Some(second.to_words()));
        };
        self.free.nth(1);
        store(slot, record.to_words());
        store(next, second.to_words());
        publish(header, 2);
    }

    /// Looks how far the reader is, and writes the record and the second where there is
    /// room, after one of what was dropped before.
    #[cold]
    #[inline(never)]
    fn put_after_a_look(&mut self, [tsc, rest]: Words, second: Option<Words>) {
        let length = 1 + u64::from(second.is_some());
        let mut free = u64::MAX;
        if !self.overwrite {
            let tail = self.header[word::TAIL].load(Ordering::Acquire);
            let used = self.get(word::HEAD).wrapping_sub(tail);
            free = (self.slots.len() as u64).saturating_sub(used);
            let pending = self.get(word::PENDING);
            if free < length + u64::from(pending != 0) {
                self.free = [].iter();
                return self.drop_records(length);
            }
            if pending != 0 {
                self.push_lost(tsc, pending);
                free -= 1;
            }
        }
        if let Some(slot) = self.slot(0) {
            store(slot, [tsc, rest]);
        }
        if let (Some(second), Some(slot)) = (second, self.slot(1)) {
            store(slot, second);
        }
        publish(self.header, length);
        free -= length;
        // More may be pending than one record can tell: look again then.
        if self.get(word::PENDING) != 0 {
            free = 0;
        }
        let from_head = &self.slots[self.position(0).min(self.slots.len())..];
        let free = from_head
            .len()
            .min(usize::try_from(free).unwrap_or(usize::MAX));
        self.free = from_head[..free].iter();
    }

    fn drop_records(&self, count: u64) {
        add(self.header, word::LOST, count);
        add(self.header, word::PENDING, count);
    }

    fn push_lost(&self, tsc: u64, pending: u64) {
        let count = u32::try_from(pending).unwrap_or(u32::MAX);
        if let Some(slot) = self.slot(0) {
            store(slot, Record::new(tsc, Kind::Lost, 0, count).to_words());
        }
        add(self.header, word::COUNTERS + Kind::Lost as usize, 1);
        self.set(word::PENDING, pending.saturating_sub(count.into()));
        publish(self.header, 1);
    }

    /// Where the record goes that comes so many after the head.
    fn position(&self, after: u64) -> usize {
        let number = self.get(word::HEAD).wrapping_add(after);
        number as usize & self.slots.len().wrapping_sub(1)
    }

    fn slot(&self, after: u64) -> Option<&'a Slot> {
        self.slots.get(self.position(after))
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
}

type Header = [AtomicU64; HEADER_WORDS];

/// The single writer needs no read-modify-write; 64 bits last for centuries.
#[inline]
fn add(header: &Header, word: usize, count: u64) {
    let value = header[word].load(Ordering::Relaxed).wrapping_add(count);
    header[word].store(value, Ordering::Relaxed);
}

/// Moves the head over records that are stored.
#[inline]
fn publish(header: &Header, count: u64) {
    let head = header[word::HEAD].load(Ordering::Relaxed);
    header[word::HEAD].store(head.wrapping_add(count), Ordering::Release);
}

#[inline(always)]
fn store(slot: &Slot, [tsc, rest]: Words) {
    slot[0].store(tsc, Ordering::Release);
    slot[1].store(rest, Ordering::Release);
}

#[cfg(test)]
mod tests;
