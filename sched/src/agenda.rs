//! When something becomes due, by priority level: the earliest instant of each level, and of
//! those above it.
//!
//! The timer must fire for what may preempt the running server, and for nothing else:
//! an interrupt for less urgent work would be interference from below, which no
//! response-time analysis accounts for. So the question is for the earliest instant
//! *above* a level, and a plain queue ordered by time cannot answer it.

const NEVER: u64 = u64::MAX;

/// An instant, in nanoseconds, for each of 64 × `WORDS` levels, which is what levels are
/// below. Eight levels are a group, four groups a block. An update goes through the levels of
/// a group and, if there are several groups, through those of a block; a question through the
/// blocks.
#[derive(Clone, Debug)]
pub(crate) struct Agenda<const WORDS: usize> {
    levels: [[u64; 64]; WORDS],
    /// The least of each group.
    groups: [[u64; 8]; WORDS],
    /// The least of each block.
    blocks: [[u64; 2]; WORDS],
    /// The least of the levels above each in its group.
    above_levels: [[u64; 64]; WORDS],
    /// The least of the groups above each in its block.
    above_groups: [[u64; 8]; WORDS],
    /// Whether there are levels beyond the first group.
    several: bool,
}

impl<const WORDS: usize> Agenda<WORDS> {
    pub(crate) const fn new() -> Self {
        Self {
            levels: [[NEVER; 64]; WORDS],
            groups: [[NEVER; 8]; WORDS],
            blocks: [[NEVER; 2]; WORDS],
            above_levels: [[NEVER; 64]; WORDS],
            above_groups: [[NEVER; 8]; WORDS],
            several: false,
        }
    }

    /// Takes a level into use.
    pub(crate) fn include(&mut self, level: u16) {
        self.several |= level >= 8;
        // As long as there is one group nothing looks at its block.
        self.update_block(0, 0);
    }

    /// Sets the instant of a level, which is in use.
    #[inline(always)]
    pub(crate) fn set(&mut self, level: u16, time: u64) {
        let (word, place) = Self::place(level);
        self.levels[word][place] = time;
        self.groups[word][place / 8] = spread(
            &self.levels[word].as_chunks::<8>().0[place / 8],
            &mut self.above_levels[word].as_chunks_mut::<8>().0[place / 8],
        );
        if self.several {
            self.update_block(word, place / 32);
        }
    }

    /// Brings a block, of which a group has changed, up to date.
    #[inline(always)]
    fn update_block(&mut self, word: usize, block: usize) {
        self.blocks[word][block] = spread(
            &self.groups[word].as_chunks::<4>().0[block],
            &mut self.above_groups[word].as_chunks_mut::<4>().0[block],
        );
    }

    /// The instant of a level.
    #[inline(always)]
    pub(crate) fn at(&self, level: u16) -> u64 {
        let (word, place) = Self::place(level);
        self.levels[word][place]
    }

    /// The earliest instant of all levels.
    #[inline(always)]
    pub(crate) fn earliest(&self) -> u64 {
        match self.several {
            true => *self.blocks.as_flattened().iter().min().unwrap_or(&NEVER),
            false => self.groups[0][0],
        }
    }

    /// The earliest instant of the levels above `level` (smaller numbers).
    #[inline(always)]
    pub(crate) fn above(&self, level: u16) -> u64 {
        let (word, place) = Self::place(level);
        let mut least = self.above_levels[word][place];
        if level >= 8 {
            least = least.min(self.above_groups[word][place / 8]);
            for (&block, below) in self.blocks.as_flattened().iter().zip((32..).step_by(32)) {
                if level >= below {
                    least = least.min(block);
                }
            }
        }
        least
    }

    /// The highest level with an instant at or before `now`.
    #[inline(always)]
    pub(crate) fn first_due(&self, now: u64) -> Option<u16> {
        let group = match self.several {
            true => {
                let mut blocks = self.blocks.as_flattened().iter();
                let block = blocks.position(|&block| block <= now)?;
                let groups = &self.above_groups.as_flattened().as_chunks::<4>().0[block];
                block * 4 + first_due(groups, now)
            }
            false if self.groups[0][0] <= now => 0,
            false => return None,
        };
        let levels = self.above_levels.as_flattened().as_chunks::<8>().0;
        Some((group * 8 + first_due(&levels[group % (WORDS * 8)], now)) as u16)
    }

    #[inline(always)]
    fn place(level: u16) -> (usize, usize) {
        (usize::from(level / 64) % WORDS, usize::from(level % 64))
    }
}

/// Writes down the least of the values above each but the first, which has none, and returns
/// the least of all.
#[inline(always)]
fn spread(values: &[u64], above: &mut [u64]) -> u64 {
    let (mut to, mut least) = (above.iter_mut(), NEVER);
    to.next();
    for &value in values {
        least = least.min(value);
        if let Some(to) = to.next() {
            *to = least;
        }
    }
    least
}

/// The place of the first of several that is due by `now`, as one is, from the least of those
/// above each.
#[inline(always)]
fn first_due<const COUNT: usize>(above: &[u64; COUNT], now: u64) -> usize {
    let (mut first, mut half) = (0, COUNT / 2);
    while half > 0 {
        if above[first + half] > now {
            first += half;
        }
        half /= 2;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_plain_table() {
        let mut agenda = Agenda::<2>::new();
        let mut table = [NEVER; 128];
        let mut random = 1_u64;
        for round in 0..10_000 {
            // At first few levels are in use, then all.
            let last = if round < 5_000 { 7 } else { 127 };
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let level = (random >> 57) as u16 & last as u16;
            agenda.include(level);
            let time = if random >> 40 & 3 == 0 {
                NEVER
            } else {
                random >> 32 & 0xFF
            };
            agenda.set(level, time);
            table[usize::from(level)] = time;

            let least = *table.iter().min().unwrap();
            assert_eq!(agenda.earliest(), least);
            for level in 0..=last {
                let above = table[..level].iter().copied().min().unwrap_or(NEVER);
                assert_eq!(agenda.above(level as u16), above);
            }
            for now in [127, least.min(NEVER - 1), NEVER - 1] {
                let first = table.iter().position(|&time| time <= now);
                assert_eq!(agenda.first_due(now).map(usize::from), first);
            }
        }
    }
}
