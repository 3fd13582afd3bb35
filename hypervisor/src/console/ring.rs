//! A ring of whole lines: one core writes them, and whoever has the console takes them byte by
//! byte. What finds no room is dropped whole and counted.
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// A ring of `BYTES` bytes, a power of two.
///
/// One core at a time writes, and one takes. All is atomic, so that a mistake about who they are
/// would mix up text, and nothing else.
#[derive(Debug)]
pub struct Ring<const BYTES: usize> {
    bytes: [AtomicU8; BYTES],
    /// Bytes written since the start; wraps.
    written: AtomicU32,
    /// Bytes taken since the start; wraps.
    taken: AtomicU32,
    /// Bytes dropped that nobody has been told of.
    dropped: AtomicU64,
}

impl<const BYTES: usize> Ring<BYTES> {
    const IS_POSSIBLE: () = assert!(BYTES.is_power_of_two() && BYTES <= 1 << 31);

    /// An empty ring.
    #[must_use]
    pub const fn new() -> Self {
        let () = Self::IS_POSSIBLE;
        Self {
            bytes: [const { AtomicU8::new(0) }; BYTES],
            written: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Returns how many bytes are left to take.
    #[must_use]
    pub fn left(&self) -> usize {
        let written = self.written.load(Ordering::Acquire);
        written.wrapping_sub(self.taken.load(Ordering::Acquire)) as usize
    }

    /// Returns whether the ring takes lines again: while a loss is not told, not before half of it
    /// is free, so that losses are few and long.
    #[must_use]
    pub fn takes_lines(&self) -> bool {
        self.dropped.load(Ordering::Relaxed) == 0 || self.left() <= BYTES / 2
    }

    /// Writes a line, given in `parts`: all of it is there for the taker at once, or it is dropped.
    pub fn write<'a>(&self, parts: impl Iterator<Item = &'a [u8]> + Clone) {
        let length: usize = parts.clone().map(<[u8]>::len).sum();
        if !self.takes_lines() || length > BYTES - self.left() {
            self.dropped.fetch_add(length as u64, Ordering::Relaxed);
            return;
        }

        let start = self.written.load(Ordering::Relaxed);
        let mut at = start as usize;
        for part in parts {
            for &byte in part {
                self.bytes[at % BYTES].store(byte, Ordering::Relaxed);
                at = at.wrapping_add(1);
            }
        }
        let end = start.wrapping_add(length as u32);
        self.written.store(end, Ordering::Release);
    }

    /// Takes the next byte.
    pub fn take(&self) -> Option<u8> {
        let at = self.taken.load(Ordering::Relaxed);
        if at == self.written.load(Ordering::Acquire) {
            return None;
        }
        let byte = self.bytes[at as usize % BYTES].load(Ordering::Relaxed);
        // The writer may use the place from here on.
        self.taken.store(at.wrapping_add(1), Ordering::Release);
        Some(byte)
    }

    /// Returns how many bytes were dropped since the last call: the caller tells of them.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

impl<const BYTES: usize> Default for Ring<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    fn write<const BYTES: usize>(ring: &Ring<BYTES>, parts: &[&str]) {
        ring.write(parts.iter().map(|part| part.as_bytes()));
    }

    fn all<const BYTES: usize>(ring: &Ring<BYTES>) -> String {
        core::iter::from_fn(|| ring.take())
            .map(char::from)
            .collect()
    }

    #[test]
    fn lines_come_out_as_they_went_in_however_often_the_ring_goes_round() {
        let ring = Ring::<16>::new();
        ring.written.store(u32::MAX - 20, Ordering::Relaxed);
        ring.taken.store(u32::MAX - 20, Ordering::Relaxed);
        for _ in 0..10 {
            write(&ring, &["[a] ", "one", "\n"]);
            write(&ring, &["two\n"]);
            assert_eq!(ring.left(), 12);
            assert_eq!(all(&ring), "[a] one\ntwo\n");
        }
        assert_eq!((ring.left(), ring.take_dropped()), (0, 0));
    }

    #[test]
    fn a_line_without_room_is_dropped_whole_and_counted() {
        let ring = Ring::<16>::new();
        write(&ring, &["0123456789abcde\n"]); // fills it to the last byte
        write(&ring, &["x\n"]);
        assert_eq!(all(&ring), "0123456789abcde\n");
        assert_eq!((ring.take_dropped(), ring.take_dropped()), (2, 0));

        let longer = Ring::<16>::new();
        write(&longer, &["0123456789", "abcdef\n"]);
        assert_eq!((longer.left(), longer.take_dropped()), (0, 17));
    }

    #[test]
    fn after_a_loss_lines_are_taken_again_when_half_is_free() {
        let ring = Ring::<16>::new();
        write(&ring, &["0123456789abcd\n"]);
        write(&ring, &["lost\n"]);
        for _ in 0..6 {
            ring.take();
            write(&ring, &["\n"]); // there is room, but not half of it
        }
        assert_eq!((ring.left(), ring.takes_lines()), (9, false));
        ring.take();
        assert!(ring.takes_lines());
        assert_eq!(ring.take_dropped(), 5 + 6);
        write(&ring, &["told\n"]);
        assert_eq!(all(&ring), "789abcd\ntold\n");
    }

    #[test]
    fn nothing_of_a_line_is_there_to_take_before_all_of_it_is() {
        let ring = Ring::<16>::new();
        let parts: [&[u8]; 3] = [b"[a] ", b"one", b"\n"];
        let is_hidden = |_: &&[u8]| assert_eq!((ring.left(), ring.take()), (0, None));
        ring.write(parts.into_iter().inspect(is_hidden));
        assert_eq!(all(&ring), "[a] one\n");
    }
}
