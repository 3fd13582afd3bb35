//! Chunks of budget in order of time, in a ring whose length is fixed when it is made.
use alloc::boxed::Box;
use alloc::vec;

/// A chunk of budget, in nanoseconds, and the instant from which it may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) time: u64,
    pub(crate) amount: u64,
}

impl Chunk {
    /// The end of the chunk if it is used without a break from its activation on.
    #[inline]
    pub(crate) const fn end(self) -> u64 {
        self.time.saturating_add(self.amount)
    }

    /// Whether the chunk, if it is used without a break from its activation on, ends at
    /// `time` or later.
    #[inline]
    pub(crate) const fn reaches(self, time: u64) -> bool {
        time.saturating_sub(self.time) <= self.amount
    }
}

/// A first-in first-out queue of chunks. The memory is allocated when it is made, and never
/// again.
#[derive(Clone, Debug)]
pub(crate) struct Chunks {
    /// A power of two of places, so that positions are places by a mask.
    ring: Box<[Chunk]>,
    /// The place of the earliest chunk, modulo the ring's length.
    first: u32,
    count: u32,
}

impl Chunks {
    /// An empty queue with places for `most` chunks at least.
    pub(crate) fn new(most: u32) -> Self {
        Self {
            ring: vec![Chunk::default(); places(most)].into_boxed_slice(),
            first: 0,
            count: 0,
        }
    }

    /// The number of chunks.
    #[inline]
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    #[inline]
    fn place(&self, position: u32) -> usize {
        self.first.wrapping_add(position) as usize & (self.ring.len() - 1)
    }

    /// The chunk at `position`, counted from the earliest; there must be one.
    #[inline]
    pub(crate) fn at(&self, position: u32) -> Chunk {
        self.ring[self.place(position)]
    }

    /// The last chunk; there must be one.
    #[inline]
    pub(crate) fn last_mut(&mut self) -> &mut Chunk {
        let place = self.place(self.count.wrapping_sub(1));
        &mut self.ring[place]
    }

    /// Takes the earliest chunk out; there must be one.
    #[inline]
    pub(crate) fn take_first(&mut self) -> Chunk {
        let chunk = self.at(0);
        self.first = self.first.wrapping_add(1);
        self.count = self.count.wrapping_sub(1);
        chunk
    }

    /// Adds a chunk at the end; there must be a place for it.
    #[inline]
    pub(crate) fn push(&mut self, chunk: Chunk) {
        let place = self.place(self.count);
        self.ring[place] = chunk;
        self.count = self.count.wrapping_add(1);
    }

    /// Takes all chunks out. Each stays at its position, for [`Chunks::at`], until so many
    /// have been added again. Returns their number.
    pub(crate) fn empty(&mut self) -> u32 {
        core::mem::take(&mut self.count)
    }
}

/// The places of a ring for `most` chunks: a power of two.
const fn places(most: u32) -> usize {
    match most.checked_next_power_of_two() {
        Some(places) => places as usize,
        None => 1 << 31,
    }
}
