//! When something becomes due, by priority level: the earliest instant of each level, and of
//! each eight levels.
//!
//! The timer must fire for what may preempt the running server, and for nothing else:
//! an interrupt for less urgent work would be interference from below, which no
//! response-time analysis accounts for. So the question is for the earliest instant
//! *above* a level, and a plain queue ordered by time cannot answer it.

const NEVER: u64 = u64::MAX;

/// An instant, in nanoseconds, for each of 64 × `WORDS` levels, which is what levels are
/// below. An update looks at 8 instants, a question at 8 and at those of the groups above.
#[derive(Clone, Debug)]
pub(crate) struct Agenda<const WORDS: usize> {
    /// The least of each group.
    groups: [Group; WORDS],
    levels: [[Group; 8]; WORDS],
}

/// The instants of eight levels, or groups.
type Group = [u64; 8];

impl<const WORDS: usize> Agenda<WORDS> {
    pub(crate) const LAST_LEVEL: u16 = WORDS as u16 * 64 - 1;

    pub(crate) const fn new() -> Self {
        Self {
            groups: [[NEVER; 8]; WORDS],
            levels: [[[NEVER; 8]; 8]; WORDS],
        }
    }

    /// Sets the instant of a level.
    #[inline(always)]
    pub(crate) fn set(&mut self, level: u16, time: u64) {
        let (word, group, place) = Self::place(level);
        let levels = &mut self.levels[word][group];
        levels[place] = time;
        self.groups[word][group] = least_of(levels);
    }

    /// The earliest instant of all levels.
    #[inline(always)]
    pub(crate) fn earliest(&self) -> u64 {
        let groups = self.groups.iter();
        groups.fold(NEVER, |least, groups| least.min(least_of(groups)))
    }

    /// The earliest instant of the levels above `level` (smaller numbers), which is not 0.
    #[inline(always)]
    pub(crate) fn earliest_above(&self, level: u16) -> u64 {
        if level < 8 {
            return least_before(&self.levels[0][0], usize::from(level));
        }
        let (word, group, place) = Self::place(level);
        let words = self.groups.iter().take(word);
        let mut least = words.fold(NEVER, |least, groups| least.min(least_of(groups)));
        if group > 0 {
            least = least.min(least_before(&self.groups[word], group));
        }
        if place > 0 {
            least = least.min(least_before(&self.levels[word][group], place));
        }
        least
    }

    /// The highest level down to `last` with an instant at or before `now`, which is not the
    /// end of time. `last` is a level.
    #[inline(always)]
    pub(crate) fn first_due(&self, last: u16, now: u64) -> Option<u16> {
        let mut group = 0;
        loop {
            let (word, place) = (group / 8 % WORDS, group % 8);
            if self.groups[word][place] <= now {
                let levels = &self.levels[word][place];
                let level = (group * 8 + first_due(levels, now)) as u16;
                return (level <= last).then_some(level);
            }
            if group >= usize::from(last / 8) {
                return None;
            }
            group += 1;
        }
    }

    #[inline(always)]
    fn place(level: u16) -> (usize, usize, usize) {
        let level = usize::from(level);
        (level / 64 % WORDS, level / 8 % 8, level % 8)
    }
}

#[inline(always)]
fn least_of(group: &Group) -> u64 {
    let [a, b, c, d, e, f, g, h] = *group;
    a.min(b).min(c.min(d)).min(e.min(f).min(g.min(h)))
}

/// The least of the first `end`, of which there is one and not all eight.
#[inline(always)]
fn least_before(group: &Group, end: usize) -> u64 {
    let (mut least, mut place) = (group[0], 1);
    while place != end {
        least = least.min(group[place]);
        place = (place + 1) % 8;
    }
    least
}

/// Which is the first at or before `now`, where one is.
#[inline(always)]
fn first_due(group: &Group, now: u64) -> usize {
    let due = group.iter().position(|&time| time <= now);
    due.unwrap_or(7)
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
            for level in 1..128 {
                let above = table[..level].iter().copied().min().unwrap_or(NEVER);
                assert_eq!(agenda.earliest_above(level as u16), above);
            }
            for now in [127, least.min(NEVER - 1), NEVER - 1] {
                for last in [0, 7, 8, 63, 64, 127] {
                    let first = table.iter().position(|&time| time <= now);
                    let first = first.filter(|&level| level <= last);
                    let due = agenda.first_due(last as u16, now).map(usize::from);
                    assert_eq!(due, first);
                }
            }
        }
    }
}
