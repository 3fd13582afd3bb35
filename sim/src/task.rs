//! Who works on a core: threads with their jobs, which of them are woken by whom, and what
//! stands for the threads of a server without any.
use std::collections::VecDeque;

use tern_config::{Device, Runs, Sandbox, System, Thread};
use tern_units::{Duration, Instant};

use crate::JobHistory;
use crate::releases::Releases;

/// A thread with its jobs, or a stand-in. Tasks are numbered as the scheduler's threads.
pub(crate) struct Task<'a> {
    /// Index of its server in the sandbox.
    pub(crate) server: usize,
    /// Index in the server, `None` for a stand-in.
    thread: Option<usize>,
    deadline: Duration,
    releases: Releases<'a>,
    /// What it asks for at the end of each job.
    request: Option<Request>,
    released: u32,
    pending: VecDeque<PendingJob>,
    finished: u32,
    pub(crate) history: Vec<JobHistory>,
}

/// A released job that has not finished.
struct PendingJob {
    /// Work left.
    left: u64,
    /// What it will ask for.
    request: Option<Request>,
    /// The task that asked for it.
    requester: Option<usize>,
}

/// A job asks when this much of its work is left: what it does then is the last of it, but
/// the driver may preempt it.
const AFTER_REQUEST: u64 = 1;

/// Work for the driver of the device that a task sends through.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    /// The driver's task.
    pub(crate) driver: usize,
    pub(crate) work: u64,
}

/// A job that has ended.
pub(crate) struct Ended {
    pub(crate) number: u32,
    pub(crate) missed: bool,
    /// The task that this served.
    pub(crate) requester: Option<usize>,
}

/// The tasks of a sandbox, in the order of its threads.
pub(crate) fn tasks<'a>(system: &'a System, sandbox: &'a Sandbox) -> Vec<Task<'a>> {
    let mut tasks = Vec::new();
    let mut threads = Vec::new();
    for (index, server) in sandbox.servers.iter().enumerate() {
        for (position, thread) in server.threads.iter().enumerate() {
            let releases = releases(thread, &system.devices);
            tasks.push(Task::new(index, Some(position), thread.deadline, releases));
            threads.push(Some(thread));
        }
        if server.threads.is_empty() {
            let releases = Releases::of_bare_server(server);
            tasks.push(Task::new(index, None, server.deadline, releases));
            threads.push(None);
        }
    }
    let drivers = (0..).zip(&threads);
    let request = |device: u32| {
        let mut drivers = drivers.clone();
        drivers.find_map(|(driver, thread)| {
            let thread = thread.filter(|thread| thread.runs == Runs::Driver(device))?;
            let work = thread.wcet;
            Some(Request { driver, work })
        })
    };
    for (task, thread) in tasks.iter_mut().zip(&threads) {
        let device = thread.and_then(|thread| system.sends_through(thread));
        task.request = device.and_then(request);
    }
    tasks
}

/// A driver is woken by interrupts, taken to come with its period; where a program simulates
/// what is at the device's other end nothing interrupts, and there is only its first job.
fn releases<'a>(thread: &'a Thread, devices: &[Device]) -> Releases<'a> {
    let releases = Releases::of_thread(thread);
    let is_simulated = |index: u32| {
        let device = devices.get(index as usize);
        device.is_some_and(|device| device.channels.is_some())
    };
    match thread.runs {
        Runs::Driver(device) if is_simulated(device) => releases.only_one(),
        _ => releases,
    }
}

impl<'a> Task<'a> {
    fn new(server: usize, thread: Option<usize>, deadline: u64, releases: Releases<'a>) -> Self {
        Self {
            server,
            thread,
            deadline: Duration::from_nanos(deadline),
            releases,
            request: None,
            released: 0,
            pending: VecDeque::new(),
            finished: 0,
            history: Vec::new(),
        }
    }

    /// How many jobs it has, and asks others for, before `until`.
    pub(crate) fn count_before(&self, until: u64) -> u128 {
        let own = self.releases.count_before(until);
        own.saturating_mul(1 + self.request.iter().len() as u128)
    }

    /// Takes its next job off its list, if it is released before `until`.
    pub(crate) fn next_release(&mut self, until: u64) -> Option<tern_config::Job> {
        self.releases.next().filter(|job| job.at < until)
    }

    /// Releases a job; returns its number.
    pub(crate) fn release(&mut self, at: Instant, work: u64, requester: Option<usize>) -> u32 {
        self.pending.push_back(PendingJob {
            left: work,
            request: self.request,
            requester,
        });
        if let Some(thread) = self.thread {
            self.history.push(JobHistory {
                sandbox: 0,
                server: self.server,
                thread,
                release: at,
                deadline: at.saturating_add(self.deadline),
                finish: None,
            });
        }
        self.released += 1;
        self.released - 1
    }

    /// How long the job that it is at runs before it asks for something or ends.
    pub(crate) fn stretch(&self) -> Option<u64> {
        let job = self.pending.front()?;
        let rest = match job.request {
            Some(_) if job.left > AFTER_REQUEST => AFTER_REQUEST,
            _ => 0,
        };
        Some(job.left - rest)
    }

    /// Works for `time`, which is at most a stretch. Returns what the job asks for now.
    pub(crate) fn work(&mut self, time: u64) -> Option<Request> {
        let job = self.pending.front_mut()?;
        job.left -= time;
        job.request.take_if(|_| job.left <= AFTER_REQUEST)
    }

    /// Whether the work of the job that it is at is done.
    pub(crate) fn is_done(&self) -> bool {
        self.pending.front().is_some_and(|job| job.left == 0)
    }

    /// Ends the job that it is at.
    pub(crate) fn end(&mut self, at: Instant) -> Ended {
        let number = self.finished;
        let job = self.pending.pop_front();
        let mut ended = Ended {
            number,
            missed: false,
            requester: job.and_then(|job| job.requester),
        };
        if let Some(job) = self.history.get_mut(number as usize) {
            job.finish = Some(at);
            ended.missed = at > job.deadline;
        }
        self.finished += 1;
        ended
    }

    /// Whether it has no job.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether it has a job that `requester` asked for.
    pub(crate) fn works_for(&self, requester: usize) -> bool {
        let mut jobs = self.pending.iter();
        jobs.any(|job| job.requester == Some(requester))
    }
}
