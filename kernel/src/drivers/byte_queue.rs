//! A bounded first-in first-out queue of bytes.

/// At most `CAPACITY` bytes.
#[derive(Clone, Debug)]
pub struct ByteQueue<const CAPACITY: usize> {
    bytes: [u8; CAPACITY],
    first: usize,
    length: usize,
}

impl<const CAPACITY: usize> ByteQueue<CAPACITY> {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; CAPACITY],
            first: 0,
            length: 0,
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends a byte; false if there is no room.
    pub fn push(&mut self, byte: u8) -> bool {
        if self.length == CAPACITY {
            return false;
        }
        self.bytes[(self.first + self.length) % CAPACITY] = byte;
        self.length += 1;
        true
    }

    /// Takes the oldest byte.
    pub fn pop(&mut self) -> Option<u8> {
        if self.length == 0 {
            return None;
        }
        let byte = self.bytes[self.first];
        self.first = (self.first + 1) % CAPACITY;
        self.length -= 1;
        Some(byte)
    }
}
