//! How jobs come and end under an adversary.
use tern_sched::ThreadId;
use tern_trace::{Event, SleepEnd};
use tern_units::Instant;

use super::core::Core;
use super::task::{NextJob, PendingJob, Releases};
use super::{Choice, Environment};
use crate::JobHistory;

impl Core<'_> {
    /// Plans a task's first job; a driver's comes at once, and turns its device on.
    pub(super) fn begin(&mut self, index: usize) {
        match self.tasks[index].releases {
            Releases::Driver(_) => self.plan(index, 0),
            Releases::Clock { .. } | Releases::Explicit(_) => self.prepare(index),
        }
        self.wait(index);
    }

    /// Plans the next job of a task whose jobs do not come by a device.
    fn prepare(&mut self, index: usize) {
        let before = self.tasks[index].next.map_or(0, |next| next.release);
        let server = self.tasks[index].server;
        let jitter = self.sandbox.servers[server].jitter;
        let overruns = self.environment.overrunning.contains(&(self.index, server));
        let Self {
            environment,
            random,
            index: sandbox,
            ..
        } = self;
        let task = &mut self.tasks[index];
        let wcet = task.wcet;
        // What stands for all of a server's threads always asks for all of its budget.
        let (shortfall, gaps) = match task.thread {
            Some(_) => (environment.shortfall, environment.gaps),
            None => (Choice::Least, Choice::Least),
        };
        let work = match overruns && random.bool() {
            true => random.u64(wcet + 1..=wcet.saturating_mul(Environment::OVERRUN).max(wcet + 1)),
            false => wcet - shortfall.of(wcet.saturating_sub(1), random),
        };
        let arrives = |at: u64, work, random: &mut fastrand::Rng| NextJob {
            arrival: Some(at),
            release: at
                .saturating_add(environment.lateness(*sandbox, at, jitter, random))
                .max(before),
            work,
        };
        task.next = match &mut task.releases {
            Releases::Clock {
                next,
                period,
                verdict,
            } => {
                // After each job of a replica a wake for its verdict, at which it finds no work.
                let wake = verdict.filter(|_| task.next.is_some_and(|it| it.arrival.is_some()));
                match wake {
                    Some(after) => Some(NextJob {
                        arrival: None,
                        release: (*next - *period).saturating_add(after).max(before),
                        work: 0,
                    }),
                    None => {
                        let left_out = gaps.of(3, random).saturating_mul(*period);
                        let at = next.saturating_add(left_out);
                        *next = at.saturating_add(*period);
                        Some(arrives(at, work, random))
                    }
                }
            }
            Releases::Explicit(jobs) => jobs.next().map(|job| {
                let work = match work > wcet {
                    true => work,
                    false => work.min(job.work),
                };
                arrives(job.at, work, random)
            }),
            Releases::Driver(_) => None,
        };
    }

    /// Releases the jobs whose time has come. The scheduler itself wakes the threads that sleep
    /// until then.
    pub(super) fn release(&mut self, now: u64) {
        for index in 0..self.tasks.len() {
            let mut came = false;
            while let Some(next) = self.tasks[index].next
                && next.release <= now
                && next.release < self.until
            {
                came = true;
                self.start(index, next);
                match &self.tasks[index].releases {
                    Releases::Driver(_) => self.tasks[index].next = None,
                    Releases::Clock { .. } | Releases::Explicit(_) => self.prepare(index),
                }
            }
            // A wake that takes no time is none.
            if came && self.tasks[index].pending.is_empty() {
                self.wait(index);
            }
        }
    }

    /// Adds a released job to those of its task.
    fn start(&mut self, index: usize, job: NextJob) {
        // What its release and its end cost is part of it.
        let most = match self.tasks[index].thread {
            Some(_) => self.activation,
            None => 0,
        };
        let cost = self.environment.charges.of(most, &mut self.random);
        self.counts.charges += u64::from(cost > 0);
        self.counts.overruns += u64::from(job.work > self.tasks[index].wcet);
        let left = job.work.saturating_add(cost);
        let task = &mut self.tasks[index];
        if left == 0 {
            return;
        }
        let sends = task.driver.is_some() && job.arrival.is_some();
        task.pending.push_back(PendingJob {
            arrival: job.arrival,
            left,
            // Before its last nanosecond, so that what preempts it may be the driver.
            sends_at: sends.then(|| match self.random.bool() {
                true => 1.min(left),
                false => self.random.u64(0..=left),
            }),
        });
        if let (Some(arrival), Some(thread)) = (job.arrival, task.thread) {
            let history = &mut self.history[index];
            history.push(JobHistory {
                sandbox: self.index,
                server: task.server,
                thread,
                release: Instant::from_nanos(arrival),
                deadline: Instant::from_nanos(arrival.saturating_add(task.deadline)),
                finish: None,
            });
            let (thread, job) = (index as u16, history.len() as u32 - 1);
            self.listener
                .recorder
                .record(Event::Release { thread, job });
        }
    }

    /// Ends the job that a task is at.
    pub(super) fn end(&mut self, index: usize) {
        let Some(done) = self.tasks[index].pending.pop_front() else {
            return;
        };
        let now = self.listener.recorder.now;
        let (thread, job) = (index as u16, self.tasks[index].done);
        if done.arrival.is_some()
            && let Some(history) = self.history[index].get_mut(job as usize)
        {
            history.finish = Some(now);
            self.tasks[index].done += 1;
            let missed = now > history.deadline;
            self.listener
                .recorder
                .record(Event::Complete { thread, job });
            if missed {
                self.listener.recorder.record(Event::Miss { thread, job });
            }
        }
        if matches!(self.tasks[index].releases, Releases::Driver(_)) {
            self.driver_ends(index, now.as_nanos());
        }
        if self.tasks[index].pending.is_empty() {
            self.wait(index);
        }
    }

    /// Lets a task without a job sleep until its next one.
    pub(super) fn wait(&mut self, index: usize) {
        let thread = ThreadId::new(index as u16);
        let until = self.tasks[index]
            .next
            .map(|it| Instant::from_nanos(it.release));
        let until = until.filter(|it| it.as_nanos() < self.until);
        let record = Event::Block {
            thread: index as u16,
            until: until.map(SleepEnd::of),
        };
        self.listener.recorder.record(record);
        match until {
            Some(until) => self
                .scheduler
                .sleep_until(thread, until, &mut self.listener),
            None => self.scheduler.block(thread, &mut self.listener),
        }
    }
}
