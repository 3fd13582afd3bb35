//! The report on one sandbox: each server's and thread's response, and advice where it is late.
use tern_config::{Server, System, Thread};
use tern_sched::analysis::{CostTable, ServerResponse, ThreadResponse, server_responses};
use tern_units::Duration;

use crate::advice::Advisor;
use crate::core::Core;
use crate::report::{SandboxReport, ServerReport, ThreadReport};
use crate::room;

/// Analyses a sandbox, and looks for changes that help if it is to `advise`.
pub(crate) fn sandbox_report(
    system: &System,
    index: usize,
    costs: &CostTable,
    advise: bool,
) -> SandboxReport {
    let sandbox = &system.sandboxes[index];
    let (core, positions) = Core::new(system, index, costs);

    // In order of priority, as the searches for one server start from those for the one above.
    let mut found: Vec<(ServerResponse, Vec<ThreadResponse>)> = Vec::new();
    let mut responses = server_responses(&core.servers, costs);
    for threads in &core.threads {
        let response = responses.next().unwrap_or_default();
        let mut results = vec![ThreadResponse::default(); threads.len()];
        responses.thread_responses(threads, &mut results);
        found.push((response, results));
    }

    let rooms = room::rooms(system, &sandbox.servers, |index, wakings| {
        let position = positions[index];
        core.periods_behind(position, found[position].0.response, wakings)
    });
    let mut advisor = Advisor::new(&core, sandbox, &positions, advise);
    let servers = sandbox.servers.iter().zip(&positions).zip(rooms);
    let servers = servers.map(|((server, position), room)| {
        let (response, threads) = &found[*position];
        let mut report = server_report(server, response);
        if room.is_some_and(|room| !room.is_enough) {
            report.has_room = false;
            report.failure = Some(room::failure());
        }
        if !report.is_in_time() {
            report.failure = Some(advisor.server(*position, response));
        }
        for (index, (thread, found)) in server.threads.iter().zip(threads).enumerate() {
            let mut it = thread_report(thread, found);
            if !it.schedulable() {
                let bounded = response.response.is_some();
                it.failure = Some(advisor.thread(*position, bounded, index, found, it.deadline));
            }
            report.threads.push(it);
        }
        report
    });
    SandboxReport {
        name: sandbox.name.clone(),
        core: sandbox.core,
        servers: servers.collect(),
    }
}

fn server_report(server: &Server, found: &ServerResponse) -> ServerReport {
    ServerReport {
        name: server.name.clone(),
        budget: Duration::from_nanos(server.budget),
        period: Duration::from_nanos(server.period),
        response: found.response,
        gave_up: found.gave_up,
        deadline: Duration::from_nanos(server.deadline),
        threads: Vec::new(),
        has_room: true,
        failure: None,
    }
}

fn thread_report(thread: &Thread, found: &ThreadResponse) -> ThreadReport {
    ThreadReport {
        name: thread.name.clone(),
        wcet: Duration::from_nanos(thread.wcet),
        period: Duration::from_nanos(thread.period),
        response: found.time(),
        bound: found.response.map(|(_, bound)| bound),
        gave_up: found.gave_up,
        deadline: Duration::from_nanos(thread.deadline),
        failure: None,
    }
}
