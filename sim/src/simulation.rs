//! Simulating a whole system, and what came of it.
use std::collections::VecDeque;

use tern_config::System;
use tern_units::{Duration, Instant};

use crate::SimulationError;
use crate::core::Core;
use crate::releases::Releases;

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
/// one that the analysis refuses.
///
/// # Errors
/// If it is too large or too long.
pub fn simulate(system: &System, until: Instant) -> Result<Simulation, SimulationError> {
    let all = system.sandboxes.iter().flat_map(|sandbox| &sandbox.servers);
    let jobs: u128 = all
        .flat_map(releases)
        .map(|it| it.1.count_before(until.as_nanos()))
        .sum();
    if jobs > MOST_JOBS {
        return Err(SimulationError::TooLong {
            jobs,
            most: MOST_JOBS,
        });
    }
    let mut simulation = Simulation {
        servers: Vec::new(),
        jobs: Vec::new(),
    };
    for (index, sandbox) in system.sandboxes.iter().enumerate() {
        let threads: usize = sandbox
            .servers
            .iter()
            .map(|server| server.threads.len().max(1))
            .sum();
        // The capacities of the kernel where they suffice: the same code to the letter.
        let servers = sandbox.servers.len();
        if servers <= 64 && threads <= 128 {
            Core::<64, 128, 16, 1>::run(index, sandbox, until, &mut simulation)?;
        } else if servers <= MOST_SERVERS && threads <= MOST_THREADS {
            Core::<MOST_SERVERS, MOST_THREADS, 16, 16>::run(
                index,
                sandbox,
                until,
                &mut simulation,
            )?;
        } else {
            let (sandbox, most) = (sandbox.name.clone(), (MOST_SERVERS, MOST_THREADS));
            return Err(SimulationError::TooLarge { sandbox, most });
        }
    }
    Ok(simulation)
}

/// The threads of a server, each with its jobs; for a server without threads, one that
/// is no thread's.
pub(crate) fn releases(server: &tern_config::Server) -> VecDeque<(Option<usize>, Releases<'_>)> {
    let threads = server.threads.iter().enumerate();
    let mut all: VecDeque<_> = threads
        .map(|(index, thread)| (Some(index), Releases::of_thread(thread)))
        .collect();
    if all.is_empty() {
        all.push_back((None, Releases::of_bare_server(server)));
    }
    all
}
