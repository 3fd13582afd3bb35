//! When something becomes due, by priority level: the earliest instant of each level,
//! in a tournament tree.
//!
//! The timer must fire for what may preempt the running server, and for nothing else:
//! an interrupt for less urgent work would be interference from below, which no
//! response-time analysis accounts for. So the question is for the earliest instant
//! *above* a level, and a plain queue ordered by time cannot answer it.

const NEVER: u64 = u64::MAX;

/// The earliest instant, in nanoseconds, of each of 64 × `WORDS` levels. An update and
/// each question take 6 steps, the questions `WORDS` more.
#[derive(Clone, Debug)]
pub(crate) struct Agenda<const WORDS: usize> {
    /// A binary tree for each 64 levels: the root at 1, the leaves from 64 on, every
    /// node the least of its two children.
    trees: [[u64; 128]; WORDS],
}

impl<const WORDS: usize> Agenda<WORDS> {
    pub(crate) const fn new() -> Self {
        Self {
            trees: [[NEVER; 128]; WORDS],
        }
    }

    /// Sets the instant of a level.
    pub(crate) fn set(&mut self, level: u16, time: u64) {
        let Some(tree) = self.trees.get_mut(usize::from(level / 64)) else {
            return;
        };
        let mut node = 64 + usize::from(level % 64);
        tree[node] = time;
        while node > 1 {
            let least = tree[node].min(tree[node ^ 1]);
            node /= 2;
            if tree[node] == least {
                return;
            }
            tree[node] = least;
        }
    }

    /// The earliest instant of all levels.
    pub(crate) fn earliest(&self) -> u64 {
        self.trees
            .iter()
            .fold(NEVER, |least, tree| least.min(tree[1]))
    }

    /// The earliest instant of the levels above `level` (smaller numbers).
    pub(crate) fn earliest_above(&self, level: u16) -> u64 {
        let word = usize::from(level / 64);
        let mut least = NEVER;
        for tree in self.trees.iter().take(word) {
            least = least.min(tree[1]);
        }
        if let Some(tree) = self.trees.get(word) {
            let mut node = 64 + usize::from(level % 64);
            while node > 1 {
                if node & 1 == 1 {
                    least = least.min(tree[node - 1]);
                }
                node /= 2;
            }
        }
        least
    }

    /// The level with the earliest instant at or before `now`.
    pub(crate) fn due(&self, now: u64) -> Option<u16> {
        let time = self.earliest();
        if time > now || time == NEVER {
            return None;
        }
        let word = self.trees.iter().position(|tree| tree[1] == time)?;
        let tree = &self.trees[word];
        let mut node = 1;
        while node < 64 {
            node *= 2;
            if tree[node] != time {
                node += 1;
            }
        }
        Some((word * 64 + node - 64) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

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
            let first = table.iter().position(|&time| time == least && time < NEVER);
            let due: Vec<_> = agenda.due(u64::MAX).into_iter().map(usize::from).collect();
            assert_eq!(due, first.into_iter().collect::<Vec<_>>());
            assert_eq!(agenda.due(127).is_some(), least <= 127);
        }
    }
}
