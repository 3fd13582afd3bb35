//! Systems in an environment that is as bad as their bounds allow for: the same scheduler as in
//! [`simulate`](crate::simulate), where that is kind. Timers are late, the kernel's own work
//! takes time, devices interrupt as soon as they may, jobs are released late, and those of some
//! servers take longer than they promise.
//!
//! Random choices are drawn by the environment's seed alone: a run repeats.
mod core;
mod devices;
mod environment;
mod jobs;
mod listener;
mod task;

pub use environment::{Choice, Environment};

use std::ops::AddAssign;
use tern_config::System;
use tern_config::layout::{MAX_SERVERS, MAX_THREADS};
use tern_trace::Record;
use tern_units::Instant;

use self::core::Core;
use self::task::tasks;
use crate::recorder::Recorder;
use crate::{JobHistory, ServerHistory, SimulationError};

/// What happened until the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endured {
    /// Each job that came before the end, by thread in the order of the description, then by
    /// arrival; its release is its arrival, from which its response counts.
    pub jobs: Vec<JobHistory>,
    /// Each server, in the order of the description.
    pub servers: Vec<ServerHistory>,
    /// Each sandbox's records, if they were asked for.
    pub records: Vec<Vec<Record>>,
    /// How often each kind of event happened.
    pub counts: Counts,
}

/// How often each kind of event happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Timers and interrupts that were to be late; a job that is done earlier ends the wait.
    pub late: u64,
    /// Times that the kernel's own work was charged.
    pub charges: u64,
    /// Jobs that took longer than their thread promises.
    pub overruns: u64,
    /// Interrupts of devices.
    pub interrupts: u64,
    /// Requests to drivers.
    pub requests: u64,
    /// Doorbells that a release waited for.
    pub doorbells: u64,
    /// Budgets that were used up.
    pub exhausted: u64,
    /// Servers whose list had more than [`ServerParameters::ROOM`](tern_sched::ServerParameters)
    /// replenishments.
    pub long_lists: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        let Self {
            late,
            charges,
            overruns,
            interrupts,
            requests,
            doorbells,
            exhausted,
            long_lists,
        } = other;
        self.late += late;
        self.charges += charges;
        self.overruns += overruns;
        self.interrupts += interrupts;
        self.requests += requests;
        self.doorbells += doorbells;
        self.exhausted += exhausted;
        self.long_lists += long_lists;
    }
}

/// Lets `system` run from the epoch to `until` in `environment`, and keeps its records if it
/// `keeps_records`.
///
/// A server that has no room for replenishments yet gets what its threads need on a platform
/// with the costs of the environment.
///
/// # Errors
/// If a sandbox is larger than the kernel carries out.
pub fn endure(
    system: &System,
    environment: &Environment,
    until: Instant,
    keeps_records: bool,
) -> Result<Endured, SimulationError> {
    let mut system = system.clone();
    tern_check::give_room(&mut system, &environment.costs);
    let mut endured = Endured::default();
    for (index, sandbox) in system.sandboxes.iter().enumerate() {
        let tasks = tasks(&system, index);
        if sandbox.servers.len() > MAX_SERVERS || tasks.len() > MAX_THREADS {
            return Err(SimulationError::TooLarge {
                sandbox: sandbox.name.clone(),
                most: (MAX_SERVERS, MAX_THREADS),
            });
        }
        let recorder = Recorder::new(keeps_records);
        let core = Core::new(&system, index, tasks, environment, until, recorder)?;
        core.run(&mut endured);
    }
    Ok(endured)
}
