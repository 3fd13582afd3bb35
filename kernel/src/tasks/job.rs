//! Periodic jobs: releases at offset + k × period without drift, completions, and
//! missed deadlines.
use crate::{clock, thread, trace};
use tern_trace::Event;
use tern_units::{Duration, Instant};

/// The releases of the running thread. None is skipped: after an overrun the next job
/// begins at once, its release still the one that the period gives.
#[derive(Clone, Debug)]
pub struct Releases {
    offset: Instant,
    period: Duration,
    deadline: Duration,
    next: u64,
}

/// One job of the running thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number, from zero.
    pub number: u64,
    /// Its release.
    pub release: Instant,
    /// Its absolute deadline.
    pub deadline: Instant,
}

impl Releases {
    /// The releases that the system description gives a thread.
    #[must_use]
    pub fn of(description: &tern_config::Thread) -> Self {
        Self {
            offset: Instant::from_nanos(description.offset),
            period: Duration::from_nanos(description.period),
            deadline: Duration::from_nanos(description.deadline),
            next: 0,
        }
    }

    /// The next job, without a wait for its release.
    pub fn upcoming(&mut self) -> Job {
        let number = self.next;
        self.next += 1;
        let elapsed = self.period.saturating_mul(number);
        let release = self.offset.saturating_add(elapsed);
        Job {
            number,
            release,
            deadline: release.saturating_add(self.deadline),
        }
    }

    /// The next job, from its release on.
    pub fn next(&mut self) -> Job {
        let job = self.upcoming();
        if !job.is_first() {
            thread::sleep_until_release(job.release, job.number as u32);
        }
        job
    }
}

impl Job {
    /// Whether it is the thread's first: the kernel starts the thread at its release.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.number == 0
    }

    /// Records that the job is complete, and whether that was too late.
    pub fn complete(self) {
        let late = clock::now() > self.deadline;
        let thread = thread::current().0;
        let job = self.number as u32;
        trace::record(Event::Complete { thread, job });
        if late {
            trace::record(Event::Miss { thread, job });
        }
    }

    /// Records that the job will not be completed.
    pub fn missed(self) {
        let thread = thread::current().0;
        let job = self.number as u32;
        trace::record(Event::Miss { thread, job });
    }
}
