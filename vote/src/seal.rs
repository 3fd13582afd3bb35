//! Sealed records: words that a reader takes whole, or not at all.
//!
//! A record is its generation, the payload, a checksum and the generation again. The
//! writer makes the first word odd, writes the rest, and makes it even last. A reader
//! that finds an odd or unequal generation, or a checksum that does not fit, has seen a
//! write in progress or a fault. The checksum covers generation, purpose and length.
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

/// A place for one kind of record of `N` payload words.
#[derive(Clone, Copy, Debug)]
pub struct Record<const N: usize> {
    /// Word offset in the channel.
    pub at: usize,
    /// Tells one kind of record from another.
    pub purpose: u64,
}

impl<const N: usize> Record<N> {
    /// Words that the record takes in the channel.
    pub const WORDS: usize = N + 3;

    /// A record of a purpose at a word offset.
    #[must_use]
    pub const fn new(at: usize, purpose: u64) -> Self {
        Self { at, purpose }
    }

    /// Writes the payload; returns the record's new generation, which grows by two.
    pub fn write(&self, channel: Writer<'_>, key: &Key, payload: &[u64; N]) -> u64 {
        let generation = self.open(channel);
        for (index, word) in payload.iter().enumerate() {
            channel.store(self.at + 1 + index, *word);
        }
        channel.store(self.at + 1 + N, self.checksum(key, generation, payload));
        channel.store(self.at + 2 + N, generation);
        channel.store(self.at, generation);
        generation
    }

    /// Begins a write: from here to the end of [`Record::write`] readers see it torn.
    /// Returns the generation that the write will give the record.
    pub fn open(&self, channel: Writer<'_>) -> u64 {
        let old = channel.reader().load(self.at) & !1;
        channel.store(self.at, old | 1);
        // Zero means "never written".
        if old.wrapping_add(2) == 0 {
            2
        } else {
            old.wrapping_add(2)
        }
    }

    /// Reads payload and generation.
    ///
    /// # Errors
    /// If the record was never written, is being written, or does not add up.
    pub fn read(&self, channel: Reader<'_>, key: &Key) -> Result<([u64; N], u64), SealError> {
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
        if checksum != self.checksum(key, generation, &payload) {
            return Err(SealError::Checksum);
        }
        Ok((payload, generation))
    }

    fn checksum(&self, key: &Key, generation: u64, payload: &[u64; N]) -> u64 {
        key.digest(
            self.purpose,
            &[generation, key.digest(self.purpose, payload)],
        )
    }
}

/// Two copies of a record: a fault in one of them hurts nobody. While the writer is at
/// the first, readers find the second as it was.
#[derive(Clone, Copy, Debug)]
pub struct Twice<const N: usize> {
    copies: [Record<N>; 2],
}

impl<const N: usize> Twice<N> {
    /// Words that both take in the channel.
    pub const WORDS: usize = 2 * Record::<N>::WORDS;

    /// Two records of a purpose, one behind the other from a word offset on.
    #[must_use]
    pub const fn new(at: usize, purpose: u64) -> Self {
        let second = at + Record::<N>::WORDS;
        Self {
            copies: [Record::new(at, purpose), Record::new(second, purpose)],
        }
    }

    /// The copies, in the order in which they are written.
    #[must_use]
    pub const fn copies(&self) -> [Record<N>; 2] {
        self.copies
    }

    /// Writes the payload into both.
    pub fn write(&self, channel: Writer<'_>, key: &Key, payload: &[u64; N]) {
        for copy in &self.copies {
            copy.write(channel, key, payload);
        }
    }

    /// Reads the first that is whole.
    ///
    /// # Errors
    /// If neither is: what is wrong with the first.
    pub fn read(&self, channel: Reader<'_>, key: &Key) -> Result<[u64; N], SealError> {
        let [first, second] = self.copies.map(|copy| copy.read(channel, key));
        match (first, second) {
            (Ok((payload, _)), _) | (Err(_), Ok((payload, _))) => Ok(payload),
            (Err(error), Err(_)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU64, Ordering};
    use std::vec::Vec;

    const KEY: Key = Key([1, 2, 3, 4]);
    const RECORD: Record<5> = Record::new(2, 77);

    fn channel() -> Vec<AtomicU64> {
        (0..12).map(|_| AtomicU64::new(0)).collect()
    }

    fn read(words: &[AtomicU64]) -> Result<([u64; 5], u64), SealError> {
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
        assert_eq!(RECORD.write(Writer::new(&words), &KEY, &[1, 2, 3, 4, 5]), 2);
        assert_eq!(
            RECORD.write(Writer::new(&words), &KEY, &[6, 7, 8, 9, 10]),
            4
        );
        assert_eq!(read(&words), Ok(([6, 7, 8, 9, 10], 4)));
    }

    #[test]
    fn no_mixture_of_two_records_passes() {
        let words = channel();
        RECORD.write(Writer::new(&words), &KEY, &[1, 2, 3, 4, 5]);
        let old = image(&words);
        RECORD.write(Writer::new(&words), &KEY, &[6, 7, 8, 9, 10]);
        let new = image(&words);
        let span = Record::<5>::WORDS;
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
        RECORD.write(Writer::new(&words), &KEY, &[1, 2, 3, 4, 5]);
        RECORD.open(Writer::new(&words));
        assert_eq!(read(&words), Err(SealError::Torn));
        for index in 0..6 {
            words[3 + index].store(6, Ordering::Relaxed);
            assert_eq!(read(&words), Err(SealError::Torn));
        }
    }

    #[test]
    fn every_bit_of_a_record_counts() {
        let words = channel();
        RECORD.write(Writer::new(&words), &KEY, &[1, 2, 3, 4, 5]);
        let sound = image(&words);
        for bit in 0..64 * Record::<5>::WORDS {
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
        RECORD.write(Writer::new(&words), &KEY, &[1, 2, 3, 4, 5]);
        let other = Record::<5>::new(2, 78).read(Reader::new(&words), &KEY);
        assert_eq!(other, Err(SealError::Checksum));
        let other = RECORD.read(Reader::new(&words), &Key([1, 2, 3, 5]));
        assert_eq!(other, Err(SealError::Checksum));
    }

    #[test]
    fn the_generation_survives_its_own_corruption() {
        let words = channel();
        words[2].store(u64::MAX, Ordering::Relaxed);
        let generation = RECORD.write(Writer::new(&words), &KEY, &[0; 5]);
        assert_eq!(read(&words), Ok(([0; 5], generation)));
    }

    #[test]
    fn of_two_copies_any_one_is_enough() {
        const TWICE: Twice<2> = Twice::new(1, 7);
        let words = channel();
        let read = || TWICE.read(Reader::new(&words), &KEY);
        assert_eq!(read(), Err(SealError::Empty));
        TWICE.write(Writer::new(&words), &KEY, &[1, 2]);
        for bit in 0..64 * Twice::<2>::WORDS {
            words[1 + bit / 64].fetch_xor(1 << (bit % 64), Ordering::Relaxed);
            assert_eq!(read(), Ok([1, 2]), "bit {bit}");
            words[1 + bit / 64].fetch_xor(1 << (bit % 64), Ordering::Relaxed);
        }
        TWICE.copies[0].open(Writer::new(&words));
        assert_eq!(read(), Ok([1, 2]), "while the first is being written");
        TWICE.copies[1].open(Writer::new(&words));
        assert_eq!(read(), Err(SealError::Torn));
    }
}
