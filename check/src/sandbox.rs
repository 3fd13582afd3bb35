//! The report on one sandbox: each server's and thread's response, and advice where it is late.
use tern_config::System;
use tern_sched::analysis::{Bound, CostTable};
use tern_units::Duration;

use crate::advice::Advisor;
use crate::core::Core;
use crate::report::{SandboxReport, ServerReport, ThreadReport};

/// Where sandboxes have more servers than this (the kernel takes no more), responses in
/// step are only computed where a deadline needs them: each takes an analysis of its own.
const REFINED_SERVERS: usize = 64;

pub(crate) fn sandbox_report(
    system: &System,
    index: usize,
    costs: &CostTable,
    advise: bool,
) -> SandboxReport {
    let sandbox = &system.sandboxes[index];
    let (core, positions) = Core::new(system, index, costs);
    let responses = core.responses();
    let mut advisor = Advisor::new(&core, sandbox, &positions, advise);
    let servers = sandbox
        .servers
        .iter()
        .zip(&positions)
        .map(|(server, position)| {
            let response = responses[*position];
            let mut report = ServerReport {
                name: server.name.clone(),
                budget: Duration::from_nanos(server.budget),
                period: Duration::from_nanos(server.period),
                response,
                deadline: Duration::from_nanos(server.deadline),
                threads: Vec::new(),
                has_room: true,
                failure: None,
            };
            if !report.schedulable() {
                report.failure = Some(advisor.server(*position, response));
            }
            let bounds = core.thread_responses(*position, response);
            for (index, thread) in server.threads.iter().enumerate() {
                let bound = bounds[index];
                let mut it = ThreadReport {
                    name: thread.name.clone(),
                    wcet: Duration::from_nanos(thread.wcet),
                    period: Duration::from_nanos(thread.period),
                    response: bound.response,
                    bound: bound.bound,
                    in_step: false,
                    tighter: None,
                    deadline: Duration::from_nanos(thread.deadline),
                    failure: None,
                };
                if !it.schedulable() || positions.len() <= REFINED_SERVERS {
                    it.tighter = core
                        .in_step(*position, response)
                        .filter(|tighter| it.response.is_none_or(|general| *tighter < general));
                }
                if !it.schedulable() && it.tighter.is_some() {
                    (it.response, it.bound, it.in_step) = (it.tighter, Bound::DavisBurns, true);
                }
                if !it.schedulable() {
                    let bounded = response.is_some();
                    it.failure =
                        Some(advisor.thread(*position, bounded, index, it.response, it.deadline));
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
