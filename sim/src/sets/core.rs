//! One core of a set's system: a sandbox's servers and threads under the kernel's scheduler,
//! whose threads do what the kernel's do with a task.
use tern_config::{Runs, Sandbox};
use tern_replication::{JobEnd, Next};
use tern_sched::{Scheduler, ServerId, Silent, ThreadId};
use tern_units::{Duration, Instant};

use super::costs::Costs;
use super::program::{ToyJob, next};
use crate::core::parameters;

/// What a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The replica of that number.
    Replica(usize),
    /// The voter of that number.
    Voter(usize),
    /// Another thread, that only takes time: periodic, up to its `wcet`.
    Load {
        /// Its period.
        period: u64,
        /// The relative deadline of its jobs.
        deadline: u64,
        /// The most that a job takes.
        wcet: u64,
        /// The release of its next job.
        release: u64,
    },
    /// Never released.
    Idle,
}

/// What a thread is at.
#[derive(Clone, Debug)]
pub(crate) enum Activity {
    /// It sleeps.
    Asleep,
    /// It is about to be at the end of a piece of work, with so much time left for it.
    Working {
        /// Time that the piece still takes.
        left: u64,
        /// What it is.
        piece: Piece,
    },
}

/// A piece of work, which takes effect at its end.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// A poll of the thread's task.
    Poll(Option<JobEnd>),
    /// A write of the program's job, which is cut off at the instant.
    Write(Box<ToyJob>, Instant),
    /// A job of a load.
    Load,
}

/// A thread.
#[derive(Clone, Debug)]
pub(crate) struct SimThread {
    pub(crate) role: Role,
    pub(crate) activity: Activity,
}

/// A core.
#[derive(Clone, Debug)]
pub(crate) struct SetCore {
    scheduler: Box<Scheduler<8, 16, 1>>,
    pub(crate) threads: Vec<SimThread>,
    running: Option<usize>,
    /// When the scheduler wants to be asked again.
    timer: u64,
    /// Up to when the running thread's work is accounted for.
    at: u64,
    /// When it is held: it executes nothing then, and its timer fires at the end.
    holds: Vec<(u64, u64)>,
    /// The most that a timer is late, and the generator of how late.
    lateness: u64,
    luck: u64,
    random: u64,
    /// Jobs of loads that were not done in time.
    pub(crate) late_loads: u64,
}

impl SetCore {
    pub(crate) fn new(
        sandbox: &Sandbox,
        set: usize,
        replica: Option<usize>,
        voter: Option<usize>,
        seed: u64,
    ) -> Self {
        let mut core = Self {
            scheduler: Box::new(Scheduler::new()),
            threads: Vec::new(),
            running: None,
            timer: 0,
            at: 0,
            holds: Vec::new(),
            lateness: 0,
            luck: 0,
            random: seed,
            late_loads: 0,
        };
        for server in &sandbox.servers {
            let added = core.scheduler.add_server(parameters(server));
            let server_id = added.expect("the description was checked");
            for thread in &server.threads {
                core.scheduler
                    .add_thread(server_id)
                    .expect("the description was checked");
                let role = match thread.runs {
                    Runs::Replica(of) if of as usize == set => replica.map(Role::Replica),
                    Runs::Voter(of) if of as usize == set => voter.map(Role::Voter),
                    Runs::Replica(_) | Runs::Voter(_) | Runs::Driver(_) | Runs::Nothing => None,
                    Runs::Program { .. } => Some(Role::Load {
                        period: thread.period,
                        deadline: thread.deadline,
                        wcet: thread.wcet,
                        release: thread.offset,
                    }),
                };
                let role = role.unwrap_or(Role::Idle);
                core.threads.push(SimThread {
                    role,
                    activity: Activity::Asleep,
                });
                if role != Role::Idle {
                    let first = Instant::from_nanos(thread.offset);
                    core.sleep_until(core.threads.len() - 1, first);
                }
            }
        }
        core
    }

    /// Whether the core is held, or was.
    pub(crate) fn was_held(&self) -> bool {
        !self.holds.is_empty()
    }

    /// Whether the core is held after `now`.
    pub(crate) fn is_held_after(&self, now: u64) -> bool {
        self.holds.iter().any(|(_, until)| *until > now)
    }

    /// Holds the core from `from` on for `time`.
    pub(crate) fn hold(&mut self, from: u64, time: u64) {
        self.holds.push((from, from.saturating_add(time)));
    }

    /// Lets timers be late by up to `lateness`.
    pub(crate) fn be_late(&mut self, lateness: u64) {
        self.lateness = lateness;
    }

    /// When something happens here next.
    pub(crate) fn next_event(&self) -> u64 {
        let done = match self.running.map(|thread| &self.threads[thread].activity) {
            Some(Activity::Working { left, .. }) => self.at.saturating_add(*left),
            Some(Activity::Asleep) | None => u64::MAX,
        };
        let event = done.min(self.timer.saturating_add(self.luck)).max(self.at);
        // Nothing happens on a core that is held; at its begin its work stands still.
        let held = self
            .holds
            .iter()
            .find(|(from, until)| (*from..*until).contains(&event));
        held.map_or(event, |(_, until)| *until)
    }

    /// Goes on to `now`, which is when the next event happens; returns the thread whose piece
    /// of work is at its end.
    pub(crate) fn advance(&mut self, now: u64) -> Option<usize> {
        let held = |(from, until): &(u64, u64)| until.min(&now).saturating_sub(*from.max(&self.at));
        let still: u64 = self.holds.iter().map(held).sum();
        let worked = (now - self.at).saturating_sub(still);
        self.at = now;
        let thread = self.running?;
        match &mut self.threads[thread].activity {
            Activity::Working { left, .. } => {
                *left = left.saturating_sub(worked);
                (*left == 0).then_some(thread)
            }
            Activity::Asleep => None,
        }
    }

    /// Decides who runs from `now` on. A thread that was asleep and runs is polled.
    pub(crate) fn dispatch(&mut self, now: u64, costs: &Costs) {
        let decision = self
            .scheduler
            .dispatch(Instant::from_nanos(now), &mut Silent);
        self.timer = decision.timer.as_nanos();
        self.luck = match self.lateness {
            0 => 0,
            most => next(&mut self.random) % (most + 1),
        };
        self.running = decision.thread.map(ThreadId::index);
        let Some(running) = self.running else {
            return;
        };
        let thread = &mut self.threads[running];
        if let Activity::Asleep = thread.activity {
            let (left, piece) = match thread.role {
                Role::Load { wcet, .. } => (1 + next(&mut self.random) % wcet.max(1), Piece::Load),
                Role::Replica(_) | Role::Voter(_) | Role::Idle => (costs.poll, Piece::Poll(None)),
            };
            thread.activity = Activity::Working { left, piece };
        }
    }

    /// Lets a thread go on with what its task asked for.
    pub(crate) fn carry_out(&mut self, thread: usize, now: u64, asked: &Next, costs: &Costs) {
        let (left, piece) = match asked {
            Next::RunJob { input, until } => {
                let job = Box::new(ToyJob::new(input));
                (costs.write, Piece::Write(job, *until))
            }
            Next::Again => (costs.poll, Piece::Poll(None)),
            Next::SleepUntil(at) => return self.sleep_or_poll(thread, now, *at, costs),
            Next::Release(job) => return self.sleep_or_poll(thread, now, job.release, costs),
        };
        self.threads[thread].activity = Activity::Working { left, piece };
    }

    /// As the kernel does: an instant that has passed is no reason to sleep.
    fn sleep_or_poll(&mut self, thread: usize, now: u64, at: Instant, costs: &Costs) {
        if at.as_nanos() > now {
            self.sleep_until(thread, at);
        } else {
            self.threads[thread].activity = Activity::Working {
                left: costs.poll,
                piece: Piece::Poll(None),
            };
        }
    }

    pub(crate) fn sleep_until(&mut self, thread: usize, at: Instant) {
        self.threads[thread].activity = Activity::Asleep;
        let thread = ThreadId::new(thread as u16);
        self.scheduler.sleep_until(thread, at, &mut Silent);
    }

    /// The job of a load is done at `now`.
    pub(crate) fn end_load(&mut self, thread: usize, now: u64) {
        if let Role::Load {
            period,
            deadline,
            release,
            ..
        } = &mut self.threads[thread].role
        {
            self.late_loads += u64::from(now > release.saturating_add(*deadline));
            *release += *period;
            let at = Instant::from_nanos(*release);
            self.sleep_until(thread, at);
        }
    }

    /// The budget that the server of `thread` will have at `at`.
    pub(crate) fn budget_by(&self, thread: usize, now: u64, at: Instant) -> Duration {
        let thread = ThreadId::new(thread as u16);
        let server: Option<ServerId> = self.scheduler.server_of(thread);
        server.map_or(Duration::ZERO, |server| {
            self.scheduler
                .budget_by(server, Instant::from_nanos(now), at)
        })
    }
}
