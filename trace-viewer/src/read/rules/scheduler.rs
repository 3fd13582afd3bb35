//! Rules of what a scheduler decides and what its threads ask of it: releases, switches,
//! sleeps, completions; and who may have used budget. How much is for `conformance` to say.
use tern_config::{Runs, ServerKind};
use tern_trace::{SleepEnd, Trace};
use tern_units::{Duration, Instant};

use super::jobs::Missed;
use super::{Across, CoreRules, Possible};
use crate::layout::has_one_voter;
use crate::read::threads::State;
use crate::table::exact_instant;

impl CoreRules<'_> {
    /// Jobs are released in the order of their numbers, none before its time. A kernel releases
    /// one when the last has ended and its thread has slept enough.
    pub(super) fn release(&mut self, at: i64, thread: u16, job: u32) -> Possible {
        self.after_the_epoch(at)?;
        let name = self.names.thread_name(thread);
        let next = self.threads.released(thread);
        if job != next {
            return Err(format!("{name}: job {job} is released, and {next} is next"));
        }
        self.release_in_time(at, thread, job)?;
        if self.is_simulated() {
            return Ok(());
        }

        if !self.jobs[usize::from(thread)].all_ended(job) {
            return Err(format!(
                "{name}: job {job} is released before the last ends"
            ));
        }
        self.no_open_round(thread)?;
        let is_driver = matches!(
            self.names.threads[usize::from(thread)].runs,
            Runs::Driver(_)
        );
        if is_driver && job > 0 && !self.machine.was_woken(thread) {
            return Err(format!(
                "{name}: job {job} begins, and nobody woke the driver"
            ));
        }
        match self.threads.state(thread) {
            // It asks for its next job itself: a driver always does, others where they are late.
            Some(State::Ready) => self.acts(at, thread),
            Some(State::Sleeping(until)) if until <= at => Ok(()),
            Some(State::Sleeping(until)) => Err(format!(
                "{name}: job {job} is released, and the thread sleeps until {}",
                exact_instant(until)
            )),
            Some(State::Waiting) | None => {
                Err(format!("{name}: job {job} is released, and nobody woke it"))
            }
        }
    }

    /// A job is released at offset + number x period, or at its explicit time: then or, by a
    /// kernel that is busy, later.
    fn release_in_time(&self, at: i64, thread: u16, job: u32) -> Possible {
        let known = &self.names.threads[usize::from(thread)];
        let due = match known.nominal() {
            Some(nominal) => Some(nominal.release(job)),
            None if known.explicit_releases.is_empty() => None,
            None => match known.explicit_releases.get(job as usize) {
                Some(release) => Some(*release),
                None => return Err(format!("{} has no job {job}", known.name)),
            },
        };
        let Some(due) = due else { return Ok(()) };
        let name = &known.name;
        if at < due {
            return Err(format!(
                "{name}: job {job} is released, and is due at {}",
                exact_instant(due)
            ));
        }
        match self.is_simulated() && at > due {
            true => Err(format!(
                "{name}: job {job} is released, and was due at {}: the simulator is never late",
                exact_instant(due)
            )),
            false => Ok(()),
        }
    }

    /// The core turns to another thread than it was with, which wants it.
    pub(super) fn switch(&mut self, at: i64, thread: Option<u16>) -> Possible {
        self.after_the_epoch(at)?;
        if thread == self.threads.running() {
            let who = thread.map_or("idle".to_string(), |it| self.names.thread_name(it));
            return Err(format!("the core turns to {who}, which it is with"));
        }
        let Some(thread) = thread else { return Ok(()) };
        let name = self.names.thread_name(thread);
        if !self.threads.wants(thread, at) {
            return Err(format!("{name} gets the core, and sleeps"));
        }
        self.machine.switched();
        match self.runs_program(thread) && !self.machine.has_process(thread) {
            true if !self.is_simulated() => Err(format!(
                "{name} gets the core, and its program was not loaded"
            )),
            true | false => Ok(()),
        }
    }

    /// The running thread goes to sleep: when its job has ended, and until its next release or
    /// (a driver, or one that has stopped) until it is woken. A replica sleeps within its
    /// epoch, too, and so does one of several voters.
    pub(super) fn block(
        &mut self,
        at: i64,
        thread: u16,
        until: Option<SleepEnd>,
        across: &mut Across,
    ) -> Possible {
        self.acts(at, thread)?;
        let known = &self.names.threads[usize::from(thread)];
        let (name, released) = (&known.name, self.threads.released(thread));
        let ended = self.jobs[usize::from(thread)].all_ended(released);
        let Some(until) = until else {
            let is_driver = matches!(known.runs, Runs::Driver(_));
            let must_end = self.is_simulated() || is_driver && !self.machine.lacks_device;
            return match must_end && !ended {
                true => Err(format!("{name} blocks, and its job has not ended")),
                false if self.machine.waits(thread) => {
                    Err(format!("{name} waits to be woken, and has been"))
                }
                false => Ok(()),
            };
        };

        self.only_a_machine("thread that sleeps by the clock")?;
        let next = known.nominal().map(|nominal| nominal.release(released));
        let is_next = next
            .is_some_and(|next| SleepEnd::of(Instant::from_nanos(next.unsigned_abs())) == until);
        match known.runs {
            Runs::Replica(_) => Ok(()),
            Runs::Nothing => Err(format!("{name} sleeps by the clock")),
            Runs::Driver(_) if !ended => Err(format!("{name} sleeps, and its job has not ended")),
            // It keeps the distance between its jobs that it was promised.
            Runs::Driver(_) if !self.machine.sleeps(thread) => {
                Err(format!("{name} sleeps, and nobody woke it"))
            }
            Runs::Driver(_) => Ok(()),
            Runs::Program { .. } | Runs::Voter(_) if !ended => {
                Err(format!("{name} sleeps, and its job has not ended"))
            }
            Runs::Voter(set) if self.awaits_verdict(set, thread, until) => Ok(()),
            Runs::Program { .. } | Runs::Voter(_) if !is_next => {
                Err(format!("{name} sleeps, and not until its next release"))
            }
            Runs::Program { .. } => Ok(()),
            Runs::Voter(set) => {
                self.voter_rests(at, set, thread, across);
                Ok(())
            }
        }
    }

    /// A driver is woken, by its device or by who sends through it.
    pub(super) fn wake(&mut self, at: i64, thread: u16) -> Possible {
        self.only_a_machine("thread that is woken")?;
        self.after_the_epoch(at)?;
        let known = &self.names.threads[usize::from(thread)];
        let name = &known.name;
        if !matches!(known.runs, Runs::Driver(_)) {
            return Err(format!("{name} is woken, and is no driver"));
        }
        if !self.machine.in_interrupt() && self.threads.running().is_none() {
            return Err(format!("{name} is woken, and by nobody"));
        }
        if self.threads.state(thread) == Some(State::Waiting) {
            return Ok(());
        }
        match self.machine.woken(thread) {
            true => Err(format!("{name} is woken a second time before it waits")),
            false => Ok(()),
        }
    }

    /// The running thread's job, which was released, is done; those before it had ended.
    pub(super) fn complete(&mut self, at: i64, thread: u16, job: u32) -> Possible {
        self.acts(at, thread)?;
        let released = self.threads.released(thread);
        self.jobs[usize::from(thread)].complete(job, released)?;
        self.machine.job_ended(thread);
        self.voted_by_now(thread, job)
    }

    /// A job that was just completed was late; or a replica's or a voter's, or a program's that
    /// faulted, is given up. When a kernel gives one up depends on the program; a voter does once
    /// the job's epoch is over, and one of several where the others no longer wait for it.
    pub(super) fn miss(&mut self, at: i64, thread: u16, job: u32) -> Possible {
        self.acts(at, thread)?;
        let known = &self.names.threads[usize::from(thread)];
        let released = self.threads.released(thread);
        match self.jobs[usize::from(thread)].miss(job, released)? {
            Missed::Cancelled if self.gives_up(at, thread, job) => Ok(()),
            Missed::Cancelled => Err(format!("{}: job {job} is given up", known.name)),
            Missed::Late => {
                let (Some(nominal), Some(deadline)) = (known.nominal(), known.deadline()) else {
                    return Ok(());
                };
                let due = nominal.release(job).saturating_add_unsigned(deadline);
                match at > due {
                    true => Ok(()),
                    false => Err(format!(
                        "{}: job {job} is said to be late, and has until {}",
                        known.name,
                        exact_instant(due)
                    )),
                }
            }
        }
    }

    /// The running server has used up what it had.
    pub(super) fn exhaust(&mut self, at: i64, server: u16, amount: Duration) -> Possible {
        self.used_something(at, server, amount)?;
        self.runs(server)
    }

    /// The running server is charged; an I/O server also when others ask it for work, or are
    /// served.
    pub(super) fn posted(&mut self, at: i64, server: u16, amount: Duration) -> Possible {
        self.used_something(at, server, amount)?;
        match self.names.servers[usize::from(server)].kind {
            ServerKind::Sporadic => self.runs(server),
            ServerKind::Io => Ok(()),
        }
    }

    /// A server that waited for budget gets some, and may then get the core.
    pub(super) fn applied(&mut self, at: i64, server: u16, amount: Duration) -> Possible {
        self.used_something(at, server, amount)?;
        let name = self.names.server_name(server);
        if self.runs(server).is_ok() {
            return Err(format!("{name} gets budget that it waited for, and runs"));
        }
        let threads = self.names.servers[usize::from(server)].threads.clone();
        let mut threads = threads.map(|thread| thread as u16);
        match threads.any(|thread| self.threads.wants(thread, at)) {
            true => Ok(()),
            false => Err(format!("{name} gets budget, and none of its threads waits")),
        }
    }

    fn used_something(&self, at: i64, server: u16, amount: Duration) -> Possible {
        self.after_the_epoch(at)?;
        match amount.is_zero() {
            true => Err(format!(
                "{}: an amount of nothing",
                self.names.server_name(server)
            )),
            false => Ok(()),
        }
    }

    fn runs(&self, server: u16) -> Possible {
        let running = self.threads.running();
        let has_core = running.and_then(|thread| self.names.server_of(thread));
        match has_core == Some(usize::from(server)) {
            true => Ok(()),
            false => Err(format!(
                "{} used budget, and has not the core",
                self.names.server_name(server)
            )),
        }
    }

    /// Whether a thread's work is a program's.
    pub(super) fn runs_program(&self, thread: u16) -> bool {
        let known = self.names.threads.get(usize::from(thread));
        known.is_some_and(|known| match known.runs {
            Runs::Program { .. } | Runs::Replica(_) => true,
            Runs::Nothing | Runs::Voter(_) | Runs::Driver(_) => false,
        })
    }

    /// Whether a thread may end a job at `at` that is not complete.
    fn gives_up(&self, at: i64, thread: u16, job: u32) -> bool {
        if self.is_simulated() {
            return false;
        }
        let known = self.names.threads.get(usize::from(thread));
        let Some(Runs::Voter(set)) = known.map(|known| &known.runs) else {
            return self.runs_program(thread);
        };
        let set = self.system.replica_sets.get(*set as usize);
        set.is_some_and(|set| {
            let epochs = u64::from(job) + 1;
            let is_over = at >= Trace::within_horizon(epochs.saturating_mul(set.period));
            is_over || !has_one_voter(set)
        })
    }

    /// No thread runs before the time epoch, nor before the clock was read for it.
    fn after_the_epoch(&self, at: i64) -> Possible {
        if at < 0 {
            return Err("a thread runs before the time epoch".to_string());
        }
        match self.machine.is_synchronized() {
            true => Ok(()),
            false => Err("a thread runs before the clock was read at the time epoch".to_string()),
        }
    }
}
