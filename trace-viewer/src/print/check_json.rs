//! The report of a check for scripts.
use serde::Serialize;
use tern_check::Report;
use tern_sched::analysis::Bound;
use tern_units::Duration;

/// What `tern check --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct CheckJson {
    schedulable: bool,
    servers: Vec<Server>,
    threads: Vec<Thread>,
    recovery: Vec<Recovery>,
}

#[derive(Clone, Debug, Serialize)]
struct Server {
    sandbox: String,
    name: String,
    response_ns: Option<u64>,
    gave_up: bool,
    deadline_ns: u64,
    schedulable: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Thread {
    sandbox: String,
    server: String,
    name: String,
    response_ns: Option<u64>,
    bound: Option<&'static str>,
    gave_up: bool,
    deadline_ns: u64,
    schedulable: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Recovery {
    replica_set: String,
    pages: u64,
    bound_ns: Option<u64>,
    epochs_apart: Option<u64>,
    obstacle: Option<String>,
    all_pages_bound_ns: Option<u64>,
}

impl From<&Report> for CheckJson {
    fn from(report: &Report) -> Self {
        let nanos = |response: Option<Duration>| response.map(Duration::as_nanos);
        let (mut servers, mut threads) = (Vec::new(), Vec::new());
        for sandbox in &report.sandboxes {
            for server in &sandbox.servers {
                servers.push(Server {
                    sandbox: sandbox.name.clone(),
                    name: server.name.clone(),
                    response_ns: nanos(server.response),
                    gave_up: server.gave_up,
                    deadline_ns: server.deadline.as_nanos(),
                    schedulable: server.schedulable(),
                });
                threads.extend(server.threads.iter().map(|thread| Thread {
                    sandbox: sandbox.name.clone(),
                    server: server.name.clone(),
                    name: thread.name.clone(),
                    response_ns: nanos(thread.response),
                    bound: thread.bound.map(bound_name),
                    gave_up: thread.gave_up,
                    deadline_ns: thread.deadline.as_nanos(),
                    schedulable: thread.schedulable(),
                }));
            }
        }
        let recovery = report.recovery.iter().map(|it| Recovery {
            replica_set: it.set.clone(),
            pages: it.pages,
            bound_ns: it.bound.as_ref().ok().map(|bound| bound.time.as_nanos()),
            epochs_apart: it.bound.as_ref().ok().map(|bound| bound.apart),
            obstacle: it.bound.as_ref().err().cloned(),
            all_pages_bound_ns: it.all.map(|(_, bound)| bound.time.as_nanos()),
        });
        let schedulable = report.schedulable();
        Self {
            schedulable,
            servers,
            threads,
            recovery: recovery.collect(),
        }
    }
}

/// How reports call a bound.
pub(super) fn bound_name(bound: Bound) -> &'static str {
    match bound {
        Bound::WithinBudget => "within-budget",
        Bound::InStep => "in-step",
        Bound::BusyWindow => "busy-window",
        Bound::DavisBurns => "davis-burns",
        Bound::Supply => "supply",
        Bound::ClosedForm => "closed-form",
    }
}
