//! Votes, the inputs of epochs, and the sets that stopped: what the voters recorded.
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tern_config::{ReplicaSet, Runs};
use tern_trace::{Event, VoteOutcome, VoteParties};

use crate::describe::replicas;
use crate::layout::{Layout, has_one_voter};
use crate::names::{is_stale, outcome_name};
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
    /// Epochs in which a majority agreed on the state it had, without having run.
    pub held: u64,
    /// Epochs without a majority.
    pub no_majority: u64,
    /// Epochs between the first and the last that were not voted on.
    pub absent: u64,
    /// Epochs whose majority had run their job.
    pub ran_epochs: Ranges,
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
    /// `minority`, `timeout`, `held` or `no-majority`.
    pub outcome: &'static str,
    /// Sandboxes of the replicas outside the majority.
    pub faulty: Vec<String>,
    /// Sandbox of the replica that gives pages.
    pub donor: Option<String>,
    /// Sandbox of the replica that confirms them.
    pub witness: Option<String>,
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

#[derive(Clone, Copy, Debug)]
pub(super) struct Vote {
    pub(super) at: i64,
    pub(super) outcome: VoteOutcome,
    pub(super) parties: VoteParties,
}

/// Collected over all cores, one core after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct VoteLog {
    /// By set, recording core and epoch.
    votes: BTreeMap<(u16, usize), BTreeMap<u32, Vote>>,
    inputs: BTreeMap<(u16, usize), BTreeMap<u32, bool>>,
    /// Epochs in which a voter did its job to the end: its verdict stood, and its input.
    voted: BTreeMap<(u16, usize), BTreeSet<u32>>,
    stops: Vec<(u16, usize, u32, i64)>,
    last_epoch: Option<i64>,
}

impl VoteLog {
    /// When the last epoch was last heard of.
    pub(super) const fn last_epoch_ns(&self) -> Option<i64> {
        self.last_epoch
    }

    pub(super) fn event(&mut self, core: usize, at: i64, event: Event, layout: &Layout) {
        match event {
            Event::Vote {
                set,
                epoch,
                outcome,
                parties,
            } => {
                let votes = self.votes.entry((set, core)).or_default();
                votes.entry(epoch).or_insert(Vote {
                    at,
                    outcome,
                    parties,
                });
            }
            Event::Input { set, epoch, fresh } => {
                let inputs = self.inputs.entry((set, core)).or_default();
                inputs.entry(epoch).or_insert(fresh);
            }
            Event::Complete { thread, job } => {
                let runs = layout.cores[core].threads.get(usize::from(thread));
                if let Some(Runs::Voter(set)) = runs.map(|thread| &thread.runs) {
                    let voted = self.voted.entry((*set as u16, core)).or_default();
                    voted.insert(job);
                }
            }
            // A voter may stop with the replica beside it.
            Event::Stop { set, epoch } => {
                let is_known =
                    |stop: &(u16, usize, u32, i64)| (stop.0, stop.1, stop.2) == (set, core, epoch);
                if !self.stops.iter().any(is_known) {
                    self.stops.push((set, core, epoch, at));
                }
            }
            _ => {}
        }
        if let Event::Ballot { .. } | Event::Vote { .. } | Event::Input { .. } = event {
            self.last_epoch = self.last_epoch.max(Some(at));
        }
    }

    /// The votes by set and epoch. Where several voters recorded one, the first did.
    pub(super) fn votes(&self, layout: &Layout) -> BTreeMap<u16, BTreeMap<u32, Vote>> {
        let first = |one: Vote, other: Vote| match other.at < one.at {
            true => other,
            false => one,
        };
        authoritative(&self.votes, layout, first)
    }

    /// Whether the input was fresh, by set and epoch. Where several vote, one that did not come to
    /// stand is as if it had not been frozen; and where two froze one, who had not the device heard
    /// nothing.
    fn freshness(&self, layout: &Layout) -> BTreeMap<u16, BTreeMap<u32, bool>> {
        let mut frozen = self.inputs.clone();
        for (by, inputs) in &mut frozen {
            if several(by.0, layout).is_none() {
                continue;
            }
            let voted = self.voted.get(by);
            inputs.retain(|epoch, _| {
                let before = epoch.checked_sub(1);
                before.is_some_and(|before| voted.is_some_and(|voted| voted.contains(&before)))
            });
        }
        authoritative(&frozen, layout, |one, other| one || other)
    }

    pub(super) fn inputs(&self, layout: &Layout) -> Vec<Inputs> {
        let inputs = self.freshness(layout);
        let inputs = inputs.iter();
        inputs
            .map(|(&set, inputs)| {
                let mut stale_epochs = Ranges::default();
                let mut next = None;
                for (&epoch, &fresh) in inputs {
                    // Where several vote they go on with the last one.
                    if let Some(next) = next.filter(|_| several(set, layout).is_some())
                        && next < epoch
                    {
                        stale_epochs.push(next, epoch - 1);
                    }
                    if is_stale(epoch, fresh) {
                        stale_epochs.push(epoch, epoch);
                    }
                    next = epoch.checked_add(1);
                }
                Inputs {
                    set: layout.set_name(set),
                    fresh: inputs.values().filter(|&&fresh| fresh).count() as u64,
                    stale: stale_epochs.count(),
                    stale_epochs,
                }
            })
            .collect()
    }

    pub(super) fn stops(&self, layout: &Layout) -> Vec<SafeStop> {
        let stops = self.stops.iter();
        stops
            .map(|&(set, core, epoch, at_ns)| SafeStop {
                set: layout.set_name(set),
                sandbox: layout.cores[core].sandbox.clone(),
                epoch,
                at_ns,
            })
            .collect()
    }
}

fn described(set: u16, layout: &Layout) -> Option<&ReplicaSet> {
    let sets = &layout.system.as_ref()?.replica_sets;
    sets.get(usize::from(set))
}

/// The set of that number, if it has several voters.
pub(super) fn several(set: u16, layout: &Layout) -> Option<&ReplicaSet> {
    described(set, layout).filter(|set| !has_one_voter(set))
}

/// Of what several sandboxes recorded for a set: the records of those with a voter, where they have
/// any, else all. Of two of one epoch `both` makes one.
fn authoritative<T: Copy>(
    recorded: &BTreeMap<(u16, usize), BTreeMap<u32, T>>,
    layout: &Layout,
    both: fn(T, T) -> T,
) -> BTreeMap<u16, BTreeMap<u32, T>> {
    let has_voter = |set: u16, core: usize| {
        let set = described(set, layout);
        let mut voters = set.into_iter().flat_map(|set| &set.voters);
        voters.any(|voter| voter.sandbox as usize == core)
    };
    let by_voters: BTreeSet<u16> = recorded
        .keys()
        .filter(|(set, core)| has_voter(*set, *core))
        .map(|(set, _)| *set)
        .collect();
    let mut chosen: BTreeMap<u16, BTreeMap<u32, T>> = BTreeMap::new();
    for (&(set, core), epochs) in recorded {
        if by_voters.contains(&set) && !has_voter(set, core) {
            continue;
        }
        let chosen = chosen.entry(set).or_default();
        for (&epoch, &value) in epochs {
            let known = chosen.entry(epoch).or_insert(value);
            *known = both(*known, value);
        }
    }
    chosen
}

pub(super) fn votes_of(set: u16, votes: &BTreeMap<u32, Vote>, layout: &Layout) -> Votes {
    let first_epoch = votes.keys().next().copied().unwrap_or(0);
    let last_epoch = votes.keys().next_back().copied().unwrap_or(0);
    let count = |outcome| {
        votes
            .values()
            .filter(|vote| vote.outcome == outcome)
            .count() as u64
    };
    let mut ran_epochs = Ranges::default();
    for (&epoch, vote) in votes {
        match vote.outcome {
            VoteOutcome::Unanimous | VoteOutcome::Minority | VoteOutcome::Timeout => {
                ran_epochs.push(epoch, epoch);
            }
            VoteOutcome::Held | VoteOutcome::NoMajority => {}
        }
    }
    let somebody =
        |replica: u16| (replica != VoteParties::NOBODY).then(|| layout.replica_name(set, replica));
    Votes {
        set: layout.set_name(set),
        first_epoch,
        last_epoch,
        unanimous: count(VoteOutcome::Unanimous),
        minority: count(VoteOutcome::Minority),
        timeout: count(VoteOutcome::Timeout),
        held: count(VoteOutcome::Held),
        no_majority: count(VoteOutcome::NoMajority),
        absent: u64::from(last_epoch - first_epoch) + 1 - votes.len() as u64,
        ran_epochs,
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
