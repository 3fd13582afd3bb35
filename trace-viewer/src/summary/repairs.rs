//! Repairs: what each round did, and the vote that led to them.
use std::collections::BTreeMap;

use serde::Serialize;
use tern_trace::{Event, RepairResult, Trace};

use super::votes::{Vote, several};
use crate::layout::Layout;
use crate::names::{outcome_name, result_name};

/// One repair, of one round or more.
#[derive(Clone, Debug, Serialize)]
pub struct Repair {
    /// The set.
    pub set: String,
    /// The sandbox that was repaired.
    pub sandbox: String,
    /// The epoch of the vote that found this replica faulty: the first of the unbroken
    /// series before the repair.
    pub detected_epoch: Option<u32>,
    /// When that was.
    pub detected_ns: Option<i64>,
    /// How that vote went.
    pub detected_by: Option<&'static str>,
    /// When the first round began.
    pub started_ns: i64,
    /// When the last round ended; `None` if it did not.
    pub ended_ns: Option<i64>,
    /// Time from the one to the other.
    pub duration_ns: Option<u64>,
    /// Rounds.
    pub rounds: u64,
    /// Pages that differed, over all rounds; one that a round left over counts once.
    pub differing: u64,
    /// Pages copied, over all rounds.
    pub copied: u64,
    /// The pages, in the order of copying.
    pub pages: Vec<u32>,
    /// `done`, `failed` or `unfinished`.
    pub result: &'static str,
    /// The epoch from which the replica takes part again.
    pub rejoined_epoch: Option<u32>,
    /// When that was.
    pub rejoined_ns: Option<i64>,
}

/// Repairs under way and over, of one set in one sandbox each; collected over all cores, one
/// core after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct RepairLog {
    repairs: Vec<Recorded>,
}

#[derive(Clone, Debug)]
struct Recorded {
    set: u16,
    core: usize,
    repair: Repair,
    /// Whether a round is under way or announced.
    open: bool,
    /// Pages that differed at the start of the round under way.
    round: u64,
}

impl RepairLog {
    pub(super) fn event(&mut self, core: usize, at: i64, event: Event) {
        match event {
            Event::RepairStart { set, differing } => self.begins(set, core, at, differing.into()),
            Event::RepairPage { set, page } => {
                if let Some(log) = self.last_of(set, core).filter(|log| log.open) {
                    log.repair.pages.push(page.0);
                }
            }
            Event::RepairEnd {
                set,
                copied,
                result,
            } => {
                if let Some(log) = self.last_of(set, core) {
                    log.round_ends(at, copied.into(), result);
                }
            }
            Event::Rejoin { set, epoch } => {
                let log = self.last_of(set, core);
                if let Some(log) = log.filter(|log| log.repair.rejoined_epoch.is_none()) {
                    log.repair.rejoined_epoch = Some(epoch);
                    log.repair.rejoined_ns = Some(at);
                }
            }
            _ => {}
        }
    }

    fn last_of(&mut self, set: u16, core: usize) -> Option<&mut Recorded> {
        let mut latest = self.repairs.iter_mut().rev();
        latest.find(|log| log.set == set && log.core == core)
    }

    /// Another round of the last repair, or the first of a new one.
    fn begins(&mut self, set: u16, core: usize, at: i64, differing: u64) {
        if let Some(log) = self.last_of(set, core).filter(|log| log.open) {
            log.repair.rounds += 1;
            log.repair.differing += differing;
            log.round = differing;
            return;
        }
        let repair = Repair {
            set: String::new(),
            sandbox: String::new(),
            detected_epoch: None,
            detected_ns: None,
            detected_by: None,
            started_ns: at,
            ended_ns: None,
            duration_ns: None,
            rounds: 1,
            differing,
            copied: 0,
            pages: Vec::new(),
            result: "unfinished",
            rejoined_epoch: None,
            rejoined_ns: None,
        };
        self.repairs.push(Recorded {
            set,
            core,
            repair,
            open: true,
            round: differing,
        });
    }

    /// By the time they began, with names and the votes that led to them.
    pub(super) fn summarize(
        mut self,
        votes: &BTreeMap<u16, BTreeMap<u32, Vote>>,
        layout: &Layout,
    ) -> Vec<Repair> {
        self.repairs.sort_by_key(|log| log.repair.started_ns);
        let repairs = self.repairs.into_iter();
        repairs
            .map(|log| {
                let detection = votes
                    .get(&log.set)
                    .and_then(|votes| log.detection(votes, layout));
                Repair {
                    set: layout.set_name(log.set),
                    sandbox: layout.cores[log.core].sandbox.clone(),
                    detected_epoch: detection.map(|(epoch, _)| epoch),
                    detected_ns: detection.map(|(_, vote)| vote.at),
                    detected_by: detection.map(|(_, vote)| outcome_name(vote.outcome)),
                    ..log.repair
                }
            })
            .collect()
    }
}

impl Recorded {
    fn round_ends(&mut self, at: i64, copied: u64, result: RepairResult) {
        let repair = &mut self.repair;
        repair.copied += copied;
        self.open = result == RepairResult::MoreRounds;
        if self.open {
            // What a round leaves over is among the next round's pages.
            repair.differing -= self.round.saturating_sub(copied);
        } else {
            repair.result = result_name(result);
            repair.ended_ns = Some(at);
            repair.duration_ns = Some(at.abs_diff(repair.started_ns));
        }
        self.round = 0;
    }

    /// The vote that found the replica faulty, and its epoch. The accusation may be repeated
    /// in each epoch until the repair is done; the first of an unbroken series counts.
    fn detection(&self, votes: &BTreeMap<u32, Vote>, layout: &Layout) -> Option<(u32, Vote)> {
        let replica = layout.replica_of_core(self.set, self.core);
        let accuses = |vote: &Vote| match replica {
            Some(replica) => vote.parties.faulty.checked_shr(replica.into()).unwrap_or(0) & 1 == 1,
            None => vote.parties.faulty != 0,
        };
        let started = self.repair.started_ns;
        // Where several vote, who is repaired reads what they say, and may be first to record it.
        let period = several(self.set, layout).map(|set| set.period);
        let was_before = |epoch: u32, vote: &Vote| match period {
            Some(period) => Trace::within_horizon(period.saturating_mul(epoch.into())) <= started,
            None => vote.at <= started,
        };
        let before = votes.iter();
        let before = before.take_while(|(epoch, vote)| was_before(**epoch, vote));
        let (mut detection, mut accused) = (None, false);
        for (&epoch, vote) in before {
            if accuses(vote) && !accused {
                detection = Some((epoch, *vote));
            }
            accused = accuses(vote);
        }
        detection
    }
}
