//! Redundancy: what was voted, who was outvoted, and how the repairs went.
use std::collections::BTreeMap;

use serde::Serialize;
use tern_trace::{Event, RepairResult, VoteOutcome, VoteParties};

use super::voter_core;
use crate::describe::replicas;
use crate::layout::Layout;
use crate::ranges::Ranges;

/// The votes on one replica set.
#[derive(Clone, Debug, Serialize)]
pub struct Votes {
    /// The set.
    pub set: String,
    /// The first epoch voted on.
    pub first_epoch: u32,
    /// The last epoch voted on.
    pub last_epoch: u32,
    /// Epochs in which all agreed.
    pub unanimous: u64,
    /// Epochs in which a minority differed.
    pub minority: u64,
    /// Epochs in which a ballot did not come in time.
    pub timeout: u64,
    /// Epochs without a majority.
    pub no_majority: u64,
    /// Epochs between the first and the last that were not voted on.
    pub absent: u64,
    /// Every vote that was not unanimous, in order.
    pub disagreements: Vec<Disagreement>,
}

/// A vote that was not unanimous.
#[derive(Clone, Debug, Serialize)]
pub struct Disagreement {
    /// The epoch.
    pub epoch: u32,
    /// When it was decided.
    pub at_ns: i64,
    /// `minority`, `timeout` or `no-majority`.
    pub outcome: &'static str,
    /// Sandboxes of the replicas outside the majority.
    pub faulty: Vec<String>,
    /// Sandbox of the replica that gives pages.
    pub donor: Option<String>,
    /// Sandbox of the replica that confirms them.
    pub witness: Option<String>,
}

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

/// The inputs of one replica set.
#[derive(Clone, Debug, Serialize)]
pub struct Inputs {
    /// The set.
    pub set: String,
    /// Epochs with an input that came in time.
    pub fresh: u64,
    /// Epochs that had to do with the input before, though one was asked for.
    pub stale: u64,
    /// Which these are.
    pub stale_epochs: Ranges,
}

/// A replica set that stopped.
#[derive(Clone, Debug, Serialize)]
pub struct SafeStop {
    /// The set.
    pub set: String,
    /// The sandbox that recorded it.
    pub sandbox: String,
    /// The epoch.
    pub epoch: u32,
    /// When.
    pub at_ns: i64,
}

/// A vote's outcome in reports.
#[must_use]
pub const fn outcome_name(outcome: VoteOutcome) -> &'static str {
    match outcome {
        VoteOutcome::Unanimous => "unanimous",
        VoteOutcome::Minority => "minority",
        VoteOutcome::Timeout => "timeout",
        VoteOutcome::NoMajority => "no-majority",
    }
}

/// How a round of repair ended, in reports.
#[must_use]
pub const fn result_name(result: RepairResult) -> &'static str {
    match result {
        RepairResult::Done => "done",
        RepairResult::MoreRounds => "more-rounds",
        RepairResult::Failed => "failed",
    }
}

/// Whether an epoch has an old input in place of the one that was asked for. Nothing is asked
/// for before the first command, which follows the input of epoch 1.
#[must_use]
pub const fn is_stale(epoch: u32, fresh: bool) -> bool {
    !fresh && epoch > 1
}

#[derive(Clone, Copy, Debug)]
struct Vote {
    at: i64,
    outcome: VoteOutcome,
    parties: VoteParties,
}

#[derive(Clone, Debug)]
struct RepairLog {
    set: u16,
    core: usize,
    repair: Repair,
    /// Whether a round is under way or announced.
    open: bool,
    /// Pages that differed at the start of the round under way.
    round: u64,
}

/// Collected over all cores, one core after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct RedundancyLog {
    /// By set, recording core and epoch.
    votes: BTreeMap<(u16, usize), BTreeMap<u32, Vote>>,
    inputs: BTreeMap<(u16, usize), BTreeMap<u32, bool>>,
    repairs: Vec<RepairLog>,
    stops: Vec<(u16, usize, u32, i64)>,
    last_epoch: Option<i64>,
}

impl RedundancyLog {
    /// When the last epoch was last heard of.
    pub(super) const fn last_epoch_ns(&self) -> Option<i64> {
        self.last_epoch
    }

    pub(super) fn event(&mut self, core: usize, at: i64, event: Event) {
        match event {
            Event::Ballot { .. } => self.see_epoch(at),
            Event::Vote {
                set,
                epoch,
                outcome,
                parties,
            } => {
                self.see_epoch(at);
                let votes = self.votes.entry((set, core)).or_default();
                votes.entry(epoch).or_insert(Vote {
                    at,
                    outcome,
                    parties,
                });
            }
            Event::Input { set, epoch, fresh } => {
                self.see_epoch(at);
                self.inputs
                    .entry((set, core))
                    .or_default()
                    .entry(epoch)
                    .or_insert(fresh);
            }
            Event::RepairStart { set, differing } => self.round_begins(set, core, at, differing),
            Event::RepairPage { set, page } => {
                if let Some(log) = self.repair_of(set, core)
                    && log.open
                {
                    log.repair.pages.push(page.0);
                }
            }
            Event::RepairEnd {
                set,
                copied,
                result,
            } => {
                if let Some(log) = self.repair_of(set, core) {
                    log.repair.copied += u64::from(copied);
                    log.open = result == RepairResult::MoreRounds;
                    // What a round leaves over is among the next round's pages.
                    let left_over = match log.open {
                        true => log.round.saturating_sub(copied.into()),
                        false => 0,
                    };
                    log.repair.differing -= left_over;
                    log.round = 0;
                    if !log.open {
                        log.repair.result = result_name(result);
                        log.repair.ended_ns = Some(at);
                        log.repair.duration_ns = Some(at.abs_diff(log.repair.started_ns));
                    }
                }
            }
            Event::Rejoin { set, epoch } => {
                if let Some(log) = self.repair_of(set, core)
                    && log.repair.rejoined_epoch.is_none()
                {
                    log.repair.rejoined_epoch = Some(epoch);
                    log.repair.rejoined_ns = Some(at);
                }
            }
            Event::Stop { set, epoch } => self.stops.push((set, core, epoch, at)),
            _ => {}
        }
    }

    fn see_epoch(&mut self, at: i64) {
        self.last_epoch = self.last_epoch.max(Some(at));
    }

    fn repair_of(&mut self, set: u16, core: usize) -> Option<&mut RepairLog> {
        self.repairs
            .iter_mut()
            .rev()
            .find(|log| log.set == set && log.core == core)
    }

    fn round_begins(&mut self, set: u16, core: usize, at: i64, differing: u32) {
        if let Some(log) = self.repair_of(set, core)
            && log.open
        {
            log.repair.rounds += 1;
            log.repair.differing += u64::from(differing);
            log.round = differing.into();
            return;
        }
        let repair = Repair {
            set: String::new(),
            sandbox: String::new(),
            detected_epoch: None,
            detected_ns: None,
            started_ns: at,
            ended_ns: None,
            duration_ns: None,
            rounds: 1,
            differing: differing.into(),
            copied: 0,
            pages: Vec::new(),
            result: "unfinished",
            rejoined_epoch: None,
            rejoined_ns: None,
        };
        self.repairs.push(RepairLog {
            set,
            core,
            repair,
            open: true,
            round: differing.into(),
        });
    }

    pub(super) fn summarize(
        mut self,
        layout: &Layout,
    ) -> (Vec<Votes>, Vec<Repair>, Vec<Inputs>, Vec<SafeStop>) {
        let votes = authoritative(core::mem::take(&mut self.votes), layout);
        let inputs = authoritative(core::mem::take(&mut self.inputs), layout);
        self.repairs.sort_by_key(|log| log.repair.started_ns);
        let repairs = self
            .repairs
            .into_iter()
            .map(|log| finish(log, &votes, layout))
            .collect();
        let votes = votes
            .iter()
            .map(|(&set, votes)| votes_of(set, votes, layout))
            .collect();
        let inputs = inputs
            .iter()
            .map(|(&set, inputs)| {
                let mut stale_epochs = Ranges::default();
                for (&epoch, _) in inputs.iter().filter(|it| is_stale(*it.0, *it.1)) {
                    stale_epochs.push(epoch, epoch);
                }
                Inputs {
                    set: layout.set_name(set),
                    fresh: inputs.values().filter(|&&fresh| fresh).count() as u64,
                    stale: stale_epochs.count(),
                    stale_epochs,
                }
            })
            .collect();
        let stops = self
            .stops
            .iter()
            .map(|&(set, core, epoch, at_ns)| SafeStop {
                set: layout.set_name(set),
                sandbox: layout.cores[core].sandbox.clone(),
                epoch,
                at_ns,
            });
        (votes, repairs, inputs, stops.collect())
    }
}

/// Of what several sandboxes recorded for a set: the voter's records, where it has any;
/// else the first to record each epoch.
fn authoritative<T: Copy>(
    recorded: BTreeMap<(u16, usize), BTreeMap<u32, T>>,
    layout: &Layout,
) -> BTreeMap<u16, BTreeMap<u32, T>> {
    let voter = |set: u16| {
        let set = layout.system.as_ref()?.replica_sets.get(usize::from(set))?;
        voter_core(set)
    };
    let mut chosen: BTreeMap<u16, BTreeMap<u32, T>> = BTreeMap::new();
    for (&(set, core), epochs) in &recorded {
        let voter = voter(set).filter(|&voter| recorded.contains_key(&(set, voter)));
        if voter.is_none_or(|voter| voter == core) {
            let chosen = chosen.entry(set).or_default();
            for (&epoch, &value) in epochs {
                chosen.entry(epoch).or_insert(value);
            }
        }
    }
    chosen
}

fn votes_of(set: u16, votes: &BTreeMap<u32, Vote>, layout: &Layout) -> Votes {
    let first_epoch = votes.keys().next().copied().unwrap_or(0);
    let last_epoch = votes.keys().next_back().copied().unwrap_or(0);
    let count = |outcome| {
        votes
            .values()
            .filter(|vote| vote.outcome == outcome)
            .count() as u64
    };
    let somebody =
        |replica: u16| (replica != VoteParties::NOBODY).then(|| layout.replica_name(set, replica));
    Votes {
        set: layout.set_name(set),
        first_epoch,
        last_epoch,
        unanimous: count(VoteOutcome::Unanimous),
        minority: count(VoteOutcome::Minority),
        timeout: count(VoteOutcome::Timeout),
        no_majority: count(VoteOutcome::NoMajority),
        absent: u64::from(last_epoch - first_epoch) + 1 - votes.len() as u64,
        disagreements: votes
            .iter()
            .filter(|(_, vote)| vote.outcome != VoteOutcome::Unanimous)
            .map(|(&epoch, vote)| Disagreement {
                epoch,
                at_ns: vote.at,
                outcome: outcome_name(vote.outcome),
                faulty: replicas(vote.parties.faulty)
                    .map(|replica| layout.replica_name(set, replica))
                    .collect(),
                donor: somebody(vote.parties.donor),
                witness: somebody(vote.parties.witness),
            })
            .collect(),
    }
}

/// Adds names, and the vote that led to the repair.
fn finish(log: RepairLog, votes: &BTreeMap<u16, BTreeMap<u32, Vote>>, layout: &Layout) -> Repair {
    let replica = layout.replica_of_core(log.set, log.core);
    let found_faulty = |vote: &Vote| match replica {
        Some(replica) => vote.parties.faulty.checked_shr(replica.into()).unwrap_or(0) & 1 == 1,
        None => vote.parties.faulty != 0,
    };
    // The accusation may be repeated in each epoch until the repair is done; the first of
    // an unbroken series is the detection.
    let mut detection: Option<(u32, i64)> = None;
    let mut accused = false;
    for (&epoch, vote) in votes.get(&log.set).into_iter().flatten() {
        if vote.at > log.repair.started_ns {
            break;
        }
        if found_faulty(vote) && !accused {
            detection = Some((epoch, vote.at));
        }
        accused = found_faulty(vote);
    }
    Repair {
        set: layout.set_name(log.set),
        sandbox: layout.cores[log.core].sandbox.clone(),
        detected_epoch: detection.map(|(epoch, _)| epoch),
        detected_ns: detection.map(|(_, at)| at),
        ..log.repair
    }
}
