//! The jobs of a thread that runs a task, as they are recorded: each is released and then ends,
//! whatever the task makes of its epochs.
use super::job::Job;
use crate::{clock, thread, trace};
use tern_trace::Event;
use tern_units::{Duration, Instant};

/// The jobs of one thread.
#[derive(Debug)]
pub struct TaskJobs {
    /// The next to be released.
    next: u64,
    /// The one that has been and has not ended.
    open: Option<Job>,
    offset: Instant,
    period: Duration,
    /// Whether they are the ones that exit counts are recorded with.
    records_exits: bool,
}

impl TaskJobs {
    /// Jobs that are recorded at once, at most: a thread that was held for longer leaves a gap.
    const MOST: u64 = 1_000;

    /// The jobs of a thread that starts with the release of its first, which is recorded then.
    #[must_use]
    pub const fn new(thread: &tern_config::Thread, records_exits: bool) -> Self {
        let release = Instant::from_nanos(thread.offset);
        Self {
            next: 1,
            open: Some(Job {
                number: 0,
                release,
                deadline: release.saturating_add(Duration::from_nanos(thread.deadline)),
            }),
            offset: release,
            period: Duration::from_nanos(thread.period),
            records_exits,
        }
    }

    /// Sleeps until a job's release, which is recorded as it comes.
    pub fn sleep_until(&mut self, job: Job) {
        if !self.is_new(&job) {
            return thread::sleep_until(job.release);
        }
        self.pass_over(&job);
        thread::sleep_until_release(job.release, job.number as u32);
        self.begin(job);
    }

    /// A job has begun: records its release, unless it was slept for.
    pub fn released(&mut self, job: Job) {
        if self.is_new(&job) {
            self.pass_over(&job);
            release(job.number);
            self.begin(job);
        }
    }

    /// A job is complete, whether in time or not.
    pub fn completed(&mut self, job: &Job) {
        if let Some(open) = self.open.take_if(|open| open.number == job.number) {
            open.complete();
            self.ended();
        }
    }

    /// A job will not be completed in time.
    pub fn missed(&mut self, job: &Job) {
        if let Some(open) = self.open.take_if(|open| open.number == job.number) {
            open.missed();
            self.ended();
        }
    }

    /// Whether a job is one that has not been released, and can be the thread's last or its
    /// next: a task whose words have changed may name any.
    fn is_new(&self, job: &Job) -> bool {
        let since = clock::now().saturating_since(self.offset).as_nanos();
        let due = since / self.period.as_nanos().max(1);
        (self.next..=due.saturating_add(1)).contains(&job.number)
    }

    fn begin(&mut self, job: Job) {
        self.next = job.number.saturating_add(1);
        self.open = Some(job);
    }

    /// Records that what has not ended before a job, or never began, was missed.
    fn pass_over(&mut self, job: &Job) {
        if let Some(open) = self.open.take() {
            open.missed();
        }
        let first = self.next.max(job.number.saturating_sub(Self::MOST));
        for number in first..job.number {
            release(number);
            Job { number, ..*job }.missed();
        }
    }

    fn ended(&self) {
        if self.records_exits {
            trace::record_exits();
        }
    }
}

fn release(number: u64) {
    let (thread, job) = (thread::current().0, number as u32);
    trace::record(Event::Release { thread, job });
}
