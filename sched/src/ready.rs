//! Which servers may run, by priority: first-in first-out lists, one a level, and a
//! bitmap of the levels that are not empty.

const NONE: u16 = u16::MAX;
/// In place of the next entry, of an entry that is in no list.
const ABSENT: u16 = NONE - 1;

/// A queue of at most `SERVERS` entries over 64 × `WORDS` priority levels, 0 the
/// highest. Every operation takes constant time (the first entry: `WORDS` steps).
///
/// Entries are numbers below `SERVERS`; numbers and levels beyond are ignored.
#[derive(Clone, Debug)]
pub struct ReadyQueue<const SERVERS: usize, const WORDS: usize = 1> {
    occupied: [u64; WORDS],
    first: [[u16; 64]; WORDS],
    last: [[u16; 64]; WORDS],
    links: [Link; SERVERS],
}

#[derive(Clone, Copy, Debug)]
struct Link {
    next: u16,
    /// Of an entry that is not the first of its level.
    previous: u16,
}

impl Link {
    const ABSENT: Self = Self {
        next: ABSENT,
        previous: NONE,
    };
    const ALONE: Self = Self {
        next: NONE,
        previous: NONE,
    };
}

impl<const SERVERS: usize, const WORDS: usize> ReadyQueue<SERVERS, WORDS> {
    const SIZES: () = {
        assert!(SERVERS > 0 && SERVERS < ABSENT as usize);
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
            links: [Link::ABSENT; SERVERS],
        }
    }

    /// The entry of the highest priority; of several, the one inserted first.
    #[inline(always)]
    #[must_use]
    pub fn first(&self) -> Option<u16> {
        for (word, levels) in self.occupied.iter().zip(&self.first) {
            if *word != 0 {
                return Some(levels[word.trailing_zeros() as usize & 63]);
            }
        }
        None
    }

    /// The level of that entry; the lowest if there is none.
    #[inline(always)]
    pub(crate) fn first_level(&self) -> u16 {
        for (word, levels) in self.occupied.iter().enumerate() {
            if *levels != 0 {
                return (word * 64) as u16 + levels.trailing_zeros() as u16;
            }
        }
        (WORDS * 64 - 1) as u16
    }

    /// Whether `entry` is in the queue.
    #[must_use]
    pub fn contains(&self, entry: u16) -> bool {
        self.links
            .get(usize::from(entry))
            .is_some_and(|link| link.next != ABSENT)
    }

    /// Inserts `entry` as the last of its level. No effect if it is in the queue.
    pub fn insert(&mut self, entry: u16, level: u16) {
        let exists = usize::from(entry) < SERVERS && usize::from(level) < WORDS * 64;
        if exists && !self.contains(entry) {
            self.append(entry, level);
        }
    }

    /// The same where both exist and the entry is not in the queue.
    #[inline(always)]
    pub(crate) fn append(&mut self, entry: u16, level: u16) {
        let (word, bit) = (usize::from(level / 64) % WORDS, usize::from(level % 64));
        if self.occupied[word] >> bit & 1 == 0 {
            self.occupied[word] |= 1 << bit;
            self.first[word][bit] = entry;
            self.links[usize::from(entry) % SERVERS] = Link::ALONE;
        } else {
            let previous = self.last[word][bit];
            self.links[usize::from(previous) % SERVERS].next = entry;
            self.links[usize::from(entry) % SERVERS] = Link {
                next: NONE,
                previous,
            };
        }
        self.last[word][bit] = entry;
    }

    /// Removes `entry`, which was inserted at `level`. No effect if it is not in the queue.
    pub fn remove(&mut self, entry: u16, level: u16) {
        if self.contains(entry) && usize::from(level) < WORDS * 64 {
            self.take_out(entry, level);
        }
    }

    /// The same where the entry is in the queue.
    #[inline(always)]
    pub(crate) fn take_out(&mut self, entry: u16, level: u16) {
        let (word, bit) = (usize::from(level / 64) % WORDS, usize::from(level % 64));
        let link = &mut self.links[usize::from(entry) % SERVERS];
        let Link { next, previous } = *link;
        *link = Link::ABSENT;
        if self.first[word][bit] != entry {
            self.links[usize::from(previous) % SERVERS].next = next;
        } else if next == NONE {
            self.occupied[word] &= !(1 << bit);
            return;
        } else {
            self.first[word][bit] = next;
        }
        match next {
            NONE => self.last[word][bit] = previous,
            _ => self.links[usize::from(next) % SERVERS].previous = previous,
        }
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
            assert!(!queue.contains(entry));
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
    fn what_does_not_exist_is_ignored() {
        let mut queue = ReadyQueue::<4>::new();
        queue.insert(4, 0);
        queue.insert(0, 64);
        queue.remove(3, 0);
        queue.remove(1000, 0);
        assert_eq!(queue.first(), None);
        queue.insert(1, 3);
        queue.insert(1, 0);
        assert_eq!(queue.first(), Some(1));
        queue.remove(1, 64);
        assert_eq!(queue.first(), Some(1));
        queue.remove(1, 3);
        assert_eq!(queue.first(), None);
    }
}
