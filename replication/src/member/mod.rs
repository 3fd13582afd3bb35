//! What one replica is to its set: which state it has, where that comes from, whether it may
//! run, and its part in repairs.
//!
//! A replica is a member because its state is the agreed one, not because it was told so: a
//! verdict that a fault has changed accuses nobody for longer than it stands.
mod ancestry;
mod base;
mod lockstep;
mod work;

use tern_recovery::{
    Commit, CommitStep, Hashing, PageMemory, Published, Rehash, RepairEnd, RepairStep,
};
use tern_units::{PageNumber, StateWords};
use tern_vote::{
    Answer, Ballot, BallotKind, Leaf, Origin, Outcome, Page, Standing, State, Verdict, Voters,
    Writer, output_words,
};

use crate::copies::Copies;
use crate::next::ReplicaChannels;

use ancestry::Ancestry;
use base::Base;
pub(crate) use work::{Duty, Work};

/// What a release asks of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Run the job with the input beside this verdict, then commit and cast.
    Run(Verdict),
    /// Run the first job, which needs no voter, and whose input is empty.
    First,
    /// The last verdict is not there: look again while there is still time for the job.
    NotYet,
    /// It was part of the majority and its state is no longer the agreed one: hash all of it,
    /// and look again.
    Doubt,
    /// Its state is the agreed one, and not yet in its checkpoint: keep it, and look again.
    Unkept,
    /// Do not run: its state is not the agreed one, or nothing was agreed.
    Hold,
}

/// What a verdict asks of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The verdict on this epoch is not there: look again until the next release.
    NotYet,
    /// There is none, and none will come: nothing was agreed on.
    Unagreed {
        /// Work to be done by [`Member::repair_step`].
        duty: Option<Duty>,
    },
    /// It is, and this is what to do until the next release.
    Closed {
        /// Work to be done by [`Member::repair_step`].
        duty: Option<Duty>,
        /// Whether the replica's state is the agreed one.
        is_member: bool,
        /// What the vote found.
        verdict: Verdict,
    },
}

/// What a job has left that has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran<'a> {
    /// The leaf of its input page.
    pub(crate) input: Leaf,
    /// What it said of the command before.
    pub(crate) answer: Answer,
    /// The output.
    pub(crate) output: &'a [u64],
}

/// One replica of a set. Its leaves are in storage that the caller gives, a word for each page.
///
/// In each epoch: [`Member::open`] at the release; if it says so, [`Member::begin_job`], the
/// job, and [`Member::end_job`] with [`Member::commit_step`] to its end, or
/// [`Member::cut_off`]; [`Member::cast`]; [`Member::close`] once the verdict is due; and
/// [`Member::repair_step`] until it ends or the next release comes.
#[derive(Clone, Debug)]
pub(crate) struct Member<S> {
    table: Published<S>,
    /// Whether the table describes the memory: not from a job's begin to its commit's end.
    describes: u64,
    /// Whether a finished job's pages are still to be hashed.
    committing: u64,
    commit: Commit,
    rehash: Rehash,
    /// Where the state comes from. Three copies: after a flip in another replica it may be what
    /// makes two of three.
    ancestry: Copies<3>,
    /// What it goes back to, where it is one of two.
    base: Base<S>,
    /// Copies in its checkpoint that are looked at once the next agreed state is kept.
    scrub: u64,
    work: Work,
}

impl<S: AsRef<[u64]> + AsMut<[u64]>> Member<S> {
    /// A replica whose pages are all to be hashed before it does anything. Its state is the
    /// one before the first epoch if the set starts with it; else it comes from nowhere. Where it
    /// keeps a checkpoint, the leaves of that are in `checkpoint`.
    pub(crate) fn new(hashing: &Hashing, storage: S, checkpoint: S, starts_with_set: bool) -> Self {
        Self {
            table: Published::new(hashing, storage),
            describes: 0,
            committing: 0,
            commit: Commit::default(),
            rehash: Rehash::default(),
            ancestry: Copies::new(
                Ancestry {
                    origin: starts_with_set.then_some(Origin::START),
                    jobs_until: 0,
                }
                .to_words(),
            ),
            base: Base::new(hashing, checkpoint),
            scrub: 0,
            work: Work::default(),
        }
    }

    /// Whether its table describes its memory, and nothing is left to be done with its checkpoint, so
    /// that a ballot can say what it is.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_described() && self.base.pending().is_none()
    }

    /// Whether its table describes its memory.
    pub(crate) const fn is_described(&self) -> bool {
        self.describes != 0 && self.committing == 0
    }

    /// Whether a finished job's pages are still to be hashed.
    pub(crate) const fn is_committing(&self) -> bool {
        self.committing != 0
    }

    pub(crate) const fn scrub_position(&self) -> PageNumber {
        self.commit.scrub_position()
    }

    /// Its work until the next release.
    pub(crate) const fn work(&self) -> &Work {
        &self.work
    }

    fn ancestry(&mut self) -> Ancestry {
        Ancestry::from_words(self.ancestry.read())
    }

    /// Opens an epoch at its release.
    ///
    /// A replica that does not know what was agreed last does not run.
    pub(crate) fn open(
        &mut self,
        hashing: &Hashing,
        number: u8,
        epoch: u64,
        voters: &Voters<'_>,
    ) -> Opening {
        self.work.end();
        let Some(before) = epoch.checked_sub(1) else {
            if self.base.exists() {
                // Two first agree on what they begin with, so that there is something to go back to.
                return Opening::Hold;
            }
            let at_start = Ancestry {
                origin: Some(Origin::START),
                jobs_until: 0,
            };
            let at_start = self.ancestry() == at_start;
            return match at_start && self.is_settled() {
                true => Opening::First,
                false => Opening::Hold,
            };
        };
        let verdict = voters.verdict(&hashing.set);
        let Some(verdict) = verdict.filter(|verdict| verdict.epoch == before) else {
            return Opening::NotYet;
        };
        if !verdict.outcome.is_agreement() {
            // Of two, both may have gone back to what was agreed last.
            let may_run = self.base.exists() && !Self::waits_for_repair(&verdict);
            if !(may_run && self.adopt(hashing, &verdict)) {
                return Opening::Hold;
            }
        } else if !self.adopt(hashing, &verdict) {
            let standing = verdict.standings.get(usize::from(number));
            return match standing == Some(&Standing::Agreed) {
                true => Opening::Doubt,
                false => Opening::Hold,
            };
        }
        if !self.is_settled() {
            return Opening::Unkept;
        }
        Opening::Run(verdict)
    }

    /// Learns where its state comes from: if it is the newest agreed one, from the verdict that
    /// agreed on it. Returns whether it is.
    fn adopt(&mut self, hashing: &Hashing, verdict: &Verdict) -> bool {
        let Some((origin, state)) = verdict.agreed(&hashing.set) else {
            return false;
        };
        if !self.is(hashing, &state) {
            return false;
        }
        let ancestry = Ancestry {
            origin: Some(origin),
            jobs_until: state.jobs_until,
        };
        self.ancestry.write(ancestry.to_words());
        if self.base.exists() {
            let scrub = self.scrub as u32;
            self.base.agree(hashing, ancestry, state.summary, scrub);
        }
        true
    }

    /// Whether its state is `state`. A kept summary that differs is made anew before it counts:
    /// a fault may have changed it alone.
    fn is(&mut self, hashing: &Hashing, state: &State) -> bool {
        if !self.is_described() || self.table.pages() != state.pages {
            return false;
        }
        if self.table.summary() != state.summary {
            self.table.recompute(hashing);
        }
        self.table.summary() == state.summary
    }

    /// Its leaves may not describe its memory: all of it is to be hashed anew.
    pub(crate) const fn doubt(&mut self) {
        self.describes = 0;
        self.rehash.begin();
    }

    /// The job of `epoch` begins: from here on the table does not describe the memory.
    pub(crate) fn begin_job(&mut self, epoch: u64) {
        self.describes = 0;
        self.committing = 0;
        let ancestry = Ancestry {
            jobs_until: epoch.wrapping_add(1),
            ..self.ancestry()
        };
        self.ancestry.write(ancestry.to_words());
    }

    /// The job has ended at its boundary; its commit begins, and will scrub so many pages.
    pub(crate) const fn end_job(&mut self, scrub: u32) {
        self.describes = 0;
        self.committing = 1;
        self.commit.begin(scrub);
        self.scrub = scrub as u64;
    }

    /// The job has ended, and its pages are not hashed, since nobody compares them.
    pub(crate) const fn end_job_unhashed(&mut self) {
        self.describes = 1;
        self.committing = 0;
    }

    /// The job was cut off: its pages are in an unknown state, which comes from nowhere, and
    /// will be hashed anew.
    pub(crate) fn cut_off(&mut self) {
        self.describes = 0;
        self.committing = 0;
        self.come_from_nowhere();
        self.rehash.begin();
        self.begin_roll_back();
    }

    /// Its state is no agreed one, nor that with a job more.
    fn come_from_nowhere(&mut self) {
        let ancestry = Ancestry {
            origin: None,
            ..self.ancestry()
        };
        self.ancestry.write(ancestry.to_words());
    }

    /// Does at most one page of the commit.
    #[inline(always)]
    pub(crate) fn commit_step(
        &mut self,
        hashing: &Hashing,
        memory: &mut impl PageMemory,
        own: Writer<'_>,
    ) -> CommitStep {
        let step = self.commit.step(hashing, memory, &mut self.table, own);
        if step == CommitStep::Done {
            self.describes = 1;
            self.committing = 0;
        }
        step
    }

    /// Hashes one page of those that are to be hashed anew and returns it; `None` if there is
    /// none left, so that the table describes the memory.
    pub(crate) fn hash_step(
        &mut self,
        hashing: &Hashing,
        memory: &mut impl PageMemory,
        own: Writer<'_>,
    ) -> Option<PageNumber> {
        let hashed = self.rehash.step(hashing, memory, &mut self.table, own);
        if hashed.is_none() {
            self.describes = 1;
            self.rehash.begin();
        }
        hashed
    }

    /// Does one page of what is to be done before the first epoch: hashes all, and keeps them. Returns
    /// whether there was one left.
    pub(crate) fn prepare_step(
        &mut self,
        hashing: &Hashing,
        memory: &mut impl PageMemory,
        scratch: &mut Page,
        own: Writer<'_>,
    ) -> bool {
        if self.describes == 0 {
            if self.hash_step(hashing, memory, own).is_none() {
                self.keep_initial(hashing);
            }
            return true;
        }
        let step = self.base_step(hashing, memory, scratch, own);
        matches!(step, RepairStep::Page { .. })
    }

    /// Casts the ballot of `epoch`: that of a replica that has run, or of one that holds what
    /// it has. Returns whether it could: not
    /// while the table does not describe the memory.
    pub(crate) fn cast(
        &mut self,
        hashing: &Hashing,
        number: u8,
        epoch: u64,
        ran: Option<Ran<'_>>,
        channels: &ReplicaChannels<'_>,
    ) -> bool {
        if !self.is_settled() {
            return false;
        }
        if ran.is_none() {
            self.learn(hashing, &channels.voters);
        }
        let (kind, ran) = match ran {
            Some(ran) => (BallotKind::Ran, ran),
            None => (BallotKind::Held, Ran::default()),
        };
        let output = ran.output;
        let Ancestry { origin, jobs_until } = self.ancestry();
        let (origin, jobs_until) = match kind {
            BallotKind::Ran => (origin, jobs_until),
            // Who says that it has not run cannot have come further than to its release.
            BallotKind::Held => (
                origin.filter(|origin| origin.after <= epoch),
                jobs_until.min(epoch),
            ),
        };
        let mut ballot = Ballot {
            replica: number,
            epoch,
            kind,
            answer: ran.answer,
            origin,
            jobs_until,
            pages: self.table.pages(),
            summary: self.table.summary(),
            input: ran.input,
            count: 0,
            output: Default::default(),
            words: output_words(&hashing.set, usize::from(number), epoch, output),
        };
        let count = output.len().min(ballot.output.len());
        ballot.output[..count].copy_from_slice(&output[..count]);
        ballot.count = count as u8;
        ballot.cast(&hashing.set, channels.ballot.open());
        true
    }

    /// Whether a ballot can say that it has run in `epoch`: that its state comes from the
    /// verdict before and has seen the epoch's job.
    pub(crate) fn has_run(&mut self, epoch: u64) -> bool {
        let Ancestry { origin, jobs_until } = self.ancestry();
        self.is_settled()
            && jobs_until == epoch.wrapping_add(1)
            && origin.is_some_and(|origin| {
                origin.after == epoch || self.base.exists() && origin.after <= epoch
            })
    }

    /// Learns from the newest verdict, whichever epoch it is on, where its state comes from.
    fn learn(&mut self, hashing: &Hashing, voters: &Voters<'_>) {
        if let Some(verdict) = voters.verdict(&hashing.set) {
            self.adopt(hashing, &verdict);
        }
    }

    /// Reads the verdict on `epoch`, which says what was agreed and what to do until the next
    /// release.
    pub(crate) fn close(
        &mut self,
        hashing: &Hashing,
        number: u8,
        epoch: u64,
        channels: &ReplicaChannels<'_>,
    ) -> Closing {
        let verdict = channels.voters.verdict(&hashing.set);
        let Some(verdict) = verdict.filter(|verdict| verdict.epoch == epoch) else {
            // Whether both say the same is decided once verdicts are closed.
            return match self.base.exists() {
                true => self.close_unagreed(epoch),
                false => Closing::NotYet,
            };
        };
        let is_member = self.adopt(hashing, &verdict);
        let duty = self.duty_of(hashing, number, &verdict, is_member);
        self.work.take_up(duty, &verdict);
        Closing::Closed {
            duty,
            is_member,
            verdict,
        }
    }

    fn duty_of(
        &mut self,
        hashing: &Hashing,
        number: u8,
        verdict: &Verdict,
        is_member: bool,
    ) -> Option<Duty> {
        if self.base.exists() {
            return self.duty_in_lockstep(hashing, number, verdict, is_member);
        }
        if self.is_committing() {
            return Some(Duty::Commit);
        }
        let leaves_are_wrong = !is_member && verdict.rehash.contains(number);
        if leaves_are_wrong && self.describes != 0 {
            self.doubt();
        }
        if !self.is_settled() {
            return Some(Duty::Rehash);
        }
        let plan = verdict.plan.as_ref();
        let part = plan.and_then(|plan| Duty::in_plan(plan, number, is_member));
        if part.is_some() {
            return part;
        }
        // Its leaves may be what differs, so it makes sure of them: where nobody agrees, and
        // where it alone does not and is not repaired.
        let in_doubt = match verdict.outcome {
            Outcome::Lost | Outcome::Stopped => true,
            Outcome::Unanimous | Outcome::Majority | Outcome::Held => !is_member,
        };
        if in_doubt {
            self.rehash.begin();
        }
        in_doubt.then_some(Duty::Rehash)
    }

    /// Does at most one page of the work that [`Member::close`] gave out.
    pub(crate) fn repair_step(
        &mut self,
        hashing: &Hashing,
        memory: &mut impl PageMemory,
        scratch: &mut Page,
        channels: &ReplicaChannels<'_>,
    ) -> RepairStep {
        let own = channels.own;
        let step = match self.work.duty() {
            None => RepairStep::Ended(RepairEnd::Complete),
            Some(Duty::Donor | Duty::Witness | Duty::Target) => {
                let (repaired, table) = (self.work.repaired(), &mut self.table);
                let step = self.work.step(hashing, memory, table, scratch, channels);
                if self.work.repaired() != repaired {
                    // From here on its pages are of two states.
                    self.come_from_nowhere();
                }
                step
            }
            Some(Duty::Rehash) => match self.hash_step(hashing, memory, own) {
                Some(page) => self.dealt_with(page),
                None => RepairStep::Ended(RepairEnd::Complete),
            },
            Some(Duty::Keep | Duty::RollBack) => self.base_step(hashing, memory, scratch, own),
            Some(Duty::Commit) => match self.commit_step(hashing, memory, own) {
                CommitStep::Hashed(page) | CommitStep::Scrubbed { page, .. } => {
                    self.dealt_with(page)
                }
                CommitStep::Skipped | CommitStep::Round { .. } => self.dealt_with(PageNumber(0)),
                CommitStep::Done => RepairStep::Ended(RepairEnd::Complete),
            },
        };
        if let RepairStep::Ended(_) = step {
            self.work.end();
        }
        step
    }

    fn dealt_with(&self, page: PageNumber) -> RepairStep {
        RepairStep::Page {
            page,
            left: self.table.pages().saturating_sub(page.0).saturating_sub(1),
        }
    }
}

impl<S: AsMut<[u64]>> StateWords for Member<S> {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        self.table.visit(visitor);
        visitor("member.describes", &mut self.describes);
        visitor("member.committing", &mut self.committing);
        self.commit.visit(visitor);
        self.rehash.visit(visitor);
        self.ancestry.visit(visitor);
        self.base.visit(visitor);
        visitor("member.scrub", &mut self.scrub);
        self.work.visit(visitor);
    }
}

#[cfg(test)]
mod tests;
