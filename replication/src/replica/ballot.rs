//! A replica from a release to its ballot: whether it runs, its commit, and what it says.
use tern_abi::system_call::input;
use tern_config::Voting;
use tern_config::layout::REPAIR_LOOKS;
use tern_plant::frames::without_zeros_at_end;
use tern_plant::tag::{Challenge, Statement};
use tern_recovery::CommitStep;
use tern_trace::Event;
use tern_units::{Duration, Instant};
use tern_vote::{Answer, Page, PageHasher, Release, Tagged};

use super::{Facts, Phase, ReplicaTask};
use crate::input::{input_after, is_sound};
use crate::member::{Opening, Ran};
use crate::next::{JobEnd, Next, ReplicaChannels, ReplicaEnv};

/// The part of the ballot deadline by which a job may begin late in any case.
const LEAST_SLACK: u64 = 16;

/// Pages hashed between two looks at the time.
const STEPS: u32 = 8;

/// Returns a word of an input page. The page is part of what replicas agree on, so that what all
/// of a majority read there is the same.
fn word_of(page: &Page, at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&page[8 * at..8 * at + 8]);
    u64::from_le_bytes(word)
}

impl<S: AsRef<[u64]> + AsMut<[u64]>> ReplicaTask<S> {
    /// The last instant at which the job can still be done in time. A description may leave
    /// no room beside the job, but no release is noticed at its very instant.
    fn last_start(&self, facts: &Facts) -> Instant {
        let deadline = facts.times.ballot_deadline;
        let slack = deadline.saturating_sub(facts.description.wcet());
        let least = Duration::from_nanos(deadline.as_nanos() / LEAST_SLACK);
        facts
            .times
            .release(self.epoch)
            .saturating_add(slack.max(least))
    }

    /// Opens the epoch. Where the voter is late, it is waited for as long as the job can still
    /// be done in time; a job that cannot is not begun, so that the state stays whole.
    pub(super) fn open<E: ReplicaEnv>(
        &mut self,
        facts: &Facts,
        now: Instant,
        channels: &ReplicaChannels<'_>,
        env: &mut E,
    ) -> Next {
        let last_start = self.last_start(facts);
        if !self.member.is_settled() || now > last_start {
            return self.go_on(Phase::Hold);
        }
        let slack = last_start.saturating_since(facts.times.release(self.epoch));
        let pause = Duration::from_nanos((slack.as_nanos() / REPAIR_LOOKS).max(1));
        let again = now.saturating_add(pause);
        let number = facts.description.replica();
        let before = self.epoch.checked_sub(1);
        let opening = match before.is_none_or(|before| env.close_verdicts(before)) {
            true => self
                .member
                .open(&facts.hashing, number, self.epoch, &channels.voters),
            false => Opening::NotYet,
        };
        let (set, times) = (&facts.hashing.set, &facts.times);
        let input = match &opening {
            Opening::First => Some(Release::default()),
            Opening::Run(verdict) => {
                let input = input_after((set, times), verdict, number, &channels.voters, env);
                input.filter(|input| is_sound(set, times, input, env))
            }
            Opening::NotYet | Opening::Doubt | Opening::Unkept | Opening::Hold => None,
        };
        if let Some(input) = input {
            if self.is_outside != 0 {
                self.is_outside = 0;
                let (set, epoch) = (self.number(), self.epoch as u32);
                env.record(Event::Rejoin { set, epoch });
            }
            self.member.begin_job(self.epoch);
            self.phase = Phase::Job as u64;
            let until = facts.times.ballots_due(self.epoch);
            return Next::RunJob { input, until };
        }
        match opening {
            Opening::Run(_) | Opening::NotYet if again <= last_start => Next::SleepUntil(again),
            Opening::Doubt if self.is_sure == 0 => {
                self.is_sure = 1;
                self.member.doubt();
                self.go_on(Phase::Hold)
            }
            Opening::First
            | Opening::Run(_)
            | Opening::NotYet
            | Opening::Doubt
            | Opening::Unkept
            | Opening::Hold => self.go_on(Phase::Hold),
        }
    }

    pub(super) fn job_ended<E: ReplicaEnv>(&mut self, facts: &Facts, end: JobEnd, env: &mut E) {
        match (end, facts.description.voting()) {
            (
                JobEnd::Done,
                Voting::Arbitrator { .. } | Voting::Distributed | Voting::Lockstep { .. },
            ) => {
                let first = self.member.scrub_position();
                let set = self.number();
                env.record(Event::Scrub { set, first });
                self.member.end_job(facts.description.scrub());
                self.phase = Phase::Commit as u64;
            }
            (JobEnd::Done, Voting::Unprotected) => {
                self.member.end_job_unhashed();
                self.phase = Phase::Commit as u64;
            }
            (
                JobEnd::CutOff,
                Voting::Arbitrator { .. }
                | Voting::Distributed
                | Voting::Lockstep { .. }
                | Voting::Unprotected,
            ) => {
                self.miss(facts, env);
                self.member.cut_off();
                // There may be time left to ask for repair in this very epoch.
                self.phase = Phase::Hold as u64;
            }
        }
    }

    /// Hashes what the job wrote, scrubs, and casts. Where the deadline comes first there is no
    /// ballot, but the state is whole once all is hashed.
    pub(super) fn commit<E: ReplicaEnv>(
        &mut self,
        facts: &Facts,
        now: Instant,
        channels: &ReplicaChannels<'_>,
        env: &mut E,
    ) -> Next {
        let deadline = facts.times.ballots_due(self.epoch);
        if now > deadline {
            self.miss(facts, env);
            if !self.leaves_budget(facts, env) {
                return self.go_on(Phase::Voted);
            }
        }
        if self.member.is_committing() {
            for _ in 0..STEPS {
                self.commit_step(facts, channels, env);
                if !self.member.is_committing() {
                    break;
                }
            }
            return Next::Again;
        }
        if now > deadline {
            return self.go_on(Phase::Voted);
        }
        if !self.member.has_run(self.epoch) {
            // It is the job of an earlier epoch.
            return self.go_on(Phase::Open);
        }

        let page = env.input();
        let challenge = Challenge::from_word(word_of(page, input::CHALLENGE));
        let answer = match (word_of(page, input::FRESH), word_of(page, input::TAKEN)) {
            (0, _) => Answer::None,
            (_, 0) => Answer::NotTaken,
            (_, _) => Answer::Taken,
        };
        let input = facts.hashing.hasher.leaf(page);
        let output = env.output();
        let output = without_zeros_at_end(&output);
        self.tag(facts, challenge, output, channels, env);
        let ran = Ran {
            input,
            answer,
            output,
        };
        self.cast(facts, Some(ran), channels, env);
        self.complete(facts, env);
        self.go_on(Phase::Voted)
    }

    /// Says in its channel that the output is this place's, as the answer to `challenge`.
    fn tag<E: ReplicaEnv>(
        &self,
        facts: &Facts,
        challenge: Challenge,
        output: &[u64],
        channels: &ReplicaChannels<'_>,
        env: &mut E,
    ) {
        let set = &facts.hashing.set;
        let replica = facts.description.replica();
        let tag = env.tag(&Statement {
            set: set.number,
            place: replica,
            epoch: self.epoch,
            challenge,
            output,
        });
        if let Some(tag) = tag {
            let tagged = Tagged {
                replica,
                epoch: self.epoch,
                challenge,
                tag,
            };
            tagged.cast(set, channels.ballot.open());
        }
    }

    fn commit_step<E: ReplicaEnv>(
        &mut self,
        facts: &Facts,
        channels: &ReplicaChannels<'_>,
        env: &mut E,
    ) {
        let (memory, _) = env.memory();
        let step = self
            .member
            .commit_step(&facts.hashing, memory, channels.own);
        match step {
            CommitStep::Hashed(page) | CommitStep::Scrubbed { page, sound: false } => {
                let set = self.number();
                env.record(Event::Hash { set, page });
            }
            CommitStep::Scrubbed { sound: true, .. }
            | CommitStep::Skipped
            | CommitStep::Round { .. }
            | CommitStep::Done => {}
        }
    }

    /// An epoch without a job: hashes what must be hashed and says what it holds, if that is
    /// done in time. If its state turns out to be the agreed one, it may run after all.
    pub(super) fn hold<E: ReplicaEnv>(
        &mut self,
        facts: &Facts,
        now: Instant,
        channels: &ReplicaChannels<'_>,
        env: &mut E,
    ) -> Next {
        let in_time = now <= facts.times.ballots_due(self.epoch);
        if in_time && !self.member.is_settled() && self.leaves_budget(facts, env) {
            self.settle(facts, channels, env);
            let may_run = self.is_recorded == 0
                && self.member.is_settled()
                && now <= self.last_start(facts)
                && env.budget_by(now) >= facts.description.wcet();
            return self.go_on(if may_run { Phase::Open } else { Phase::Hold });
        }
        self.is_outside = 1;
        if in_time {
            self.cast(facts, None, channels, env);
        }
        self.complete(facts, env);
        self.go_on(Phase::Voted)
    }

    /// Does at most one page of what makes the table describe the memory, and the checkpoint hold
    /// what was agreed on.
    fn settle<E: ReplicaEnv>(
        &mut self,
        facts: &Facts,
        channels: &ReplicaChannels<'_>,
        env: &mut E,
    ) {
        if self.member.is_committing() {
            return self.commit_step(facts, channels, env);
        }
        let (memory, scratch) = env.memory();
        if self.member.is_described() {
            let duty = self.member.unsettled();
            let step = self
                .member
                .base_step(&facts.hashing, memory, scratch, channels.own);
            return self.record_pass(duty, step, env);
        }
        let hashed = self.member.hash_step(&facts.hashing, memory, channels.own);
        if let Some(page) = hashed {
            let set = self.number();
            env.record(Event::Hash { set, page });
        }
    }

    /// Casts the epoch's ballot, and seals it.
    fn cast<E: ReplicaEnv>(
        &mut self,
        facts: &Facts,
        ran: Option<Ran<'_>>,
        channels: &ReplicaChannels<'_>,
        env: &mut E,
    ) {
        let (number, epoch) = (facts.description.replica(), self.epoch);
        let member = &mut self.member;
        let is_cast = member.cast(&facts.hashing, number, epoch, ran, channels);
        if is_cast && env.seal_ballot(epoch) {
            let set = self.number();
            env.record(Event::Ballot {
                set,
                epoch: epoch as u32,
            });
        }
    }
}
