//! Rules of what replicas and voters write: it is their threads that do, in their epochs.
use tern_config::{ReplicaSet, ThreadRef};
use tern_trace::{SleepEnd, Trace, VoteOutcome, VoteParties, WithheldReason};
use tern_units::Instant;

use super::{Across, CoreRules, Possible};
use crate::layout::has_one_voter;
use crate::table::exact_instant;

/// What one sandbox has recorded of a replica set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SetRecords {
    /// The last epoch with a ballot, and so on.
    ballot: Option<u32>,
    vote: Option<(u32, VoteOutcome)>,
    input: Option<u32>,
    rejoined: Option<u32>,
    repaired: Option<u32>,
    /// Pages of the round of repair that is under way.
    round: Option<u32>,
    withheld: Option<u32>,
    /// The same of a stop, by the voter here and by the replica.
    voter_stopped: Option<u32>,
    replica_stopped: Option<u32>,
}

impl CoreRules<'_> {
    fn set(&self, set: u16) -> &ReplicaSet {
        &self.system.replica_sets[usize::from(set)]
    }

    /// The number of a thread of this sandbox.
    fn number_of(&self, place: &ThreadRef) -> Option<u16> {
        if place.sandbox as usize != self.core {
            return None;
        }
        let server = self.names.servers.get(place.server as usize)?;
        let number = server.threads.start + place.thread as usize;
        server.threads.contains(&number).then_some(number as u16)
    }

    /// The epoch that a thread is in: replicas and voters number their jobs so.
    fn epoch_of(&self, at: i64, thread: u16) -> Result<u32, String> {
        self.acts(at, thread)?;
        let released = self.threads.released(thread);
        let epoch = released.checked_sub(1);
        let name = self.names.thread_name(thread);
        epoch.ok_or_else(|| format!("{name} acts before its first job"))
    }

    /// The sandbox's replica of a set, which has the core, and the epoch that it is in.
    pub(super) fn replica(&self, at: i64, set: u16) -> Result<(u16, u32), String> {
        self.only_a_machine("replica")?;
        let mut replicas = (0..).zip(&self.set(set).replicas);
        let found = replicas.find_map(|(replica, place)| Some((replica, self.number_of(place)?)));
        let name = &self.set(set).name;
        let (replica, thread) = found.ok_or_else(|| format!("no replica of {name} is here"))?;
        Ok((replica, self.epoch_of(at, thread)?))
    }

    /// The sandbox's voter of a set, which has the core, and the epoch that it is in.
    fn voter(&self, at: i64, set: u16) -> Result<(u16, u32), String> {
        self.only_a_machine("voter")?;
        let mut voters = self.set(set).voters.iter();
        let thread = voters.find_map(|place| self.number_of(place));
        let name = &self.set(set).name;
        let thread = thread.ok_or_else(|| format!("no voter of {name} is here"))?;
        Ok((thread, self.epoch_of(at, thread)?))
    }

    fn records(&mut self, set: u16) -> &mut SetRecords {
        &mut self.sets[usize::from(set)]
    }

    /// A replica casts one ballot in its epoch, and for that.
    pub(super) fn ballot(
        &mut self,
        at: i64,
        set: u16,
        epoch: u32,
        across: &mut Across,
    ) -> Possible {
        let (replica, own) = self.replica(at, set)?;
        self.is_own_epoch(set, epoch, own)?;
        if self.records(set).ballot.replace(epoch) == Some(epoch) {
            return Err(format!("a second ballot in epoch {epoch}"));
        }
        across.ballot(set, replica, epoch);
        Ok(())
    }

    /// A voter decides once in its epoch, one of several by what most of them say: not before that
    /// is due, nor within its job, which is over once it has said its own. Who is outside the
    /// majority fits the outcome, and who repairs is a pair of the majority.
    pub(super) fn vote(
        &mut self,
        at: i64,
        set: u16,
        epoch: u32,
        (outcome, parties): (VoteOutcome, VoteParties),
        across: &mut Across,
    ) -> Possible {
        let (thread, own) = self.voter(at, set)?;
        self.is_own_epoch(set, epoch, own)?;
        if !has_one_voter(self.set(set)) {
            self.verdicts_stand(at, set, epoch)?;
            let released = self.threads.released(thread);
            if !self.jobs[usize::from(thread)].all_ended(released) {
                return Err(format!("a vote within the voter's job {epoch}"));
            }
        }
        let before = self.records(set).vote.replace((epoch, outcome));
        if before.is_some_and(|(before, _)| before == epoch) {
            return Err(format!("a second vote in epoch {epoch}"));
        }
        parties_fit(self.set(set).replicas.len() as u32, outcome, parties)?;
        let next = self.after_release(set, epoch.saturating_add(1), |set| set.ballot_deadline);
        across.vote(set, epoch, (outcome, parties), at < next);
        Ok(())
    }

    /// An instant of an epoch, so long after its release, in nanoseconds after the time epoch.
    fn after_release(&self, set: u16, epoch: u32, after: fn(&ReplicaSet) -> u64) -> i64 {
        let set = self.set(set);
        let release = set.period.saturating_mul(epoch.into());
        Trace::within_horizon(release.saturating_add(after(set)))
    }

    /// What the voters of a set say is due.
    fn verdicts_stand(&self, at: i64, set: u16, epoch: u32) -> Possible {
        let due = self.after_release(set, epoch, |set| set.verdict_deadline);
        match at >= due {
            true => Ok(()),
            false => Err(format!(
                "a vote in epoch {epoch}, whose verdicts are due at {}",
                exact_instant(due)
            )),
        }
    }

    /// A voter freezes the input of the next epoch, once. Whether it is fresh is the device's
    /// affair.
    pub(super) fn input(&mut self, at: i64, set: u16, epoch: u32) -> Possible {
        let (_, own) = self.voter(at, set)?;
        if Some(epoch) != own.checked_add(1) {
            return Err(format!(
                "the input of epoch {epoch} is frozen in epoch {own}"
            ));
        }
        match self.records(set).input.replace(epoch) == Some(epoch) {
            true => Err(format!("a second input of epoch {epoch}")),
            false => Ok(()),
        }
    }

    /// A voter's job is over when the next input is frozen and the verdict stands. Of several
    /// voters one freezes the input, and the verdict comes later.
    pub(super) fn voted_by_now(&self, thread: u16, epoch: u32) -> Possible {
        if self.is_simulated() {
            return Ok(());
        }
        for (set, records) in self.system.replica_sets.iter().zip(&self.sets) {
            let mut voters = set.voters.iter();
            let is_voter = voters.any(|place| self.number_of(place) == Some(thread));
            if !is_voter || !has_one_voter(set) {
                continue;
            }
            if records.vote.map(|(voted, _)| voted) != Some(epoch) {
                return Err(format!("the voter's job {epoch} ends without a vote"));
            }
            if records.input != epoch.checked_add(1) {
                return Err(format!("the voter's job {epoch} ends without an input"));
            }
        }
        Ok(())
    }

    /// Whether a thread that is one of several voters may sleep until then, in the epoch of its
    /// last job: for the verdicts, or for the device that these give it.
    pub(super) fn awaits_verdict(&self, set: u32, thread: u16, until: SleepEnd) -> bool {
        let set = set as u16;
        let Some(epoch) = self.threads.released(thread).checked_sub(1) else {
            return false;
        };
        if has_one_voter(self.set(set)) {
            return false;
        }
        let release = self.after_release(set, epoch, |_| 0);
        let until = until.not_before(Instant::from_nanos(release.unsigned_abs()));
        let due = self.after_release(set, epoch, |set| set.verdict_deadline);
        let end = self.after_release(set, epoch, |set| set.period);
        (due..=end).contains(&Trace::within_horizon(until.as_nanos()))
    }

    /// A voter goes to sleep until its next release. One of several has looked for what they say,
    /// unless it has passed over the epoch, which it does only after its end.
    pub(super) fn voter_rests(&self, at: i64, set: u32, thread: u16, across: &mut Across) {
        let set = set as u16;
        let Some(epoch) = self.threads.released(thread).checked_sub(1) else {
            return;
        };
        let end = self.after_release(set, epoch, |set| set.period);
        if !has_one_voter(self.set(set)) && at < end {
            across.looked(set, epoch);
        }
    }

    /// A replica begins one round of repair in an epoch, if the vote says so.
    pub(super) fn repair_start(&mut self, at: i64, set: u16, across: &mut Across) -> Possible {
        let (replica, epoch) = self.replica(at, set)?;
        let records = self.records(set);
        if records.round.is_some() {
            return Err("a round of repair begins within another".to_string());
        }
        if records.repaired.replace(epoch) == Some(epoch) {
            return Err(format!("a second round of repair in epoch {epoch}"));
        }
        records.round = Some(0);
        across.repaired(set, replica, epoch);
        Ok(())
    }

    /// Pages are taken in a round of repair.
    pub(super) fn repair_page(&mut self, at: i64, set: u16) -> Possible {
        self.replica(at, set)?;
        match &mut self.records(set).round {
            Some(pages) => {
                *pages += 1;
                Ok(())
            }
            None => Err("a page is repaired, and no round has begun".to_string()),
        }
    }

    /// A round ends with as many pages as were taken. How it ends depends on them.
    pub(super) fn repair_end(&mut self, at: i64, set: u16, copied: u32) -> Possible {
        self.replica(at, set)?;
        match self.records(set).round.take() {
            Some(pages) if pages == copied => Ok(()),
            Some(pages) => Err(format!(
                "a round of repair ends with {copied} pages, and {pages} were taken"
            )),
            None => Err("a round of repair ends, and none has begun".to_string()),
        }
    }

    /// A replica's next job is not released while it is being repaired.
    pub(super) fn no_open_round(&self, thread: u16) -> Possible {
        for (set, records) in self.system.replica_sets.iter().zip(&self.sets) {
            let mut own = set.replicas.iter().filter_map(|it| self.number_of(it));
            if records.round.is_some() && own.any(|own| own == thread) {
                return Err("a job is released within a round of repair".to_string());
            }
        }
        Ok(())
    }

    /// A replica copies pages into its checkpoint, or puts them back from it, if it has one. Which
    /// differ is known to it alone.
    pub(super) fn checkpoint(&mut self, at: i64, set: u16) -> Possible {
        self.replica(at, set)?;
        match self.set(set).voting.keeps_checkpoints() {
            true => Ok(()),
            false => Err("a checkpoint of a set that keeps none".to_string()),
        }
    }

    /// The donor of the epoch's verdict gives pages.
    pub(super) fn page_given(&mut self, at: i64, set: u16, across: &mut Across) -> Possible {
        let (replica, epoch) = self.replica(at, set)?;
        across.gave(set, replica, epoch);
        Ok(())
    }

    /// The witness of the epoch's verdict confirms them.
    pub(super) fn page_confirmed(&mut self, at: i64, set: u16, across: &mut Across) -> Possible {
        let (replica, epoch) = self.replica(at, set)?;
        across.confirmed(set, replica, epoch);
        Ok(())
    }

    /// A replica takes part again, once in its epoch, and not before it has been outside.
    pub(super) fn rejoin(&mut self, at: i64, set: u16, epoch: u32) -> Possible {
        let (_, own) = self.replica(at, set)?;
        self.is_own_epoch(set, epoch, own)?;
        if epoch == 0 {
            return Err("a replica takes part again before it ever did".to_string());
        }
        match self.records(set).rejoined.replace(epoch) == Some(epoch) {
            true => Err(format!("a replica takes part again twice in epoch {epoch}")),
            false => Ok(()),
        }
    }

    /// A set stops once in an epoch: by the voter's vote without a majority, and by a replica
    /// that has read so.
    pub(super) fn stop(&mut self, at: i64, set: u16, epoch: u32) -> Possible {
        let voter = self.voter(at, set);
        let (_, own) = match &voter {
            Ok(own) => *own,
            Err(_) => self.replica(at, set)?,
        };
        self.is_own_epoch(set, epoch, own)?;
        let records = self.records(set);
        if voter.is_ok() && records.vote != Some((epoch, VoteOutcome::NoMajority)) {
            return Err(format!("a stop, and epoch {epoch} had a majority"));
        }
        let stopped = match voter {
            Ok(_) => &mut records.voter_stopped,
            Err(_) => &mut records.replica_stopped,
        };
        match stopped.replace(epoch) == Some(epoch) {
            true => Err(format!("the set stops a second time in epoch {epoch}")),
            false => Ok(()),
        }
    }

    /// A voter withholds the output of its epoch, once: one that its vote releases, or of an epoch
    /// that it has not voted on.
    pub(super) fn withheld(
        &mut self,
        at: i64,
        set: u16,
        epoch: u32,
        reason: WithheldReason,
    ) -> Possible {
        let (_, own) = self.voter(at, set)?;
        self.is_own_epoch(set, epoch, own)?;
        let records = self.records(set);
        let vote = records.vote.filter(|(voted, _)| *voted == epoch);
        let releases = vote.map(|(_, outcome)| match outcome {
            VoteOutcome::Unanimous | VoteOutcome::Minority | VoteOutcome::Timeout => true,
            VoteOutcome::NoMajority | VoteOutcome::Held => false,
        });
        let is_possible = match reason {
            WithheldReason::Late => releases != Some(false),
            WithheldReason::Digest => releases == Some(true),
            WithheldReason::NoVerdict => true,
        };
        if !is_possible {
            return Err(format!(
                "an output is withheld, and the vote of epoch {epoch} releases none"
            ));
        }
        match records.withheld.replace(epoch) == Some(epoch) {
            true => Err(format!("an output is withheld twice in epoch {epoch}")),
            false => Ok(()),
        }
    }

    fn is_own_epoch(&self, set: u16, epoch: u32, own: u32) -> Possible {
        match epoch == own {
            true => Ok(()),
            false => Err(format!(
                "{}: a record of epoch {epoch} in epoch {own}",
                self.set(set).name
            )),
        }
    }
}

/// Whether so many replicas can have voted so.
fn parties_fit(replicas: u32, outcome: VoteOutcome, parties: VoteParties) -> Possible {
    let VoteParties {
        faulty,
        donor,
        witness,
    } = parties;
    if faulty.checked_shr(replicas).unwrap_or(0) != 0 {
        return Err(format!("a vote against one that is not among {replicas}"));
    }
    let outside = faulty.count_ones();
    let majority = (replicas - outside) * 2 > replicas;
    match outcome {
        VoteOutcome::Unanimous if outside > 0 => {
            return Err("a unanimous vote against somebody".to_string());
        }
        VoteOutcome::Minority | VoteOutcome::Timeout if outside == 0 || !majority => {
            return Err(format!(
                "a vote of a majority, with {outside} of {replicas} outside it"
            ));
        }
        VoteOutcome::Held if !majority => {
            return Err(format!(
                "a state that a majority holds, with {outside} of {replicas} outside it"
            ));
        }
        VoteOutcome::Unanimous
        | VoteOutcome::Minority
        | VoteOutcome::Timeout
        | VoteOutcome::Held
        | VoteOutcome::NoMajority => {}
    }
    let nobody = VoteParties::NOBODY;
    if (donor, witness) == (nobody, nobody) {
        return Ok(());
    }
    let is_sound = |replica: u16| {
        u32::from(replica) < replicas && faulty.checked_shr(replica.into()).unwrap_or(0) & 1 == 0
    };
    // Of two in lock-step the one whose state was agreed on last repairs the other alone.
    let is_pair = match outcome {
        VoteOutcome::NoMajority => replicas == 2 && donor == witness,
        VoteOutcome::Unanimous
        | VoteOutcome::Minority
        | VoteOutcome::Timeout
        | VoteOutcome::Held => donor != witness,
    };
    match outside > 0 && is_pair && is_sound(donor) && is_sound(witness) {
        true => Ok(()),
        false => Err("a vote whose donor and witness are no pair of the majority".to_string()),
    }
}
