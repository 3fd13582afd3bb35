//! Rules between sandboxes: votes rest on ballots, repairs on votes, and where several vote all
//! say the same. A record may be missing
//! where its thread has not gone on since: the machine was stopped just before it.
use std::collections::{BTreeMap, BTreeSet};

use tern_config::{ReplicaSet, System, ThreadRef};
use tern_trace::{VoteOutcome, VoteParties};

use crate::layout::{Layout, has_one_voter};
use crate::read::{Contradiction, State, Threads};

/// A replica's part in an epoch: set, replica, epoch.
type Part = (u16, u16, u32);

/// Where a record is, for the case that it has to be named.
#[derive(Clone, Copy, Debug)]
struct Place {
    core: usize,
    record: u64,
    at: i64,
}

/// What a voter has recorded of an epoch.
#[derive(Clone, Copy, Debug)]
struct Vote {
    outcome: VoteOutcome,
    parties: VoteParties,
    /// Whether it was before the next ballots were due: until then the voters of a set all read
    /// the same.
    is_in_time: bool,
    place: Place,
}

/// What the sandboxes' records say of each other's.
#[derive(Debug)]
pub(in crate::read) struct Across {
    /// The record that is being read.
    place: Place,
    ballots: BTreeSet<Part>,
    /// The votes on a set in an epoch, one of each voter.
    votes: BTreeMap<(u16, u32), Vec<Vote>>,
    /// Set, epoch and sandbox of each of several voters that has looked for the verdict in time.
    looked: BTreeSet<(u16, u32, usize)>,
    /// Rounds of repair, and the first page given and confirmed, of each replica and epoch.
    repaired: BTreeMap<Part, Place>,
    gave: BTreeMap<Part, Place>,
    confirmed: BTreeMap<Part, Place>,
    /// For each sandbox that is known to its last record, how many jobs of each thread were
    /// released, or are behind it.
    released: BTreeMap<usize, Vec<u32>>,
}

impl Across {
    pub(in crate::read) fn new() -> Self {
        Self {
            place: Place {
                core: 0,
                record: 0,
                at: 0,
            },
            ballots: BTreeSet::new(),
            votes: BTreeMap::new(),
            looked: BTreeSet::new(),
            repaired: BTreeMap::new(),
            gave: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            released: BTreeMap::new(),
        }
    }

    /// What comes next is of that record.
    pub(in crate::read) const fn at(&mut self, core: usize, record: u64, at: i64) {
        self.place = Place { core, record, at };
    }

    /// A sandbox's records end, and none was missing.
    pub(super) fn ends(&mut self, core: usize, threads: &Threads, count: usize) {
        let gone_on = |thread: u16| match threads.state(thread) {
            // It has stopped: what it did not do it will not.
            Some(State::Waiting) => u32::MAX,
            Some(State::Ready | State::Sleeping(_)) | None => threads.released(thread),
        };
        let threads = (0..count).map(|thread| gone_on(thread as u16));
        self.released.insert(core, threads.collect());
    }

    pub(super) fn ballot(&mut self, set: u16, replica: u16, epoch: u32) {
        self.ballots.insert((set, replica, epoch));
    }

    pub(super) fn vote(
        &mut self,
        set: u16,
        epoch: u32,
        (outcome, parties): (VoteOutcome, VoteParties),
        is_in_time: bool,
    ) {
        let place = self.place;
        self.votes.entry((set, epoch)).or_default().push(Vote {
            outcome,
            parties,
            is_in_time,
            place,
        });
    }

    pub(super) fn looked(&mut self, set: u16, epoch: u32) {
        self.looked.insert((set, epoch, self.place.core));
    }

    pub(super) fn repaired(&mut self, set: u16, replica: u16, epoch: u32) {
        self.repaired
            .entry((set, replica, epoch))
            .or_insert(self.place);
    }

    pub(super) fn gave(&mut self, set: u16, replica: u16, epoch: u32) {
        self.gave.entry((set, replica, epoch)).or_insert(self.place);
    }

    pub(super) fn confirmed(&mut self, set: u16, replica: u16, epoch: u32) {
        self.confirmed
            .entry((set, replica, epoch))
            .or_insert(self.place);
    }

    /// The first record that does not fit another sandbox's.
    pub(in crate::read) fn check(
        &self,
        system: &System,
        layout: &Layout,
    ) -> Result<(), Contradiction> {
        for ((set, epoch), votes) in &self.votes {
            let described = &system.replica_sets[usize::from(*set)];
            for vote in votes {
                self.vote_has_ballots((*set, *epoch), described, vote, layout)
                    .map_err(|reason| named(layout, vote.place, reason))?;
            }
            self.voters_say_the_same((*set, *epoch), votes, layout)?;
        }
        for ((set, replica, epoch), place) in &self.repaired {
            let is_target = |parties: VoteParties| {
                let accused = parties.faulty.checked_shr((*replica).into()).unwrap_or(0) & 1 == 1;
                accused && parties.donor != VoteParties::NOBODY
            };
            let reason = "a repair, and its epoch's vote asks for none of this replica";
            self.vote_says(system, layout, (*set, *epoch), *place, is_target, reason)?;
        }
        for ((set, replica, epoch), place) in &self.gave {
            let reason = "pages are given, and its epoch's vote names another donor";
            let is_donor = |parties: VoteParties| parties.donor == *replica;
            self.vote_says(system, layout, (*set, *epoch), *place, is_donor, reason)?;
        }
        for ((set, replica, epoch), place) in &self.confirmed {
            let reason = "pages are confirmed, and its epoch's vote names another witness";
            let is_witness = |parties: VoteParties| parties.witness == *replica;
            self.vote_says(system, layout, (*set, *epoch), *place, is_witness, reason)?;
        }
        Ok(())
    }

    /// Each replica of a majority has cast a ballot.
    fn vote_has_ballots(
        &self,
        (set, epoch): (u16, u32),
        described: &ReplicaSet,
        vote: &Vote,
        layout: &Layout,
    ) -> Result<(), String> {
        match vote.outcome {
            VoteOutcome::NoMajority => return Ok(()),
            VoteOutcome::Unanimous
            | VoteOutcome::Minority
            | VoteOutcome::Timeout
            | VoteOutcome::Held => {}
        }
        for (replica, place) in (0..).zip(&described.replicas) {
            let agreed = vote.parties.faulty.checked_shr(replica).unwrap_or(0) & 1 == 0;
            let cast = self.ballots.contains(&(set, replica as u16, epoch));
            if agreed && !cast && self.has_gone_on(place, epoch, layout) {
                let name = layout.replica_name(set, replica as u16);
                return Err(format!(
                    "a vote with {name} in the majority, which cast no ballot in epoch {epoch}"
                ));
            }
        }
        Ok(())
    }

    /// Where several vote, each records what most of them say: all the same, and all that look.
    fn voters_say_the_same(
        &self,
        (set, epoch): (u16, u32),
        votes: &[Vote],
        layout: &Layout,
    ) -> Result<(), Contradiction> {
        let mut in_time = votes.iter().filter(|vote| vote.is_in_time);
        let Some(first) = in_time.next() else {
            return Ok(());
        };
        let said = |vote: &Vote| (vote.outcome, vote.parties);
        if let Some(other) = in_time.find(|vote| said(vote) != said(first)) {
            let Place { core, record, .. } = first.place;
            let sandbox = &layout.cores[core].sandbox;
            let reason = format!(
                "another vote in epoch {epoch} than record {record} of sandbox {sandbox}, and the \
                 voters of a set say the same"
            );
            return Err(named(layout, other.place, reason));
        }
        let has_voted = |core: usize| votes.iter().any(|vote| vote.place.core == core);
        let from = (set, epoch, 0)..=(set, epoch, usize::MAX);
        let mut looked = self.looked.range(from).map(|(_, _, core)| *core);
        match looked.find(|core| !has_voted(*core)) {
            None => Ok(()),
            Some(core) => {
                let sandbox = &layout.cores[core].sandbox;
                let reason =
                    format!("a vote in epoch {epoch}, in which sandbox {sandbox} found none");
                Err(named(layout, first.place, reason))
            }
        }
    }

    /// The vote of an epoch says what a replica goes by.
    fn vote_says(
        &self,
        system: &System,
        layout: &Layout,
        (set, epoch): (u16, u32),
        place: Place,
        says: impl Fn(VoteParties) -> bool,
        reason: &str,
    ) -> Result<(), Contradiction> {
        let described = &system.replica_sets[usize::from(set)];
        let votes = self.votes.get(&(set, epoch));
        let mut voters = described.voters.iter();
        let holds = match votes.and_then(|votes| votes.first()) {
            Some(vote) => says(vote.parties),
            None if has_one_voter(described) => {
                !voters.any(|voter| self.has_gone_on(voter, epoch, layout))
            }
            // One that was late has recorded none, though others have found one.
            None => !voters.any(|voter| {
                let looked = (set, epoch, voter.sandbox as usize);
                self.looked.contains(&looked)
            }),
        };
        match holds {
            true => Ok(()),
            false => Err(named(layout, place, reason.to_string())),
        }
    }

    /// Whether a thread is known to have begun a later job than that.
    fn has_gone_on(&self, thread: &ThreadRef, job: u32, layout: &Layout) -> bool {
        let core = thread.sandbox as usize;
        let number = || {
            let server = layout
                .cores
                .get(core)?
                .servers
                .get(thread.server as usize)?;
            let released = self.released.get(&core)?;
            released.get(server.threads.start + thread.thread as usize)
        };
        number().is_some_and(|released| *released > job.saturating_add(1))
    }
}

fn named(layout: &Layout, place: Place, reason: String) -> Contradiction {
    let sandbox = &layout.cores[place.core].sandbox;
    Contradiction::of_record(sandbox, place.record, place.at, reason)
}
