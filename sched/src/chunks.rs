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
    first: u16,
    count: u16,
    /// The most that may wait here; the ring may have more places.
    most: u16,
    /// Whether what comes before the earliest may reach it: a merge was cut short.
    pub(crate) merging: bool,
}

impl Chunks {
    /// An empty queue for at most so many chunks.
    pub(crate) fn new(most: u16) -> Self {
        let places = usize::from(most).next_power_of_two();
        Self {
            ring: vec![Chunk::default(); places].into_boxed_slice(),
            first: 0,
            count: 0,
            most,
            merging: false,
        }
    }

    /// The number of chunks.
    #[inline]
    pub(crate) const fn count(&self) -> u32 {
        self.count as u32
    }

    /// Whether no other chunk may be added.
    #[inline]
    pub(crate) const fn is_full(&self) -> bool {
        self.count >= self.most
    }

    #[inline]
    fn place(&self, position: u32) -> usize {
        (self.first as u32).wrapping_add(position) as usize & self.ring.len().wrapping_sub(1)
    }

    /// The chunk at `position`, counted from the earliest; there must be one.
    #[inline]
    pub(crate) fn at(&self, position: u32) -> Chunk {
        self.ring[self.place(position)]
    }

    /// The last chunk; there must be one.
    #[inline]
    pub(crate) fn last_mut(&mut self) -> &mut Chunk {
        let place = self.place(self.count().wrapping_sub(1));
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

    /// Takes the earliest chunk out if its time is not after `end`.
    #[inline]
    pub(crate) fn take_first_by(&mut self, end: u64) -> Option<Chunk> {
        if self.count == 0 {
            return None;
        }
        let chunk = self.at(0);
        if chunk.time > end {
            return None;
        }
        self.first = self.first.wrapping_add(1);
        self.count = self.count.wrapping_sub(1);
        Some(chunk)
    }

    /// Adds a chunk at the end; there must be a place for it.
    #[inline]
    pub(crate) fn push(&mut self, chunk: Chunk) {
        let place = self.place(self.count());
        self.ring[place] = chunk;
        self.count = self.count.wrapping_add(1);
    }

    /// Takes all chunks out. Each stays at its position, for [`Chunks::at`], until so many
    /// have been added again. Returns their number.
    pub(crate) fn empty(&mut self) -> u32 {
        core::mem::take(&mut self.count).into()
    }
}
