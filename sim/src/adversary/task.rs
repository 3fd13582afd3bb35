//! Who works on a core under an adversary: threads with the jobs that have come, and when the
//! next one does.
use std::collections::VecDeque;

use tern_config::{Job, Runs, Sandbox, Server, System, Thread};

/// A thread with its jobs, or what stands for the threads of a server without any. Tasks are
/// numbered as the scheduler's threads. Times are nanoseconds.
#[derive(Debug)]
pub(super) struct Task<'a> {
    /// Index of its server in the sandbox.
    pub(super) server: usize,
    /// Index in the server, `None` for a stand-in.
    pub(super) thread: Option<usize>,
    pub(super) wcet: u64,
    pub(super) deadline: u64,
    pub(super) releases: Releases<'a>,
    /// The task of the driver that it sends through.
    pub(super) driver: Option<usize>,
    /// The jobs that are released and not done.
    pub(super) pending: VecDeque<PendingJob>,
    /// The next one.
    pub(super) next: Option<NextJob>,
    /// How many of those whose response counts are done.
    pub(super) done: u32,
}

/// What releases the jobs of a task.
#[derive(Debug)]
pub(super) enum Releases<'a> {
    /// The clock, at `next` and each period after that.
    Clock {
        next: u64,
        period: u64,
        /// Of a replica that is voted on: how long after the release it wakes for the verdict.
        verdict: Option<u64>,
    },
    /// The description, one by one.
    Explicit(std::slice::Iter<'a, Job>),
    /// A device, and who sends through it.
    Driver(Driver),
}

/// The state of a driver and its device.
#[derive(Debug)]
pub(super) struct Driver {
    /// The least time from the begin of one of its jobs to the next.
    pub(super) period: u64,
    /// From which priority on its line interrupts; `None` for a simulated device.
    pub(super) line: Option<u32>,
    /// When the last job began, or will.
    pub(super) begun: Option<u64>,
    /// Whether there is a job that has not begun or is not done.
    pub(super) busy: bool,
    /// When the device, which is turned on, interrupts.
    pub(super) interrupt: Option<u64>,
    /// The tasks whose requests wait, and how many jobs have worked for each.
    pub(super) requesters: Vec<(usize, u32)>,
}

/// A released job that is not done.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingJob {
    /// From when on its response counts; `None` for a wake that no bound is wanted for.
    pub(super) arrival: Option<u64>,
    /// Work left.
    pub(super) left: u64,
    /// It sends when this much is left.
    pub(super) sends_at: Option<u64>,
}

/// A job that is to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct NextJob {
    pub(super) arrival: Option<u64>,
    pub(super) release: u64,
    pub(super) work: u64,
}

/// The tasks of a sandbox, in the order of its threads.
pub(super) fn tasks<'a>(system: &'a System, index: usize) -> Vec<Task<'a>> {
    let sandbox = &system.sandboxes[index];
    let mut tasks: Vec<Task<'a>> = Vec::new();
    for (place, server) in sandbox.servers.iter().enumerate() {
        let threads = server.threads.iter().enumerate();
        tasks.extend(threads.map(|(position, thread)| Task {
            thread: Some(position),
            wcet: thread.wcet,
            deadline: thread.deadline,
            ..Task::new(place, releases(system, index, thread))
        }));
        if server.threads.is_empty() {
            tasks.push(stand_in(place, server));
        }
    }
    let drivers = senders(system, sandbox);
    for (task, driver) in tasks.iter_mut().zip(drivers) {
        task.driver = driver;
    }
    tasks
}

impl<'a> Task<'a> {
    const fn new(server: usize, releases: Releases<'a>) -> Self {
        Self {
            server,
            thread: None,
            wcet: 0,
            deadline: u64::MAX,
            releases,
            driver: None,
            pending: VecDeque::new(),
            next: None,
            done: 0,
        }
    }

    /// Returns how long the job that it is at runs before it sends or is done.
    pub(super) fn stretch(&self) -> Option<u64> {
        let job = self.pending.front()?;
        Some(job.left - job.sends_at.unwrap_or(0))
    }
}

/// Returns the task that uses the whole budget of a server without threads every period.
fn stand_in<'a>(place: usize, server: &Server) -> Task<'a> {
    let releases = Releases::Clock {
        next: 0,
        period: server.period,
        verdict: None,
    };
    Task {
        wcet: server.budget,
        ..Task::new(place, releases)
    }
}

fn releases<'a>(system: &System, sandbox: usize, thread: &'a Thread) -> Releases<'a> {
    let clock = |verdict| Releases::Clock {
        next: thread.offset,
        period: thread.period.max(1),
        verdict,
    };
    match thread.runs {
        Runs::Nothing if !thread.jobs.is_empty() => Releases::Explicit(thread.jobs.iter()),
        Runs::Nothing | Runs::Program { .. } | Runs::Voter(_) => clock(None),
        Runs::Replica(set) => {
            let set = system.replica_sets.get(set as usize);
            let voted = set.filter(|set| set.voting.has_verdicts());
            clock(voted.map(|set| set.verdict_deadline))
        }
        Runs::Driver(device) => Releases::Driver(Driver {
            period: thread.period.max(1),
            line: system.line_priority(sandbox, device),
            begun: None,
            busy: false,
            interrupt: None,
            requesters: Vec::new(),
        }),
    }
}

/// Returns for each task the task of the driver whose device it sends through.
fn senders<'a>(system: &'a System, sandbox: &'a Sandbox) -> impl Iterator<Item = Option<usize>> {
    let servers = sandbox.servers.iter();
    let all = servers.flat_map(|server| {
        let stand_in = server.threads.is_empty().then_some(None);
        server.threads.iter().map(Some).chain(stand_in)
    });
    let all: Vec<Option<&Thread>> = all.collect();
    let drivers: Vec<_> = all.iter().map(|it| it.map(|it| it.runs.clone())).collect();
    all.into_iter().map(move |thread| {
        let device = system.sends_through(thread?)?;
        let driver = Some(Runs::Driver(device));
        drivers.iter().position(|runs| *runs == driver)
    })
}
