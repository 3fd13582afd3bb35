//! Which servers may run, by priority: first-in first-out lists, one a level, and a
//! bitmap of the levels that are not empty.

const NONE: u16 = u16::MAX;

/// A queue of at most `SERVERS` entries over 64 × `WORDS` priority levels, 0 the
/// highest. To look at the first takes `WORDS` steps; to insert or remove an entry as many
/// as there are at its level.
///
/// Entries are numbers below `SERVERS`; numbers and levels beyond are ignored.
#[derive(Clone, Debug)]
pub struct ReadyQueue<const SERVERS: usize, const WORDS: usize = 1> {
    occupied: [u64; WORDS],
    first: [[u16; 64]; WORDS],
    last: [[u16; 64]; WORDS],
    links: [Link; SERVERS],
}

/// The neighbours in a level's list: `next` is [`NONE`] for its last entry and those that are
/// in no list, `previous` means something for an entry after the first.
#[derive(Clone, Copy, Debug)]
struct Link {
    next: u16,
    previous: u16,
}

impl Link {
    const ALONE: Self = Self {
        next: NONE,
        previous: NONE,
    };
}

impl<const SERVERS: usize, const WORDS: usize> ReadyQueue<SERVERS, WORDS> {
    const SIZES: () = {
        assert!(SERVERS > 0 && SERVERS < NONE as usize);
        assert!(WORDS > 0 && WORDS * 64 < NONE as usize);
    };

    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        let () = Self::SIZES;
        Self {
            occupied: [0; WORDS],
            first: [[NONE; 64]; WORDS],
            last: [[NONE; 64]; WORDS],
            links: [Link::ALONE; SERVERS],
        }
    }

    /// The entry of the highest priority; of several, the one inserted first.
    #[inline(always)]
    #[must_use]
    pub fn first(&self) -> Option<u16> {
        self.first_level().map(|level| self.first_at(level))
    }

    /// The level of that entry.
    #[inline(always)]
    pub(crate) fn first_level(&self) -> Option<u16> {
        for (word, levels) in self.occupied.iter().enumerate() {
            if *levels != 0 {
                return Some((word * 64) as u16 + levels.trailing_zeros() as u16);
            }
        }
        None
    }

    /// The first entry of a level that has one.
    #[inline(always)]
    pub(crate) fn first_at(&self, level: u16) -> u16 {
        let (word, bit) = Self::place(level);
        self.first[word][bit]
    }

    /// Whether `entry` is in the queue at `level`.
    #[must_use]
    pub fn contains(&self, entry: u16, level: u16) -> bool {
        let (word, bit) = Self::place(level);
        if usize::from(level) >= WORDS * 64 || self.occupied[word] >> bit & 1 == 0 {
            return false;
        }
        let mut other = self.first[word][bit];
        while other != NONE && other != entry {
            other = self.links[usize::from(other) % SERVERS].next;
        }
        other == entry && entry != NONE
    }

    /// Inserts `entry` as the last of its level. No effect if it is there; it must not be at
    /// another.
    pub fn insert(&mut self, entry: u16, level: u16) {
        let exists = usize::from(entry) < SERVERS && usize::from(level) < WORDS * 64;
        if exists && !self.contains(entry, level) {
            self.append(entry, level);
        }
    }

    /// The same where both exist and the entry is not in the queue.
    #[inline(always)]
    pub(crate) fn append(&mut self, entry: u16, level: u16) {
        let (word, bit) = Self::place(level);
        if self.occupied[word] >> bit & 1 == 0 {
            self.occupied[word] |= 1 << bit;
            self.first[word][bit] = entry;
        } else {
            let previous = self.last[word][bit];
            self.links[usize::from(previous) % SERVERS].next = entry;
            self.links[usize::from(entry) % SERVERS].previous = previous;
        }
        self.last[word][bit] = entry;
    }

    /// Removes `entry` from `level`. No effect if it is not there.
    pub fn remove(&mut self, entry: u16, level: u16) {
        if self.contains(entry, level) {
            self.take_out(entry, level);
        }
    }

    /// The same where the entry is there.
    #[inline(always)]
    pub(crate) fn take_out(&mut self, entry: u16, level: u16) {
        let (word, bit) = Self::place(level);
        let next = self.links[usize::from(entry) % SERVERS].next;
        if self.first[word][bit] == entry && next == NONE {
            self.occupied[word] &= !(1 << bit);
        } else {
            self.take_out_of_several(entry, level);
        }
    }

    /// The same where the entry is the only one that there can be at that level.
    #[inline(always)]
    pub(crate) fn empty(&mut self, level: u16) {
        let (word, bit) = Self::place(level);
        self.occupied[word] &= !(1 << bit);
    }

    #[cold]
    fn take_out_of_several(&mut self, entry: u16, level: u16) {
        let (word, bit) = Self::place(level);
        let link = &mut self.links[usize::from(entry) % SERVERS];
        let Link { next, previous } = core::mem::replace(link, Link::ALONE);
        let first = self.first[word][bit] == entry;
        match first {
            true => self.first[word][bit] = next,
            false => self.links[usize::from(previous) % SERVERS].next = next,
        }
        match next {
            NONE => self.last[word][bit] = previous,
            _ => self.links[usize::from(next) % SERVERS].previous = previous,
        }
    }

    #[inline(always)]
    fn place(level: u16) -> (usize, usize) {
        (usize::from(level / 64) % WORDS, usize::from(level % 64))
    }
}

impl<const SERVERS: usize, const WORDS: usize> Default for ReadyQueue<SERVERS, WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_level_goes_first_and_in_it_the_one_inserted_first() {
        let mut queue = ReadyQueue::<8, 2>::new();
        assert_eq!(queue.first(), None);
        for (entry, level, first) in [(0, 127, 0), (1, 64, 1), (2, 63, 2), (3, 63, 2), (4, 0, 4)] {
            queue.insert(entry, level);
            assert_eq!(queue.first(), Some(first));
        }
        for (entry, level, first) in [
            (2, 63, Some(4)),
            (4, 0, Some(3)),
            (3, 63, Some(1)),
            (1, 64, Some(0)),
            (0, 127, None),
        ] {
            queue.remove(entry, level);
            assert_eq!(queue.first(), first);
            assert!(!queue.contains(entry, level));
        }
    }

    #[test]
    fn an_entry_is_removed_from_the_middle_of_its_level() {
        let mut queue = ReadyQueue::<4>::new();
        for entry in 0..4 {
            queue.insert(entry, 5);
        }
        queue.remove(1, 5);
        queue.remove(3, 5);
        queue.insert(1, 5);
        let mut order = std::vec::Vec::new();
        while let Some(entry) = queue.first() {
            order.push(entry);
            queue.remove(entry, 5);
        }
        assert_eq!(order, [0, 2, 1]);
    }

    #[test]
    fn neighbours_are_removed_one_after_the_other() {
        let mut queue = ReadyQueue::<4>::new();
        for entry in 0..4 {
            queue.insert(entry, 5);
        }
        queue.remove(1, 5);
        queue.remove(2, 5);
        queue.remove(0, 5);
        assert_eq!(queue.first(), Some(3));
    }

    #[test]
    fn what_does_not_exist_is_ignored() {
        let mut queue = ReadyQueue::<4>::new();
        queue.insert(4, 0);
        queue.insert(0, 64);
        queue.remove(3, 0);
        queue.remove(1000, 0);
        assert_eq!(queue.first(), None);
        queue.insert(1, 3);
        queue.insert(1, 3);
        assert_eq!(queue.first(), Some(1));
        queue.remove(1, 64);
        assert_eq!(queue.first(), Some(1));
        queue.remove(1, 3);
        assert_eq!(queue.first(), None);
    }
}
