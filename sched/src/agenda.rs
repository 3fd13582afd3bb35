//! When something becomes due, by priority level: the earliest instant of each level,
//! in a tournament tree.
//!
//! The timer must fire for what may preempt the running server, and for nothing else:
//! an interrupt for less urgent work would be interference from below, which no
//! response-time analysis accounts for. So the question is for the earliest instant
//! *above* a level, and a plain queue ordered by time cannot answer it.

const NEVER: u64 = u64::MAX;

/// An instant, in nanoseconds, for each of 64 × `WORDS` levels. An update and each
/// question take at most 6 steps, the questions `WORDS` more.
#[derive(Clone, Debug)]
pub(crate) struct Agenda<const WORDS: usize> {
    /// A binary tree for each 64 levels: the root at 1, the leaves from 64 on, every
    /// node the least of its two children.
    trees: [[u64; 2 * LEVELS]; WORDS],
}

const LEVELS: usize = 64;
/// Steps from a leaf to the root.
const HEIGHT: u32 = LEVELS.ilog2();

impl<const WORDS: usize> Agenda<WORDS> {
    pub(crate) const fn new() -> Self {
        Self {
            trees: [[NEVER; 2 * LEVELS]; WORDS],
        }
    }

    /// Sets the instant of a level.
    #[inline]
    pub(crate) fn set(&mut self, level: u16, time: u64) {
        let Some(tree) = self.trees.get_mut(usize::from(level) / LEVELS) else {
            return;
        };
        let mut node = LEVELS | usize::from(level) % LEVELS;
        let mut least = time;
        for _ in 0..HEIGHT {
            tree[node] = least;
            least = least.min(tree[node ^ 1]);
            node /= 2;
            if tree[node] == least {
                return;
            }
        }
        tree[node] = least;
    }

    /// The earliest instant of all levels.
    #[inline]
    pub(crate) fn earliest(&self) -> u64 {
        self.trees
            .iter()
            .fold(NEVER, |least, tree| least.min(tree[1]))
    }

    /// The earliest instant of the levels above `level` (smaller numbers).
    #[inline]
    pub(crate) fn earliest_above(&self, level: u16) -> u64 {
        let word = usize::from(level) / LEVELS;
        let mut least = NEVER;
        for tree in self.trees.iter().take(word) {
            least = least.min(tree[1]);
        }
        let Some(tree) = self.trees.get(word) else {
            return least;
        };
        // Where the way from the root goes right, all below the left child is above.
        let mut rights = usize::from(level) % LEVELS;
        let leaf = LEVELS | rights;
        while rights != 0 {
            let left = leaf >> rights.trailing_zeros() ^ 1;
            least = least.min(tree[left % (2 * LEVELS)]);
            rights &= rights - 1;
        }
        least
    }

    /// The highest level with an instant at or before `now`.
    #[inline]
    pub(crate) fn first_due(&self, now: u64) -> Option<u16> {
        let now = now.min(NEVER - 1);
        let word = self.trees.iter().position(|tree| tree[1] <= now)?;
        let tree = &self.trees[word];
        let mut node = 1;
        for _ in 0..HEIGHT {
            node = node << 1 | usize::from(tree[node << 1] > now);
        }
        Some((word * LEVELS + node % LEVELS) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_plain_table() {
        let mut agenda = Agenda::<2>::new();
        let mut table = [NEVER; 128];
        let mut random = 1_u64;
        for _ in 0..5_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let level = (random >> 57) as u16;
            let time = if random >> 40 & 3 == 0 {
                NEVER
            } else {
                random >> 32 & 0xFF
            };
            agenda.set(level, time);
            table[usize::from(level)] = time;

            let least = *table.iter().min().unwrap();
            assert_eq!(agenda.earliest(), least);
            for level in 0..128 {
                let above = table[..level].iter().copied().min().unwrap_or(NEVER);
                assert_eq!(agenda.earliest_above(level as u16), above);
            }
            for now in [127, least, u64::MAX] {
                let first = table
                    .iter()
                    .position(|&time| time <= now && time < NEVER);
                let due = agenda.first_due(now).map(usize::from);
                assert_eq!(due, first);
            }
        }
    }
}
