//! A replica of two: it keeps each agreed state in a checkpoint, and goes back to that after an
//! epoch in which nothing was agreed.
use tern_recovery::{CheckpointStep, CommitStep, Hashing, PageMemory, RepairEnd, RepairStep};
use tern_units::PageNumber;
use tern_vote::{Page, Verdict, Writer};

use super::ancestry::Ancestry;
use super::base::Pending;
use super::{Closing, Duty, Member};

impl<S: AsRef<[u64]> + AsMut<[u64]>> Member<S> {
    /// Begins to keep its initial state, which its set begins with.
    pub(super) fn keep_initial(&mut self, hashing: &Hashing) {
        let (ancestry, summary) = (self.ancestry(), self.table.summary());
        if self.base.exists() && ancestry.origin.is_some() {
            self.base.agree(hashing, ancestry, summary, 0);
        }
    }

    /// Whether it waits, after a vote without agreement, for the other to be repaired: who is to
    /// give its pages has run, and holds its state for an epoch so that they can be listed.
    pub(super) fn waits_for_repair(verdict: &Verdict) -> bool {
        verdict.plan.is_some_and(|plan| plan.differing == 0)
    }

    /// The job is undone, and what was agreed last stands again once all differing pages are back.
    pub(super) fn begin_roll_back(&mut self) {
        if self.base.exists() {
            self.base.begin(Pending::RollBack, 0);
        }
    }

    /// It is decided that nothing was agreed on `epoch`, and no verdict says so. A job that has run
    /// in it is undone; what ran before may have been agreed on, so it is held.
    pub(super) fn close_unagreed(&mut self, epoch: u64) -> Closing {
        self.undo_job(epoch);
        let duty = self.unsettled();
        self.work.resume(duty);
        Closing::Unagreed { duty }
    }

    fn undo_job(&mut self, epoch: u64) {
        if self.ancestry().jobs_until == epoch.wrapping_add(1) {
            self.begin_roll_back();
        }
    }

    /// Returns what a verdict asks of it. `is_member` tells whether its state is the newest agreed
    /// one.
    pub(super) fn duty_in_lockstep(
        &mut self,
        hashing: &Hashing,
        number: u8,
        verdict: &Verdict,
        is_member: bool,
    ) -> Option<Duty> {
        if verdict.outcome.is_agreement() {
            if !is_member && self.is_settled() {
                self.doubt();
            }
            return self.unsettled();
        }

        // Who has what was agreed last gives it to who has not.
        if !is_member && verdict.rehash.contains(number) {
            self.doubt();
        }
        let plan = verdict.plan.filter(|_| self.is_described());
        let part = plan.and_then(|plan| Duty::in_plan(&plan, number, is_member));
        match part.zip(plan) {
            Some((part, plan)) if plan.differing > 0 => return Some(part),
            // It has held its state, and its leaves do not fit: they are published anew.
            Some(_) if is_member => self.doubt(),
            Some(_) | None => {}
        }

        // Both go back, each by itself. What is agreed last, if a verdict says it, holds against what
        // the replica takes it for.
        match verdict.agreed(&hashing.set) {
            _ if is_member => {}
            Some((origin, state)) => {
                let ancestry = Ancestry {
                    origin: Some(origin),
                    jobs_until: state.jobs_until,
                };
                self.base.expect(ancestry, state.summary);
                self.begin_roll_back();
            }
            None => self.undo_job(verdict.epoch),
        }
        // Lost again: the memory at rest may be what differs.
        if verdict.lost > 1 {
            self.doubt();
            if is_member {
                self.begin_roll_back();
            }
        }
        self.unsettled()
    }

    /// Returns what is still to be done before it is settled.
    pub(crate) fn unsettled(&self) -> Option<Duty> {
        let undone = (!self.is_described()).then_some(Duty::Rehash);
        self.base.pending().map(Duty::of).or(undone)
    }

    /// Returns how many pages the pass over the checkpoint has copied.
    pub(crate) const fn moved(&self) -> u32 {
        self.base.checkpoint.moved()
    }

    /// Does at most one page of what is to be done before the checkpoint and the state are one.
    pub(crate) fn base_step(
        &mut self,
        hashing: &Hashing,
        memory: &mut impl PageMemory,
        scratch: &mut Page,
        own: Writer<'_>,
    ) -> RepairStep {
        if self.is_committing() {
            let step = self.commit_step(hashing, memory, own);
            return match step {
                CommitStep::Hashed(page) | CommitStep::Scrubbed { page, .. } => going_on(page),
                CommitStep::Skipped | CommitStep::Round { .. } | CommitStep::Done => {
                    going_on(PageNumber(0))
                }
            };
        }
        if !self.is_described() {
            let page = self.hash_step(hashing, memory, own);
            return going_on(page.unwrap_or(PageNumber(0)));
        }
        let step = match self.base.pending() {
            None => return RepairStep::Ended(RepairEnd::Complete),
            // Only what was agreed on is kept.
            Some(Pending::Keep) if self.table.summary() != self.base.agreed().1 => {
                CheckpointStep::Done
            }
            Some(Pending::Keep) => {
                let (checkpoint, table) = (&mut self.base.checkpoint, &mut self.table);
                checkpoint.keep_step(hashing, memory, table, own)
            }
            Some(Pending::RollBack) if !self.base.is_whole(hashing) => CheckpointStep::Done,
            Some(Pending::RollBack) => {
                // Until it is done its pages are of two states.
                self.come_from_nowhere();
                let (checkpoint, table) = (&mut self.base.checkpoint, &mut self.table);
                checkpoint.put_back_step(hashing, memory, scratch, table, own)
            }
        };
        match step {
            CheckpointStep::Page(page) => going_on(page),
            CheckpointStep::Passed => going_on(PageNumber(0)),
            CheckpointStep::Done => RepairStep::Ended(self.end_pass(hashing)),
        }
    }

    /// A pass over the checkpoint has ended: tells whether state and checkpoint are what was agreed
    /// on. A replica whose state is not comes from nowhere, and says so.
    fn end_pass(&mut self, hashing: &Hashing) -> RepairEnd {
        self.table.recompute(hashing);
        let (ancestry, agreed) = self.base.agreed();
        if self.table.summary() != agreed || ancestry.origin.is_none() {
            self.base.end();
            self.come_from_nowhere();
            return RepairEnd::Incomplete;
        }
        self.ancestry.write(ancestry.to_words());
        if self.base.is_whole(hashing) {
            self.base.end();
            return RepairEnd::Complete;
        }
        // A copy is not what it should be: it is made anew.
        self.base.begin(Pending::Keep, 0);
        RepairEnd::Incomplete
    }
}

/// A step after which there is another.
const fn going_on(page: PageNumber) -> RepairStep {
    RepairStep::Page { page, left: 1 }
}
