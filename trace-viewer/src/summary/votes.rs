//! Votes, the inputs of epochs, and the sets that stopped: what the voters recorded.
use std::collections::BTreeMap;

use serde::Serialize;
use tern_trace::{Event, VoteOutcome, VoteParties};

use super::voter_core;
use crate::describe::replicas;
use crate::layout::Layout;
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
    stops: Vec<(u16, usize, u32, i64)>,
    last_epoch: Option<i64>,
}

impl VoteLog {
    /// When the last epoch was last heard of.
    pub(super) const fn last_epoch_ns(&self) -> Option<i64> {
        self.last_epoch
    }

    pub(super) fn event(&mut self, core: usize, at: i64, event: Event) {
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
            Event::Stop { set, epoch } => self.stops.push((set, core, epoch, at)),
            _ => {}
        }
        if let Event::Ballot { .. } | Event::Vote { .. } | Event::Input { .. } = event {
            self.last_epoch = self.last_epoch.max(Some(at));
        }
    }

    /// The votes by set and epoch.
    pub(super) fn votes(&self, layout: &Layout) -> BTreeMap<u16, BTreeMap<u32, Vote>> {
        authoritative(&self.votes, layout)
    }

    pub(super) fn inputs(&self, layout: &Layout) -> Vec<Inputs> {
        let inputs = authoritative(&self.inputs, layout);
        let inputs = inputs.iter();
        inputs
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

/// Of what several sandboxes recorded for a set: the voter's records, where it has any;
/// else the first to record each epoch.
fn authoritative<T: Copy>(
    recorded: &BTreeMap<(u16, usize), BTreeMap<u32, T>>,
    layout: &Layout,
) -> BTreeMap<u16, BTreeMap<u32, T>> {
    let voter = |set: u16| {
        let set = layout.system.as_ref()?.replica_sets.get(usize::from(set))?;
        voter_core(set)
    };
    let mut chosen: BTreeMap<u16, BTreeMap<u32, T>> = BTreeMap::new();
    for (&(set, core), epochs) in recorded {
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
