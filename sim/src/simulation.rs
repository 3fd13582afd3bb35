//! Simulating a whole system, and what came of it.
use tern_config::System;
use tern_config::layout::{MAX_SERVERS, MAX_THREADS};
use tern_sched::analysis::CostTable;
use tern_trace::Record;
use tern_units::{Duration, Instant};

use crate::SimulationError;
use crate::core::Core;
use crate::recorder::Recorder;
use crate::task::tasks;

/// The most jobs that are simulated.
const MOST_JOBS: u128 = 5_000_000;

/// Capacities of the scheduler that simulates sandboxes too large for the kernel's own.
const MOST_SERVERS: usize = 1024;
const MOST_THREADS: usize = 4096;

/// What happened until the end of a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// Each server, in the order of the description.
    pub servers: Vec<ServerHistory>,
    /// Each job that was released before the end, by thread in the order of the
    /// description, then by release.
    pub jobs: Vec<JobHistory>,
    /// Each sandbox's records, if they were asked for.
    pub records: Vec<Vec<Record>>,
}

/// When a server ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHistory {
    /// Index of its sandbox.
    pub sandbox: usize,
    /// Its index in the sandbox.
    pub server: usize,
    /// From when to when it ran, in order; no two touch.
    pub runs: Vec<(Instant, Instant)>,
    /// When budget will return, and how much, in the order in which this was posted.
    pub replenishments: Vec<(Instant, Duration)>,
}

/// One job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobHistory {
    /// Index of its sandbox.
    pub sandbox: usize,
    /// Index of its server in the sandbox.
    pub server: usize,
    /// Index of its thread in the server.
    pub thread: usize,
    /// When it was released.
    pub release: Instant,
    /// When it was due.
    pub deadline: Instant,
    /// When it finished; `None` if it had not by the end.
    pub finish: Option<Instant>,
}

impl JobHistory {
    /// From its release to its finish.
    #[must_use]
    pub fn response(&self) -> Option<Duration> {
        let finish = self.finish?;
        Some(finish.saturating_since(self.release))
    }

    /// Whether its deadline passed, by `end`, without its having finished.
    #[must_use]
    pub fn missed(&self, end: Instant) -> bool {
        self.finish.unwrap_or(end) > self.deadline
    }
}

/// Simulates `system` from the epoch to `until`. Jobs released at `until` or later are
/// left out; what the scheduler does at that very instant is the last that is seen.
///
/// Servers without threads use their whole budget every period. The system may well be
/// one that the analysis refuses. A server that has no room for replenishments yet gets what its
/// threads need.
///
/// # Errors
/// If it is too large or too long.
pub fn simulate(system: &System, until: Instant) -> Result<Simulation, SimulationError> {
    run(system, until, false)
}

/// The same with the records that the sandboxes' kernels would write of it, with nanoseconds
/// after the epoch in place of a timestamp counter. Threads are numbered as in a description
/// in which each server without threads has one.
///
/// # Errors
/// If it is too large or too long.
pub fn simulate_with_records(
    system: &System,
    until: Instant,
) -> Result<Simulation, SimulationError> {
    run(system, until, true)
}

fn run(
    system: &System,
    until: Instant,
    keeps_records: bool,
) -> Result<Simulation, SimulationError> {
    // The kernel's own work takes no time here.
    let mut system = system.clone();
    tern_check::give_room(&mut system, &CostTable::NONE);
    let sandboxes = system.sandboxes.iter();
    let all: Vec<_> = sandboxes
        .map(|sandbox| (sandbox, tasks(&system, sandbox)))
        .collect();
    let tasks = all.iter().flat_map(|(_, tasks)| tasks);
    let jobs: u128 = tasks.map(|task| task.count_before(until.as_nanos())).sum();
    if jobs > MOST_JOBS {
        return Err(SimulationError::TooLong {
            jobs,
            most: MOST_JOBS,
        });
    }
    let mut simulation = Simulation {
        servers: Vec::new(),
        jobs: Vec::new(),
        records: Vec::new(),
    };
    for (index, (sandbox, tasks)) in all.into_iter().enumerate() {
        let (servers, threads) = (sandbox.servers.len(), tasks.len());
        let recorder = Recorder::new(keeps_records);
        // The capacities of the kernel where they suffice: the same code to the letter.
        if servers <= MAX_SERVERS && threads <= MAX_THREADS {
            Core::<MAX_SERVERS, MAX_THREADS, 1>::new(sandbox, tasks, until, recorder)?
                .run(index, &mut simulation);
        } else if servers <= MOST_SERVERS && threads <= MOST_THREADS {
            Core::<MOST_SERVERS, MOST_THREADS, 16>::new(sandbox, tasks, until, recorder)?
                .run(index, &mut simulation);
        } else {
            let (sandbox, most) = (sandbox.name.clone(), (MOST_SERVERS, MOST_THREADS));
            return Err(SimulationError::TooLarge { sandbox, most });
        }
    }
    Ok(simulation)
}
