//! How long a core runs with nothing able to preempt it: from the first instruction with
//! interrupts off to the next with interrupts on, the hypervisor's included, which runs
//! with interrupts off. Found in two boots of one image, the shipped one.
//!
//! The first boot stops every so many instructions, for as long as it takes, and asks each
//! core for its interrupt flag. Stops in a row at which it is off are a [`Stretch`]: no
//! section longer than from stop to stop goes unseen, and none in a stretch is longer than
//! [`Stretch::longest`]. The second boot goes instruction by instruction through the
//! longest stretches, which tells where their sections begin and end; until no other can
//! hold a longer one than was found.
use crate::emulator::bochs::Machine;
use crate::emulator::bochs::listing::{Ask, Standing};
use crate::error::{Error, Result};
use std::collections::VecDeque;
use std::ops::Range;

/// Stops that are asked for at once.
const BATCH: u64 = 1000;

/// Stops in a row at which a core's interrupts were off. Numbers count the instructions
/// that each core could have executed since the search began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The core.
    pub core: usize,
    /// The last stop before, at which they were on.
    pub before: u64,
    /// The first stop after, at which they are on again.
    pub after: u64,
}

impl Stretch {
    /// Instructions of a section in it, at most.
    #[must_use]
    pub const fn longest(&self) -> u64 {
        self.after - self.before - 1
    }

    /// Whether its core's listing of `window` shows interrupts on before and after it.
    fn is_in(&self, window: &Range<u64>, listing: &[Standing]) -> bool {
        [self.before, self.after].into_iter().all(|at| {
            let standing = listing.get((at - window.start - 1) as usize);
            standing.is_some_and(|standing| !standing.masked)
        })
    }
}

/// A section that nothing could preempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The core.
    pub core: usize,
    /// Addresses of its instructions, in order.
    pub instructions: Vec<u64>,
}

/// What is looked at on a machine's way.
#[derive(Debug)]
pub enum Look {
    /// Every core's interrupt flag, at stops.
    At(Stops),
    /// Every core's instructions, between some of the same stops.
    Between(Windows),
}

impl Look {
    /// Lets `machine` run on, for `ticks` ticks at most, rounded up to a stop, but for the time
    /// in which its one core is idle; returns where it stands, or `None` when all has been
    /// looked at.
    ///
    /// # Errors
    /// If the machine does not run.
    pub fn run(&mut self, machine: &mut Machine, ticks: u64) -> Result<Option<u64>> {
        match self {
            Self::At(stops) => stops.run(machine, ticks).map(Some),
            Self::Between(windows) => windows.run(machine, ticks),
        }
    }
}

/// The stretches of a run on its way.
#[derive(Clone, Debug)]
pub struct Stops {
    every: u32,
    now: u64,
    last_on: Vec<Option<u64>>,
    /// Those that have come to their end.
    pub found: Vec<Stretch>,
}

impl Stops {
    /// Those that a stop every so many instructions shows.
    #[must_use]
    pub const fn every(every: u32) -> Self {
        Self {
            every,
            now: 0,
            last_on: Vec::new(),
            found: Vec::new(),
        }
    }

    fn run(&mut self, machine: &mut Machine, ticks: u64) -> Result<u64> {
        let stops = ticks.div_ceil(u64::from(self.every)).min(BATCH);
        let stop = machine.look(Ask::Flags, stops, self.every, |cores| self.stop(cores))?;
        Ok(stop.ticks)
    }

    fn stop(&mut self, cores: &[Standing]) {
        self.now += u64::from(self.every);
        self.last_on.resize(cores.len(), None);
        for (core, (last, standing)) in self.last_on.iter_mut().zip(cores).enumerate() {
            if standing.masked {
                continue;
            }
            let (before, after) = (last.replace(self.now), self.now);
            let in_between = |before: &u64| before + u64::from(self.every) < after;
            if let Some(before) = before.filter(in_between) {
                self.found.push(Stretch {
                    core,
                    before,
                    after,
                });
            }
        }
    }
}

/// Parts of a run.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    every: u32,
    now: u64,
    stretches: Vec<Stretch>,
    left: VecDeque<Range<u64>>,
    listings: Vec<Vec<Standing>>,
    /// The sections in those that are done.
    pub found: Vec<Section>,
}

impl Windows {
    /// Those around `stretches`, whatever their order, that a stop every so many
    /// instructions showed.
    #[must_use]
    pub fn around(stretches: &[Stretch], every: u32) -> Self {
        // A section may begin right after the stop before.
        let begin = |it: &Stretch| it.before - u64::from(every);
        let windows = stretches.iter().map(|it| begin(it)..it.after);
        let mut all: Vec<_> = windows.collect();
        all.sort_by_key(|window| window.start);
        let mut left = VecDeque::<Range<u64>>::new();
        for window in all {
            match left.back_mut() {
                Some(last) if window.start <= last.end => last.end = last.end.max(window.end),
                _ => left.push_back(window),
            }
        }
        Self {
            every,
            stretches: stretches.to_vec(),
            left,
            ..Self::default()
        }
    }

    fn run(&mut self, machine: &mut Machine, ticks: u64) -> Result<Option<u64>> {
        let Some(window) = self.left.front().cloned() else {
            return Ok(None);
        };
        // What is done to the machine on its way is done where the first boot stopped for it.
        let most = ticks.next_multiple_of(u64::from(self.every));
        if self.now < window.start {
            let count = (window.start - self.now).min(most);
            self.now += count;
            let stop = machine.look(Ask::Nothing, 1, count as u32, |_| {})?;
            return Ok(Some(stop.ticks));
        }
        let count = (window.end - self.now).min(most).min(BATCH);
        self.now += count;
        let listings = &mut self.listings;
        let stop = machine.look(Ask::Places, count, 1, |cores| {
            listings.resize(cores.len(), Vec::new());
            let all = listings.iter_mut().zip(cores);
            all.for_each(|(listing, standing)| listing.push(*standing));
        })?;
        if self.now == window.end {
            self.left.pop_front();
            let same = |it: &Stretch| {
                !window.contains(&it.before) || it.is_in(&window, &self.listings[it.core])
            };
            if !self.stretches.iter().all(same) {
                return Err(Error::failure("a second boot was not like the first"));
            }
            for (core, listing) in std::mem::take(&mut self.listings).iter().enumerate() {
                self.found.extend(sections(core, listing));
            }
        }
        Ok(Some(stop.ticks))
    }
}

/// The sections of a core's listing, in order; not those that its begin or end cuts off.
fn sections(core: usize, listing: &[Standing]) -> Vec<Section> {
    let runs: Vec<_> = listing
        .chunk_by(|one, next| one.masked == next.masked)
        .collect();
    let [_, inner @ .., _] = &runs[..] else {
        return Vec::new();
    };
    let masked = inner.iter().filter(|run| run[0].masked);
    let section = |run: &&[Standing]| Section {
        core,
        instructions: run.iter().filter_map(|standing| standing.address).collect(),
    };
    masked.map(section).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(address: u64, flag: char) -> Standing {
        Standing {
            address: Some(address),
            masked: flag == '-',
        }
    }

    #[test]
    fn a_section_is_a_run_of_instructions_with_interrupts_off() {
        let listing = |flags: &str| -> Vec<Standing> {
            let all = (0x100..).zip(flags.chars());
            all.map(|(address, flag)| standing(address, flag)).collect()
        };
        let section = |instructions: Range<u64>| Section {
            core: 2,
            instructions: instructions.collect(),
        };
        assert_eq!(
            sections(2, &listing("--+++---+-++--")),
            [section(0x105..0x108), section(0x109..0x10a)]
        );
        assert_eq!(sections(2, &listing("---")), []);
        assert_eq!(sections(2, &[]), []);
    }

    fn stretch(core: usize, before: u64, after: u64) -> Stretch {
        Stretch {
            core,
            before,
            after,
        }
    }

    #[test]
    fn stops_in_a_row_with_interrupts_off_are_a_stretch_of_their_core() {
        let mut stops = Stops::every(50);
        for (first, second) in "-++--+-+-".chars().zip("+-+++---+".chars()) {
            stops.stop(&[standing(0, first), standing(0, second)]);
        }
        let found = [(1, 50, 150), (0, 150, 300), (0, 300, 400), (1, 250, 450)];
        let found = found.map(|(core, before, after)| stretch(core, before, after));
        assert_eq!(stops.found, found);
        // On, some 49 instructions, off, 49, off, some 49, on.
        assert_eq!(found[1].longest(), 149);
    }

    #[test]
    fn windows_that_touch_are_one() {
        let stretches = [(0, 300, 330), (1, 100, 150), (2, 160, 180), (3, 110, 130)];
        let stretches = stretches.map(|(core, before, after)| stretch(core, before, after));
        let windows = Windows::around(&stretches, 10);
        assert_eq!(windows.left, [90..180, 290..330]);
    }
}
