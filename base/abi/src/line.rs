//! A serial line in shared memory: one direction of it is a channel that one side writes
//! and the other reads, like a wire.
//!
//! Word 0 counts the bytes written so far; the other words hold the last of them, eight a
//! word, byte n at place n modulo the capacity. As on a wire nothing goes back: a reader
//! that is too slow loses bytes, and finds the next frame as the decoder of its frames does.
use core::sync::atomic::{AtomicU64, Ordering};

const WRITTEN: usize = 0;
const HEAD: usize = 1;

/// Bytes that a line in `words` words holds.
#[must_use]
pub const fn capacity(words: usize) -> u64 {
    8 * words.saturating_sub(HEAD) as u64
}

/// The writing end.
#[derive(Debug)]
pub struct LineWriter<'a> {
    words: &'a [AtomicU64],
}

impl<'a> LineWriter<'a> {
    /// The end of a line in `words`, which nobody else writes; `None` if they are too few.
    #[must_use]
    pub fn new(words: &'a [AtomicU64]) -> Option<Self> {
        (capacity(words.len()) > 0).then_some(Self { words })
    }

    /// Sends a byte.
    pub fn send(&self, byte: u8) {
        let written = self.words[WRITTEN].load(Ordering::Relaxed);
        let (word, shift) = place(written, self.words.len());
        let others = self.words[word].load(Ordering::Relaxed) & !(0xff << shift);
        let value = others | u64::from(byte) << shift;
        self.words[word].store(value, Ordering::Release);
        // A reader that sees the count sees the byte.
        self.words[WRITTEN].store(written.wrapping_add(1), Ordering::Release);
    }
}

/// The place of byte number `number`: its word, and its lowest bit there.
fn place(number: u64, words: usize) -> (usize, u32) {
    let at = number % capacity(words);
    (HEAD + (at / 8) as usize, (at % 8 * 8) as u32)
}

/// How far a reader has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinePosition {
    read: u64,
}

impl LinePosition {
    /// Takes the next byte of the line whose word `n` is `load(n)` and that has `words`
    /// words; `None` if there is none yet, or those were lost that were there.
    pub fn receive(&mut self, words: usize, load: impl Fn(usize) -> u64) -> Option<u8> {
        let capacity = capacity(words);
        if capacity == 0 {
            return None;
        }
        let ahead = load(WRITTEN).wrapping_sub(self.read);
        if ahead == 0 {
            return None;
        }
        let (word, shift) = place(self.read, words);
        let byte = (load(word) >> shift) as u8;
        // Written over by now, it would be another byte.
        if load(WRITTEN).wrapping_sub(self.read) > capacity {
            self.read = self.read.wrapping_add(ahead);
            return None;
        }
        self.read = self.read.wrapping_add(1);
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn memory(words: usize) -> Vec<AtomicU64> {
        (0..words).map(|_| AtomicU64::new(0)).collect()
    }

    fn read(memory: &[AtomicU64], position: &mut LinePosition) -> Vec<u8> {
        let load = |at: usize| memory[at].load(Ordering::Acquire);
        std::iter::from_fn(|| position.receive(memory.len(), load)).collect()
    }

    #[test]
    fn bytes_come_out_in_the_order_they_went_in_however_often_the_memory_is_used_again() {
        let memory = memory(4); // 24 bytes
        let writer = LineWriter::new(&memory).unwrap();
        let mut position = LinePosition::default();
        let mut next = 0_u8;
        for count in (0..=24).cycle().take(200) {
            let sent: Vec<u8> = (0..count).map(|n| next.wrapping_add(n)).collect();
            sent.iter().for_each(|byte| writer.send(*byte));
            next = next.wrapping_add(count);
            assert_eq!(read(&memory, &mut position), sent);
        }
    }

    #[test]
    fn a_reader_that_is_too_slow_goes_on_with_what_comes_next() {
        let memory = memory(4);
        let writer = LineWriter::new(&memory).unwrap();
        let mut position = LinePosition::default();
        (0..25).for_each(|byte| writer.send(byte));
        assert_eq!(read(&memory, &mut position), []);
        writer.send(99);
        assert_eq!(read(&memory, &mut position), [99]);
    }

    #[test]
    fn a_writer_that_writes_anything_costs_its_reader_nothing_but_sense() {
        let mut random = 1_u64;
        let mut position = LinePosition::default();
        for words in (0..40).cycle().take(100_000) {
            let chaos = core::cell::Cell::new(random);
            position.receive(words, |_| {
                let mut next = chaos.get();
                next ^= next << 13;
                next ^= next >> 7;
                next ^= next << 17;
                chaos.set(next);
                if next & 1 == 0 { next } else { next % 64 }
            });
            random = chaos.get().wrapping_mul(3) | 1;
        }
    }

    #[test]
    fn memory_without_room_is_no_line() {
        assert!(LineWriter::new(&memory(1)).is_none());
        assert_eq!(LinePosition::default().receive(0, |_| 7), None);
    }

    #[test]
    fn a_reader_beside_its_writer_never_sees_a_byte_that_was_not_sent() {
        let memory = memory(9);
        let writer = LineWriter::new(&memory).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..200_000_u64).for_each(|n| writer.send((n % 64) as u8)));
            let mut position = LinePosition::default();
            let load = |at: usize| memory[at].load(Ordering::Acquire);
            let mut seen = 0;
            while seen + 64 < 200_000 {
                if let Some(byte) = position.receive(memory.len(), load) {
                    seen = position.read;
                    assert_eq!(u64::from(byte), (seen - 1) % 64);
                }
                seen = seen.max(position.read);
            }
        });
    }
}
