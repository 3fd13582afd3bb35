//! Commits, votes and repairs of a replica set, from its trace. The program writes to 0, 1,
//! 16 and 64 pages of its heap in turn; where bytes of them were flipped before, so many
//! pages differ.
use super::measure::{Flip, Measured};
use super::paths::events;
use crate::error::Result;
use std::time::Duration;
use tern_trace::{Event, RepairResult, VoteOutcome};
use tern_units::Duration as Nanos;

/// Pages that the program writes to, epoch by epoch: see `tests/systems/timing/src/writer.rs`.
const WRITTEN: [u32; 4] = [0, 1, 16, 64];
/// Pages that are made to differ, one repair after the other.
const DIFFERING: [u32; 9] = [1, 16, 64, 1, 16, 64, 1, 16, 64];
/// The period, in `tests/systems/timing/replicas.toml`.
const PERIOD: Duration = Duration::from_millis(30);
/// From one repair to the next: the turn of the writes, twice.
const EPOCHS: u32 = 2 * WRITTEN.len() as u32;

/// How long the system runs.
pub const MILLIS: u64 = (1 + DIFFERING.len() as u64) * EPOCHS as u64 * PERIOD.as_millis() as u64;

/// The flips: each shortly before an epoch that writes to all of the pages, in the first
/// replica.
#[must_use]
pub fn flips() -> Vec<Flip> {
    let epochs = (EPOCHS - 1..).step_by(EPOCHS as usize);
    let flip = |(epoch, pages): (u32, u32)| Flip {
        at: PERIOD * epoch - Duration::from_millis(1),
        sandbox: 0,
        pages,
    };
    epochs.zip(DIFFERING).map(flip).collect()
}

/// Times, in ticks.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Of commits: from the first page's hash to the ballot's record, by pages that the
    /// job wrote to beside the ones that every job writes to.
    pub commits: Vec<(u32, Vec<u64>)>,
    /// From the ballot deadline, by which all ballots were cast, to a unanimous verdict.
    pub agreed: Vec<u64>,
    /// The same where 64 pages of one replica differ.
    pub differing: Vec<u64>,
    /// From one repaired page to the next.
    pub pages: Vec<u64>,
    /// From the target's first step to its last, by pages.
    pub repairs: Vec<(u32, Vec<u64>)>,
}

impl Found {
    /// What the trace of the system shows.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub fn of(measured: &Measured) -> Result<Self> {
        let mut found = Self {
            commits: WRITTEN.map(|pages| (pages, Vec::new())).to_vec(),
            repairs: [1, 16, 64].map(|pages| (pages, Vec::new())).to_vec(),
            ..Self::default()
        };
        let set = &measured.system.replica_sets[0];
        let trace = &measured.trace;
        let deadline = |epoch: u32| {
            let after = Nanos::from_nanos(u64::from(epoch) * set.period + set.ballot_deadline);
            trace.epoch_tsc + trace.tsc.to_ticks(after)
        };
        for core in &trace.cores {
            found.of_core(&events(core)?, deadline);
        }
        Ok(found)
    }

    fn of_core(&mut self, events: &[(u64, Event)], deadline: impl Fn(u32) -> u64) {
        let (mut commit, mut repair, mut page) = (None, None, None);
        let mut differing = 0;
        for &(tsc, event) in events {
            match event {
                Event::Scrub { .. } => commit = Some(tsc),
                // The first job writes to pages that no other does.
                Event::Ballot { epoch, .. } if epoch > 0 => {
                    let (_, ticks) = &mut self.commits[epoch as usize % WRITTEN.len()];
                    ticks.extend(commit.take().map(|begin| tsc - begin));
                }
                Event::Vote { epoch, outcome, .. } => {
                    let ticks = tsc.saturating_sub(deadline(epoch));
                    match outcome {
                        VoteOutcome::Unanimous => self.agreed.push(ticks),
                        VoteOutcome::Minority if differs(epoch) == Some(64) => {
                            self.differing.push(ticks);
                        }
                        _ => {}
                    }
                }
                Event::RepairStart { differing: all, .. } => {
                    if repair.is_none() {
                        (repair, differing) = (Some(tsc), all);
                    }
                    page = None;
                }
                Event::RepairPage { .. } => {
                    self.pages.extend(page.map(|last| tsc - last));
                    page = Some(tsc);
                }
                Event::RepairEnd {
                    result: RepairResult::Done,
                    ..
                } => {
                    let all = self.repairs.iter_mut();
                    let same = all.filter(|(pages, _)| *pages == differing);
                    for (_, ticks) in same {
                        ticks.extend(repair.map(|begin| tsc - begin));
                    }
                    repair = None;
                }
                _ => {}
            }
        }
    }
}

/// The pages that differ in an epoch by what [`flips`] did.
fn differs(epoch: u32) -> Option<u32> {
    let number = (epoch + 1).checked_div(EPOCHS)?.checked_sub(1)?;
    let exact = (epoch + 1).is_multiple_of(EPOCHS);
    DIFFERING.get(number as usize).copied().filter(|_| exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_flipped_before_an_epoch_that_writes_to_all_of_them() {
        let flips = flips();
        assert_eq!(flips.len(), DIFFERING.len());
        for flip in flips {
            let epoch = flip.at.as_millis() as u32 / PERIOD.as_millis() as u32 + 1;
            assert_eq!(WRITTEN[epoch as usize % 4], 64);
            assert_eq!(differs(epoch), Some(flip.pages));
            assert_eq!(differs(epoch + 1), None);
        }
    }

    #[test]
    fn times_are_from_the_first_record_to_the_last_of_each_kind() {
        let set = 0;
        let repair = |differing| Event::RepairStart { set, differing };
        let end = |result| Event::RepairEnd {
            set,
            copied: 1,
            result,
        };
        let page = tern_units::PageNumber(1);
        let events = [
            (100, Event::Scrub { set, first: page }),
            (140, Event::Ballot { set, epoch: 1 }),
            (200, repair(16)),
            (210, Event::RepairPage { set, page }),
            (225, Event::RepairPage { set, page }),
            (230, end(RepairResult::MoreRounds)),
            (300, repair(2)),
            (320, Event::RepairPage { set, page }),
            (330, end(RepairResult::Done)),
        ];
        let mut found = Found {
            commits: WRITTEN.map(|pages| (pages, Vec::new())).to_vec(),
            repairs: vec![(2, Vec::new()), (16, Vec::new())],
            ..Found::default()
        };
        found.of_core(&events, |_| 0);
        assert_eq!(found.commits[1], (1, vec![40]));
        assert_eq!(found.pages, [15]);
        assert_eq!(found.repairs, [(2, vec![]), (16, vec![130])]);
    }
}
