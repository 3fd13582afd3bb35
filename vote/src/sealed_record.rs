//! Sealed records: words that a reader takes whole, or not at all (a seqlock with a checksum).
//!
//! A record is its generation, the payload, a checksum and the generation again. The
//! writer makes the first word odd, writes the rest, and makes it even last. A reader
//! that finds an odd or unequal generation, or a checksum that does not fit, has seen a
//! write in progress or a fault. The checksum covers generation, purpose and length.
//!
//! A generation does not grow from what was there before, which a fault may have changed: it
//! is made anew in every epoch, from the epoch's number.
use crate::key::Key;
use crate::words::{Reader, Writer};

/// Why a record cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// Never written.
    Empty,
    /// Being written, or written in part.
    Torn,
    /// Whole, but its checksum does not fit.
    Checksum,
}

/// When a record was written: in which epoch, and as which of that epoch's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

impl Generation {
    const WRITE_BITS: u32 = 15;
    const MOST_WRITES: u64 = (1 << Self::WRITE_BITS) - 1;

    /// Returns the generation of a write in `epoch` over a record whose first word is `old`.
    const fn after(old: u64, epoch: u64) -> Self {
        let first = Self(epoch.wrapping_add(1) << (Self::WRITE_BITS + 1) | 1 << 1);
        let old = Self(old);
        if old.epoch_bits() != first.epoch_bits() || old.writes() == Self::MOST_WRITES {
            return first;
        }
        Self(first.epoch_bits() | (old.writes() + 1) << 1)
    }

    /// Returns how many writes there were in the epoch, this one included.
    #[must_use]
    pub const fn writes(self) -> u64 {
        self.0 >> 1 & Self::MOST_WRITES
    }

    /// Whether the write was made in `epoch`.
    #[must_use]
    pub const fn is_of(self, epoch: u64) -> bool {
        self.epoch_bits() == Self::after(0, epoch).epoch_bits()
    }

    const fn epoch_bits(self) -> u64 {
        self.0 >> (Self::WRITE_BITS + 1) << (Self::WRITE_BITS + 1)
    }
}

/// A place for one kind of record of `N` payload words.
#[derive(Clone, Copy, Debug)]
pub struct SealedRecord<const N: usize> {
    /// Word offset in the channel.
    pub at: usize,
    /// Tells one kind of record from another.
    pub purpose: u64,
}

impl<const N: usize> SealedRecord<N> {
    /// Words that the record takes in the channel.
    pub const WORDS: usize = N + 3;

    /// A record of a purpose at a word offset.
    #[must_use]
    pub const fn new(at: usize, purpose: u64) -> Self {
        Self { at, purpose }
    }

    /// Writes the payload in `epoch`; returns the record's new generation.
    pub fn write(
        &self,
        channel: Writer<'_>,
        key: &Key,
        epoch: u64,
        payload: &[u64; N],
    ) -> Generation {
        let generation = self.open(channel, epoch);
        for (index, word) in payload.iter().enumerate() {
            channel.store(self.at + 1 + index, *word);
        }
        channel.store(self.at + 1 + N, self.checksum(key, generation, payload));
        channel.store(self.at + 2 + N, generation.0);
        channel.store(self.at, generation.0);
        generation
    }

    /// Begins a write: from here to the end of [`SealedRecord::write`] readers see it torn.
    /// Returns the generation that the write will give the record.
    pub fn open(&self, channel: Writer<'_>, epoch: u64) -> Generation {
        let old = channel.reader().load(self.at);
        let end = channel.reader().load(self.at + 2 + N);
        channel.store(self.at, old | 1);
        // Whoever begins twice has not written twice. A generation counts only where both of its
        // words say so: one of them alone a fault may have changed.
        let old = if old & 1 == 1 { old - 1 } else { old };
        Generation::after(if old == end { old } else { 0 }, epoch)
    }

    /// Reads payload and generation.
    ///
    /// # Errors
    /// If the record was never written, is being written, or does not add up.
    pub fn read(
        &self,
        channel: Reader<'_>,
        key: &Key,
    ) -> Result<([u64; N], Generation), SealError> {
        let generation = channel.load(self.at);
        if generation == 0 {
            return Err(SealError::Empty);
        }
        if generation & 1 == 1 {
            return Err(SealError::Torn);
        }
        let mut payload = [0; N];
        for (index, word) in payload.iter_mut().enumerate() {
            *word = channel.load(self.at + 1 + index);
        }
        let checksum = channel.load(self.at + 1 + N);
        let end = channel.load(self.at + 2 + N);
        if end != generation || channel.load(self.at) != generation {
            return Err(SealError::Torn);
        }
        let generation = Generation(generation);
        if checksum != self.checksum(key, generation, &payload) {
            return Err(SealError::Checksum);
        }
        Ok((payload, generation))
    }

    fn checksum(&self, key: &Key, generation: Generation, payload: &[u64; N]) -> u64 {
        key.digest(
            self.purpose,
            &[generation.0, key.digest(self.purpose, payload)],
        )
    }
}

/// Two copies of a record: a fault in one of them hurts nobody. While the writer is at
/// the first, readers find the second as it was.
#[derive(Clone, Copy, Debug)]
pub struct Twice<const N: usize> {
    copies: [SealedRecord<N>; 2],
}

impl<const N: usize> Twice<N> {
    /// Words that both take in the channel.
    pub const WORDS: usize = 2 * SealedRecord::<N>::WORDS;

    /// Two records of a purpose, one behind the other from a word offset on.
    #[must_use]
    pub const fn new(at: usize, purpose: u64) -> Self {
        let second = at + SealedRecord::<N>::WORDS;
        Self {
            copies: [
                SealedRecord::new(at, purpose),
                SealedRecord::new(second, purpose),
            ],
        }
    }

    /// The copies, in the order in which they are written.
    #[must_use]
    pub const fn copies(&self) -> [SealedRecord<N>; 2] {
        self.copies
    }

    /// Writes the payload into both in `epoch`.
    pub fn write(&self, channel: Writer<'_>, key: &Key, epoch: u64, payload: &[u64; N]) {
        for copy in &self.copies {
            copy.write(channel, key, epoch, payload);
        }
    }

    /// Reads the first that is whole.
    ///
    /// # Errors
    /// If neither is: what is wrong with the first.
    pub fn read(&self, channel: Reader<'_>, key: &Key) -> Result<[u64; N], SealError> {
        let [first, second] = &self.copies;
        let (payload, _) = first
            .read(channel, key)
            .or_else(|error| second.read(channel, key).map_err(|_| error))?;
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU64, Ordering};
    use std::vec::Vec;

    const KEY: Key = Key([1, 2, 3, 4]);
    const RECORD: SealedRecord<5> = SealedRecord::new(2, 77);

    fn channel() -> Vec<AtomicU64> {
        (0..12).map(|_| AtomicU64::new(0)).collect()
    }

    fn read(words: &[AtomicU64]) -> Result<([u64; 5], Generation), SealError> {
        RECORD.read(Reader::new(words), &KEY)
    }

    fn image(words: &[AtomicU64]) -> Vec<u64> {
        words
            .iter()
            .map(|word| word.load(Ordering::Relaxed))
            .collect()
    }

    #[test]
    fn a_record_is_empty_and_then_what_was_written() {
        let words = channel();
        assert_eq!(read(&words), Err(SealError::Empty));
        let own = Writer::new(&words);
        for (epoch, writes, first) in [(9, 1, 1), (9, 2, 6), (10, 1, 11), (3, 1, 16)] {
            let payload = [first, 2, 3, 4, 5];
            let generation = RECORD.write(own, &KEY, epoch, &payload);
            assert_eq!(read(&words), Ok((payload, generation)));
            assert_eq!(generation.writes(), writes);
            assert!(generation.is_of(epoch) && !generation.is_of(epoch + 1));
        }
    }

    /// Found by flips in a half that is written two epochs later.
    #[test]
    fn a_flip_in_a_generation_does_not_pass_for_a_write_that_has_been() {
        let words = channel();
        let own = Writer::new(&words);
        for (epoch, bit, next) in [(9, 16, 10), (8, 17, 10), (8, 16, 9)] {
            for word in [RECORD.at, RECORD.at + 6] {
                RECORD.write(own, &KEY, epoch, &[1, 2, 3, 4, 5]);
                words[word].fetch_xor(1 << bit, Ordering::Relaxed);
                let generation = RECORD.write(own, &KEY, next, &[1, 2, 3, 4, 5]);
                assert_eq!(generation.writes(), 1, "{epoch}, bit {bit}, then {next}");
            }
        }
    }

    #[test]
    fn no_mixture_of_two_records_passes() {
        let words = channel();
        RECORD.write(Writer::new(&words), &KEY, 9, &[1, 2, 3, 4, 5]);
        let old = image(&words);
        RECORD.write(Writer::new(&words), &KEY, 9, &[6, 7, 8, 9, 10]);
        let new = image(&words);
        let span = SealedRecord::<5>::WORDS;
        for mixture in 0..1_u32 << span {
            for index in 0..span {
                let from = if mixture >> index & 1 == 1 {
                    &new
                } else {
                    &old
                };
                words[2 + index].store(from[2 + index], Ordering::Relaxed);
            }
            let whole = mixture == 0 || mixture == (1 << span) - 1;
            assert_eq!(
                read(&words).is_ok(),
                whole,
                "words from the new record: {mixture:#b}"
            );
        }
    }

    #[test]
    fn a_write_that_stops_anywhere_leaves_the_record_torn() {
        let words = channel();
        RECORD.write(Writer::new(&words), &KEY, 9, &[1, 2, 3, 4, 5]);
        RECORD.open(Writer::new(&words), 10);
        assert_eq!(read(&words), Err(SealError::Torn));
        for index in 0..6 {
            words[3 + index].store(6, Ordering::Relaxed);
            assert_eq!(read(&words), Err(SealError::Torn));
        }
    }

    #[test]
    fn every_bit_of_a_record_counts() {
        let words = channel();
        RECORD.write(Writer::new(&words), &KEY, 9, &[1, 2, 3, 4, 5]);
        let sound = image(&words);
        for bit in 0..64 * SealedRecord::<5>::WORDS {
            let (word, mask) = (2 + bit / 64, 1 << (bit % 64));
            words[word].store(sound[word] ^ mask, Ordering::Relaxed);
            assert!(read(&words).is_err(), "bit {bit}");
            words[word].store(sound[word], Ordering::Relaxed);
        }
        assert!(read(&words).is_ok());
    }

    #[test]
    fn another_purpose_or_key_does_not_pass() {
        let words = channel();
        RECORD.write(Writer::new(&words), &KEY, 9, &[1, 2, 3, 4, 5]);
        let other = SealedRecord::<5>::new(2, 78).read(Reader::new(&words), &KEY);
        assert_eq!(other, Err(SealError::Checksum));
        let other = RECORD.read(Reader::new(&words), &Key([1, 2, 3, 5]));
        assert_eq!(other, Err(SealError::Checksum));
    }

    #[test]
    fn whatever_was_there_before_a_write_makes_a_generation_of_its_epoch() {
        let mut old = 1_u64;
        for step in 0..100_000_u64 {
            // Every kind of leftover: any word, and those of this epoch, full ones included.
            old = old.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(step);
            for old in [old, 10 << 16 | old & 0xffff, 10 << 16 | 0xfffe] {
                let words = channel();
                words[2].store(old, Ordering::Relaxed);
                let generation = RECORD.write(Writer::new(&words), &KEY, 9, &[0; 5]);
                assert!(generation.is_of(9) && generation.writes() > 0, "{old:#x}");
                assert_eq!(read(&words), Ok(([0; 5], generation)));
            }
        }
    }

    #[test]
    fn of_two_copies_any_one_is_enough() {
        const TWICE: Twice<2> = Twice::new(1, 7);
        let words = channel();
        let read = || TWICE.read(Reader::new(&words), &KEY);
        assert_eq!(read(), Err(SealError::Empty));
        TWICE.write(Writer::new(&words), &KEY, 9, &[1, 2]);
        for bit in 0..64 * Twice::<2>::WORDS {
            words[1 + bit / 64].fetch_xor(1 << (bit % 64), Ordering::Relaxed);
            assert_eq!(read(), Ok([1, 2]), "bit {bit}");
            words[1 + bit / 64].fetch_xor(1 << (bit % 64), Ordering::Relaxed);
        }
        TWICE.copies[0].open(Writer::new(&words), 10);
        assert_eq!(read(), Ok([1, 2]), "while the first is being written");
        TWICE.copies[1].open(Writer::new(&words), 10);
        assert_eq!(read(), Err(SealError::Torn));
    }
}
