//! A simulated schedule for scripts.
use serde::Serialize;
use tern_units::{Duration, Instant};

use super::Schedule;

/// What `tern simulate --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct SimulationJson {
    servers: Vec<Server>,
    jobs: Vec<Job>,
}

#[derive(Clone, Debug, Serialize)]
struct Server {
    sandbox: String,
    name: String,
    runs: Vec<[u64; 2]>,
    replenishments: Vec<Replenishment>,
}

#[derive(Clone, Debug, Serialize)]
struct Replenishment {
    at_ns: u64,
    amount_ns: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Job {
    sandbox: String,
    server: String,
    thread: String,
    release_ns: u64,
    finish_ns: Option<u64>,
}

impl From<&Schedule<'_>> for SimulationJson {
    fn from(schedule: &Schedule<'_>) -> Self {
        let servers = schedule.simulation.servers.iter().map(|history| {
            let sandbox = &schedule.system.sandboxes[history.sandbox];
            let runs = history
                .runs
                .iter()
                .map(|(from, to)| [from.as_nanos(), to.as_nanos()]);
            let posted = |&(at, amount): &(Instant, Duration)| Replenishment {
                at_ns: at.as_nanos(),
                amount_ns: amount.as_nanos(),
            };
            Server {
                sandbox: sandbox.name.clone(),
                name: sandbox.servers[history.server].name.clone(),
                runs: runs.collect(),
                replenishments: history.replenishments.iter().map(posted).collect(),
            }
        });
        let jobs = schedule.simulation.jobs.iter().map(|job| {
            let sandbox = &schedule.system.sandboxes[job.sandbox];
            let server = &sandbox.servers[job.server];
            Job {
                sandbox: sandbox.name.clone(),
                server: server.name.clone(),
                thread: server.threads[job.thread].name.clone(),
                release_ns: job.release.as_nanos(),
                finish_ns: job.finish.map(Instant::as_nanos),
            }
        });
        Self {
            servers: servers.collect(),
            jobs: jobs.collect(),
        }
    }
}
