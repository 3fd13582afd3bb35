//! When something becomes due, by priority level: the earliest instant of each level, and of
//! each level and those above it in its group of eight.
//!
//! The timer must fire for what may preempt the running server, and for nothing else:
//! an interrupt for less urgent work would be interference from below, which no
//! response-time analysis accounts for. So the question is for the earliest instant
//! *above* a level, and a plain queue ordered by time cannot answer it.

const NEVER: u64 = u64::MAX;

/// An instant, in nanoseconds, for each of 64 × `WORDS` levels, which is what levels are
/// below. An update looks at 8 instants, a question at one of its group and one of each
/// group above.
#[derive(Clone, Debug)]
pub(crate) struct Agenda<const WORDS: usize> {
    levels: [[u64; 64]; WORDS],
    /// The least of each level and those above it in its group.
    least: [[u64; 64]; WORDS],
}

impl<const WORDS: usize> Agenda<WORDS> {
    pub(crate) const LAST_LEVEL: u16 = WORDS as u16 * 64 - 1;

    pub(crate) const fn new() -> Self {
        Self {
            levels: [[NEVER; 64]; WORDS],
            least: [[NEVER; 64]; WORDS],
        }
    }

    /// Sets the instant of a level.
    #[inline(always)]
    pub(crate) fn set(&mut self, level: u16, time: u64) {
        let (word, place) = Self::place(level);
        self.levels[word][place] = time;
        let levels = &self.levels[word].as_chunks::<8>().0[place / 8];
        let all = &mut self.least[word].as_chunks_mut::<8>().0[place / 8];
        let mut least = NEVER;
        for (to, &level) in all.iter_mut().zip(levels) {
            least = least.min(level);
            *to = least;
        }
    }

    /// The earliest instant of all levels.
    #[inline(always)]
    pub(crate) fn earliest(&self) -> u64 {
        let groups = self.least.as_flattened().as_chunks::<8>().0.iter();
        groups.fold(NEVER, |least, group| least.min(group[7]))
    }

    /// The earliest instant of the levels above `level` (smaller numbers), which is not 0.
    #[inline(always)]
    pub(crate) fn earliest_above(&self, level: u16) -> u64 {
        let (word, place) = Self::place(level.wrapping_sub(1));
        let mut least = self.least[word][place];
        if level > 8 {
            for groups in &self.least[..word] {
                least = least.min(least_of(groups, 8));
            }
            least = least.min(least_of(&self.least[word], place / 8));
        }
        least
    }

    /// The highest level down to `last` with an instant at or before `now`, which is not the
    /// end of time. `last` is a level.
    #[inline(always)]
    pub(crate) fn first_due(&self, last: u16, now: u64) -> Option<u16> {
        let mut first = 0;
        loop {
            if self.least_of_group(first + 7) <= now {
                let (word, place) = Self::place(first);
                let levels = &self.levels[word].as_chunks::<8>().0[place / 8];
                let due = levels.iter().position(|&time| time <= now);
                let level = first + due.map_or(7, |place| place as u16);
                return (level <= last).then_some(level);
            }
            if first >= last & !7 {
                return None;
            }
            first += 8;
        }
    }

    /// The least of a level and those above it in its group.
    #[inline(always)]
    fn least_of_group(&self, level: u16) -> u64 {
        let (word, place) = Self::place(level);
        self.least[word][place]
    }

    #[inline(always)]
    fn place(level: u16) -> (usize, usize) {
        (usize::from(level / 64) % WORDS, usize::from(level % 64))
    }
}

/// The least of the first groups.
#[inline(always)]
fn least_of(groups: &[u64; 64], count: usize) -> u64 {
    let groups = groups.as_chunks::<8>().0.iter().take(count);
    groups.fold(NEVER, |least, group| least.min(group[7]))
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
