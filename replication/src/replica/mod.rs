//! The task of a replica: job, commit, ballot, and its part in repairs, at the instants that
//! the system description gives.
//!
//! What is decided here is only when; what is done, one page a step, is in `tern_recovery`.
//! All of it runs in the thread's own server.
mod ballot;
mod repair;

use tern_config::{ReplicaSet, Thread};
use tern_recovery::Hashing;
use tern_units::{Instant, StateWords};

use crate::copies::Copies;
use crate::description::Description;
use crate::epoch::Times;
use crate::member::Member;
use crate::next::{Job, JobEnd, Next, ReplicaChannels, ReplicaEnv};

/// When a replica's sandbox starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaStart {
    /// With its set: its program's initial state is the one that all replicas begin with.
    WithSet,
    /// Later, alone: its state comes from nowhere, and it asks for repair.
    Anew,
}

/// Where a task is in its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It looks for the last verdict and the input.
    Open,
    /// Its program runs.
    Job,
    /// It hashes what the job wrote.
    Commit,
    /// It does not run: it hashes what must be hashed, and says what it holds.
    Hold,
    /// Its ballot is cast, or too late: it waits for the verdict.
    Voted,
    /// It looks for the verdict.
    Close,
    /// It has work until the next release.
    Repair,
    /// It has none.
    Over,
}

impl Phase {
    const fn from_word(word: u64) -> Self {
        match word {
            0 => Self::Open,
            1 => Self::Job,
            2 => Self::Commit,
            3 => Self::Hold,
            5 => Self::Close,
            6 => Self::Repair,
            7 => Self::Over,
            // Where it is is not known: what there is to know says the next verdict.
            _ => Self::Voted,
        }
    }
}

/// The task of one replica. Its leaves are in storage that the caller gives, a word for each
/// page of the program.
#[derive(Clone, Debug)]
pub struct ReplicaTask<S> {
    copies: Copies<{ Description::WORDS }>,
    /// What the copies said when the task last had to wait.
    description: Description,
    /// Whether the last poll asked for another at once.
    is_busy: u64,
    epoch: u64,
    phase: u64,
    /// Whether the epoch's job has been recorded, as complete or missed.
    is_recorded: u64,
    /// Whether all pages were hashed anew in the epoch, since the replica was in doubt.
    is_sure: u64,
    /// Whether the replica did not take part in the last epoch.
    is_outside: u64,
    /// Pages taken over in this epoch, and whether the list's last was dealt with.
    copied: u64,
    is_last: u64,
    member: Member<S>,
}

/// The constants of one poll.
struct Facts {
    description: Description,
    hashing: Hashing,
    times: Times,
}

impl<S: AsRef<[u64]> + AsMut<[u64]>> ReplicaTask<S> {
    const NO_EPOCH: u64 = u64::MAX;

    /// The task of replica `replica` of set `number`, in the thread that the description
    /// gives it. `checkpoint` is for the leaves of its checkpoint: as many words if the set keeps
    /// checkpoints, and none otherwise. Before the first poll, [`ReplicaTask::prepare_step`] must
    /// have hashed all pages.
    #[must_use]
    pub fn new(
        number: u32,
        set: &ReplicaSet,
        thread: &Thread,
        replica: u8,
        storage: S,
        checkpoint: S,
        start: ReplicaStart,
    ) -> Self {
        let pages = storage.as_ref().len() as u64;
        // As many pages a period as make all of them in a scrub period.
        let scrub = pages.saturating_mul(set.period);
        let scrub = scrub.div_ceil(set.scrub_period.max(1)) as u32;
        let description = Description::new(number, set, thread, replica, scrub);
        let starts_with_set = match start {
            ReplicaStart::WithSet => true,
            ReplicaStart::Anew => false,
        };
        Self {
            copies: Copies::new(description.0),
            description,
            is_busy: 0,
            epoch: Self::NO_EPOCH,
            phase: Phase::Over as u64,
            is_recorded: 0,
            is_sure: 0,
            is_outside: 0,
            copied: 0,
            is_last: 0,
            member: Member::new(&description.hashing(), storage, checkpoint, starts_with_set),
        }
    }

    /// Hashes or keeps one page before the first poll; whether there was one left.
    pub fn prepare_step<E: ReplicaEnv>(
        &mut self,
        channels: &ReplicaChannels<'_>,
        env: &mut E,
    ) -> bool {
        let (memory, scratch) = env.memory();
        let hashing = self.description.hashing();
        self.member
            .prepare_step(&hashing, memory, scratch, channels.own)
    }

    /// Does the next bounded piece of work, at `now`; `ended` is how the job ended that the
    /// last poll asked for.
    pub fn poll<E: ReplicaEnv>(
        &mut self,
        now: Instant,
        ended: Option<JobEnd>,
        channels: &ReplicaChannels<'_>,
        env: &mut E,
    ) -> Next {
        // From page to page nothing is asked of the copies: at most an epoch is at stake.
        if self.is_busy == 0 || ended.is_some() {
            self.description = Description(self.copies.read());
        }
        let facts = Facts {
            description: self.description,
            hashing: self.description.hashing(),
            times: self.description.times(),
        };
        let was_busy = self.is_busy != 0 && ended.is_none();

        // Which epoch it is says the time, whatever was left undone of another.
        let epoch = facts.times.epoch_at(now);
        if self.epoch != epoch {
            self.enter(&facts, epoch, env);
        }
        if let Some(end) = ended {
            self.job_ended(&facts, end, env);
        }

        let next = match Phase::from_word(self.phase) {
            Phase::Open => self.open(&facts, now, channels, env),
            Phase::Job => {
                // Nobody has run it: the word has changed.
                self.member.cut_off();
                self.go_on(Phase::Hold)
            }
            Phase::Commit => self.commit(&facts, now, channels, env),
            Phase::Hold => self.hold(&facts, now, channels, env),
            Phase::Voted => self.wait_for_verdict(&facts, now),
            Phase::Close => self.close(&facts, now, channels, env),
            Phase::Repair => self.repair(&facts, now, channels, env),
            Phase::Over => Next::Release(self.job(&facts, epoch.saturating_add(1))),
        };

        let waits = matches!(next, Next::SleepUntil(_) | Next::Release(_));
        if waits && was_busy {
            // How long must not follow from a word that has changed meanwhile.
            self.is_busy = 0;
            return Next::Again;
        }
        self.is_busy = u64::from(next == Next::Again);
        next
    }

    /// A new epoch has begun, whatever the last one left undone.
    fn enter<E: ReplicaEnv>(&mut self, facts: &Facts, epoch: u64, env: &mut E) {
        if Phase::from_word(self.phase) == Phase::Repair {
            self.end_repair(self.member.work().is_target(), None, env);
        }
        env.released(&self.job(facts, epoch));
        self.epoch = epoch;
        self.is_recorded = 0;
        self.is_sure = 0;
        self.phase = Phase::Open as u64;
    }

    fn job(&self, facts: &Facts, epoch: u64) -> Job {
        let release = facts.times.release(epoch);
        Job {
            number: epoch,
            release,
            deadline: release.saturating_add(facts.description.deadline()),
        }
    }

    const fn go_on(&mut self, phase: Phase) -> Next {
        self.phase = phase as u64;
        Next::Again
    }

    const fn number(&self) -> u16 {
        self.description.number()
    }

    /// Whether the next job will find its budget.
    fn leaves_budget<E: ReplicaEnv>(&self, facts: &Facts, env: &E) -> bool {
        let next = facts.times.next_release(self.epoch);
        env.budget_by(next) >= facts.description.wcet()
    }

    fn complete<E: ReplicaEnv>(&mut self, facts: &Facts, env: &mut E) {
        if self.is_recorded == 0 {
            self.is_recorded = 1;
            env.completed(&self.job(facts, self.epoch));
        }
    }

    fn miss<E: ReplicaEnv>(&mut self, facts: &Facts, env: &mut E) {
        if self.is_recorded == 0 {
            self.is_recorded = 1;
            env.missed(&self.job(facts, self.epoch));
        }
    }
}

impl<S: AsMut<[u64]>> StateWords for ReplicaTask<S> {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        self.copies.visit(visitor);
        for word in &mut self.description.0 {
            visitor("description", word);
        }
        visitor("is_busy", &mut self.is_busy);
        visitor("epoch", &mut self.epoch);
        visitor("phase", &mut self.phase);
        visitor("is_recorded", &mut self.is_recorded);
        visitor("is_sure", &mut self.is_sure);
        visitor("is_outside", &mut self.is_outside);
        visitor("copied", &mut self.copied);
        visitor("is_last", &mut self.is_last);
        self.member.visit(visitor);
    }
}
