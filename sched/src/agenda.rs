//! When something becomes due, by priority level: the earliest instant of each level,
//! in a tournament tree.
//!
//! The timer must fire for what may preempt the running server, and for nothing else:
//! an interrupt for less urgent work would be interference from below, which no
//! response-time analysis accounts for. So the question is for the earliest instant
//! *above* a level, and a plain queue ordered by time cannot answer it.

const NEVER: u64 = u64::MAX;

/// An instant, in nanoseconds, for each of 64 × `WORDS` levels, which is what levels are
/// below. An update and each question look at 3 groups of 4, the questions at `WORDS`
/// trees.
#[derive(Clone, Debug)]
pub(crate) struct Agenda<const WORDS: usize> {
    trees: [Tree; WORDS],
}

/// Four of a tree's nodes below a common parent.
type Group = [u64; 4];

/// A tournament of 64 levels: every node is the least of the four below it.
#[derive(Clone, Debug)]
struct Tree {
    least: u64,
    quarters: Group,
    sixteenths: [Group; 4],
    levels: [Group; 16],
}

impl<const WORDS: usize> Agenda<WORDS> {
    pub(crate) const fn new() -> Self {
        Self {
            trees: [const { Tree::EMPTY }; WORDS],
        }
    }

    /// Sets the instant of a level.
    #[inline]
    pub(crate) fn set(&mut self, level: u16, time: u64) {
        let word = usize::from(level / 64) % WORDS;
        self.trees[word].set(usize::from(level % 64), time);
    }

    /// The earliest instant of all levels.
    #[inline]
    pub(crate) fn earliest(&self) -> u64 {
        self.trees
            .iter()
            .fold(NEVER, |least, tree| least.min(tree.least))
    }

    /// The earliest instant of the levels above `level` (smaller numbers).
    #[inline]
    pub(crate) fn earliest_above(&self, level: u16) -> u64 {
        if level == 0 {
            return NEVER;
        }
        let word = usize::from(level / 64) % WORDS;
        let above = self.trees.iter().take(word);
        let least = above.fold(NEVER, |least, tree| least.min(tree.least));
        least.min(self.trees[word].earliest_above(usize::from(level % 64)))
    }

    /// The highest level with an instant at or before `now`, which is not the end of time.
    #[inline]
    pub(crate) fn first_due(&self, now: u64) -> Option<u16> {
        let word = self.trees.iter().position(|tree| tree.least <= now)?;
        Some((word * 64 + self.trees[word].first_due(now)) as u16)
    }
}

impl Tree {
    const EMPTY: Self = Self {
        least: NEVER,
        quarters: [NEVER; 4],
        sixteenths: [[NEVER; 4]; 4],
        levels: [[NEVER; 4]; 16],
    };

    #[inline]
    fn set(&mut self, level: usize, time: u64) {
        let (quarter, sixteenth) = (level / 16 % 4, level / 4 % 16);
        self.levels[sixteenth][level % 4] = time;
        let least = least_of(&self.levels[sixteenth]);
        let parent = &mut self.sixteenths[quarter][sixteenth % 4];
        if *parent == least {
            return;
        }
        *parent = least;
        let least = least_of(&self.sixteenths[quarter]);
        let parent = &mut self.quarters[quarter];
        if *parent == least {
            return;
        }
        *parent = least;
        self.least = least_of(&self.quarters);
    }

    #[inline]
    fn earliest_above(&self, level: usize) -> u64 {
        let (quarter, sixteenth) = (level / 16 % 4, level / 4 % 16);
        let mut least = least_before(&self.levels[sixteenth], level % 4);
        if level >= 4 {
            least = least.min(least_before(&self.sixteenths[quarter], sixteenth % 4));
        }
        if level >= 16 {
            least = least.min(least_before(&self.quarters, quarter));
        }
        least
    }

    /// The first level that is due where one is.
    #[inline]
    fn first_due(&self, now: u64) -> usize {
        let quarter = first_due(&self.quarters, now);
        let sixteenth = quarter * 4 + first_due(&self.sixteenths[quarter], now);
        sixteenth * 4 + first_due(&self.levels[sixteenth], now)
    }
}

#[inline]
fn least_of(group: &Group) -> u64 {
    let [a, b, c, d] = *group;
    a.min(b).min(c.min(d))
}

/// The least of the first `end`, not all four.
#[inline]
fn least_before(group: &Group, end: usize) -> u64 {
    let [a, b, c, _] = *group;
    match end {
        0 => NEVER,
        1 => a,
        2 => a.min(b),
        _ => a.min(b).min(c),
    }
}

/// Which is the first at or before `now`, where one is.
#[inline]
fn first_due(group: &Group, now: u64) -> usize {
    let [a, b, c, _] = *group;
    if a <= now {
        0
    } else if b <= now {
        1
    } else if c <= now {
        2
    } else {
        3
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
            for now in [127, least.min(NEVER - 1), NEVER - 1] {
                let first = table.iter().position(|&time| time <= now);
                let due = agenda.first_due(now).map(usize::from);
                assert_eq!(due, first);
            }
        }
    }
}
