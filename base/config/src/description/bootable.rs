//! What a system needs beyond a sound description before it can boot.
use alloc::format;
use alloc::vec::Vec;

use super::load::overload;
use super::problem::{Place, Places, Problem, sandbox_place, server_place, thread_place};
use super::read::show;
use crate::layout::LEAST_DOORBELL;
use crate::system::{Runs, System, ThreadRef};

/// Everything that keeps a sound system from booting.
pub(super) fn check(places: &Places, system: &System, least_budget: u64) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, sandbox) in system.sandboxes.iter().enumerate() {
        let place = sandbox_place(index);
        if sandbox.memory_bytes == 0 {
            let reason = "missing: a sandbox that boots needs memory, such as \"16MiB\"";
            problems.push(places.problem(&place, "memory", reason.into()));
        }
        problems.extend(overload(places, index, sandbox));
        for (server, it) in sandbox.servers.iter().enumerate() {
            if it.budget < least_budget {
                let reason = format!(
                    "{} is too short for a machine, where a server's budget is at least {}: raise \
                     budget and period, or give [machine] another `least_budget`",
                    show(it.budget),
                    show(least_budget)
                );
                problems.push(places.problem(&server_place(index, server), "budget", reason));
            }
        }
        for (server, thread, it) in sandbox.threads() {
            let place = thread_place(&ThreadRef {
                sandbox: index as u32,
                server,
                thread,
            });
            if it.runs == Runs::Nothing {
                let reason =
                    "missing: a thread that boots runs a program, replica, voter or driver";
                problems.push(places.problem(&place, "program", reason.into()));
            }
        }
    }
    for (index, channel) in system.channels.iter().enumerate() {
        if let Some(interval) = channel.doorbell.filter(|it| *it < LEAST_DOORBELL) {
            let place = Place::root().item("channel", index);
            let reason = format!(
                "{} is too short for a machine, a doorbell rings at most every {}",
                show(interval),
                show(LEAST_DOORBELL)
            );
            problems.push(places.problem(&place, "doorbell", reason));
        }
    }
    for (index, set) in system.replica_sets.iter().enumerate() {
        let Some(device) = set.device else {
            continue;
        };
        for voter in set.drivers() {
            let sandbox = &system.sandboxes[voter.sandbox as usize];
            let mut threads = sandbox.threads();
            if !threads.any(|(_, _, thread)| thread.runs == Runs::Driver(device)) {
                let place = Place::root().item("replica_set", index);
                let name = &system.devices[device as usize].name;
                let reason = format!(
                    "device \"{name}\" has no driver in the voter's sandbox, \"{}\": \
                     give a thread there `driver = \"{name}\"`",
                    sandbox.name
                );
                problems.push(places.problem(&place, "device", reason));
            }
        }
    }
    problems
}
