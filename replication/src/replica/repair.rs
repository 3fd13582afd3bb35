//! A replica from its ballot to the next release: what the verdict says, and its part in a
//! repair.
use tern_recovery::{RepairEnd, RepairStep};
use tern_trace::{Event, RepairResult};
use tern_units::Instant;
use tern_vote::{Outcome, Verdict};

use super::{Facts, Phase, ReplicaTask};
use crate::member::{Closing, Duty};
use crate::next::{Next, ReplicaChannels, ReplicaEnv};

impl<S: AsRef<[u64]> + AsMut<[u64]>> ReplicaTask<S> {
    pub(super) fn wait_for_verdict(&mut self, facts: &Facts, now: Instant) -> Next {
        let due = facts.times.verdict_due(self.epoch);
        if now < due {
            return Next::SleepUntil(due);
        }
        self.go_on(Phase::Close)
    }

    /// Sleeps until the next look, if that is before the next release.
    fn look_again(&mut self, facts: &Facts, now: Instant) -> Option<Next> {
        let again = now.saturating_add(facts.times.pause());
        (again < facts.times.next_release(self.epoch)).then_some(Next::SleepUntil(again))
    }

    /// Learns the verdict, and what to do until the next release.
    pub(super) fn close<E: ReplicaEnv>(
        &mut self,
        facts: &Facts,
        now: Instant,
        channels: &ReplicaChannels<'_>,
        env: &mut E,
    ) -> Next {
        let number = facts.description.replica();
        let closing = match env.close_verdicts(self.epoch) {
            true => self
                .member
                .close(&facts.hashing, number, self.epoch, channels),
            false => Closing::NotYet,
        };
        let (duty, is_member, verdict) = match closing {
            Closing::Unagreed { duty } => {
                let phase = duty.map_or(Phase::Over, |_| Phase::Repair);
                return self.go_on(phase);
            }
            Closing::Closed {
                duty,
                is_member,
                verdict,
            } => (duty, is_member, verdict),
            Closing::NotYet => {
                let again = self.look_again(facts, now);
                return again.unwrap_or_else(|| self.go_on(Phase::Over));
            }
        };
        self.is_outside |= u64::from(!is_member);
        self.record_stop(facts, &verdict, env);
        let Some(duty) = duty else {
            return self.go_on(Phase::Over);
        };
        if let (Duty::Target, Some(plan)) = (duty, verdict.plan) {
            let (set, differing) = (self.number(), plan.differing);
            env.record(Event::RepairStart { set, differing });
        }
        self.copied = 0;
        self.is_last = 0;
        self.go_on(Phase::Repair)
    }

    /// Records that the set has stopped, once.
    fn record_stop<E: ReplicaEnv>(&self, facts: &Facts, verdict: &Verdict, env: &mut E) {
        let first = verdict.lost == facts.description.rules().lost_epochs;
        if verdict.outcome == Outcome::Stopped && first {
            let (set, epoch) = (self.number(), self.epoch as u32);
            env.record(Event::Stop { set, epoch });
        }
    }

    /// Does one page of its work, unless the next job's budget would be touched or its release
    /// has come.
    pub(super) fn repair<E: ReplicaEnv>(
        &mut self,
        facts: &Facts,
        now: Instant,
        channels: &ReplicaChannels<'_>,
        env: &mut E,
    ) -> Next {
        let is_target = self.member.work().is_target();
        // After the last page comes a step that only says how it ended.
        let may_step = self.is_last != 0 || self.leaves_budget(facts, env);
        if now >= facts.times.next_release(self.epoch) || !may_step {
            return self.end_repair(is_target, None, env);
        }
        let before = self.member.work().repaired();
        let duty = self.member.work().duty();
        let (memory, scratch) = env.memory();
        let step = self
            .member
            .repair_step(&facts.hashing, memory, scratch, channels);
        self.record_pass(duty, step, env);
        match step {
            RepairStep::Ended(end) => self.end_repair(is_target, Some(end), env),
            RepairStep::Waiting { .. } => match self.look_again(facts, now) {
                Some(next) => next,
                None => self.end_repair(is_target, None, env),
            },
            RepairStep::Page { page, left } => {
                self.is_last = u64::from(left == 0);
                let set = self.number();
                match self.member.work().duty() {
                    Some(Duty::Rehash | Duty::Commit) => env.record(Event::Hash { set, page }),
                    Some(Duty::Donor) => env.record(Event::PageGiven { set, page }),
                    Some(Duty::Witness) => env.record(Event::PageConfirmed { set, page }),
                    Some(Duty::Target) if self.member.work().repaired() > before => {
                        self.copied = self.copied.saturating_add(1);
                        env.record(Event::RepairPage { set, page });
                    }
                    Some(Duty::Target | Duty::Keep | Duty::RollBack) | None => {}
                }
                Next::Again
            }
        }
    }

    /// Records the end of a pass over the checkpoint.
    pub(super) fn record_pass<E: ReplicaEnv>(
        &self,
        duty: Option<Duty>,
        step: RepairStep,
        env: &mut E,
    ) {
        let RepairStep::Ended(_) = step else { return };
        let (set, pages) = (self.number(), self.member.moved());
        match duty {
            Some(Duty::Keep) => env.record(Event::Checkpoint { set, pages }),
            Some(Duty::RollBack) => env.record(Event::RollBack { set, pages }),
            Some(Duty::Donor | Duty::Witness | Duty::Target | Duty::Rehash | Duty::Commit)
            | None => {}
        }
    }

    pub(super) fn end_repair<E: ReplicaEnv>(
        &mut self,
        is_target: bool,
        end: Option<RepairEnd>,
        env: &mut E,
    ) -> Next {
        if is_target {
            let result = match end {
                Some(RepairEnd::Complete) => RepairResult::Done,
                Some(RepairEnd::OwnFault(_)) => RepairResult::Failed,
                Some(RepairEnd::Incomplete) | None => RepairResult::MoreRounds,
            };
            env.record(Event::RepairEnd {
                set: self.number(),
                copied: self.copied as u32,
                result,
            });
        }
        self.go_on(Phase::Over)
    }
}
