//! What a system needs beyond a sound description before it can boot.
use alloc::format;
use alloc::vec::Vec;

use tern_abi::directory::MAX_ENTRIES;
use tern_units::PAGE_SIZE;

use super::load::overload;
use super::placement::{sandbox_place, server_place, thread_place};
use super::problem::{Place, Places, Problem};
use super::quantity::show_size;
use super::read::show;
use crate::layout::{LEAST_DOORBELL, MAX_SERVERS, MAX_THREADS};
use crate::system::{Runs, System, ThreadRef};

/// Everything that keeps a sound system from booting.
pub(super) fn check(places: &Places, system: &System, least_budget: u64) -> Vec<Problem> {
    let mut problems = Vec::new();
    if system.sandboxes.len() > MAX_ENTRIES {
        let reason = format!(
            "{} sandboxes, at most {MAX_ENTRIES} boot",
            system.sandboxes.len()
        );
        problems.push(places.problem(&Place::root(), "sandbox", reason));
    }
    for (index, sandbox) in system.sandboxes.iter().enumerate() {
        let place = sandbox_place(index);
        if sandbox.memory_bytes == 0 {
            let reason = "missing: a sandbox that boots needs memory, such as \"16MiB\"";
            problems.push(places.problem(&place, "memory", reason.into()));
        }
        problems.extend(overload(places, index, sandbox));
        for (count, most, what) in [
            (sandbox.servers.len(), MAX_SERVERS, "servers"),
            (sandbox.threads().count(), MAX_THREADS, "threads"),
        ] {
            if count > most {
                let reason = format!("{count} {what}, the sandbox kernel schedules at most {most}");
                problems.push(places.problem(&place, "server", reason));
            }
        }
        let pages = sandbox.threads().fold(0, |sum: u64, (_, _, thread)| {
            sum.saturating_add(private_pages(system, &thread.runs))
        });
        let needed = pages.saturating_mul(PAGE_SIZE as u64);
        if sandbox.memory_bytes > 0 && needed > sandbox.memory_bytes {
            let reason = format!(
                "{} is less than the heaps and stacks of its programs take, {}",
                show_size(sandbox.memory_bytes),
                show_size(needed)
            );
            problems.push(places.problem(&place, "memory", reason));
        }
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
        let (Some(device), Some(voter)) = (set.device, set.voter) else {
            continue;
        };
        let mut threads = system.sandboxes[voter.sandbox as usize].threads();
        if !threads.any(|(_, _, thread)| thread.runs == Runs::Driver(device)) {
            let place = Place::root().item("replica_set", index);
            let name = &system.devices[device as usize].name;
            let reason = format!(
                "device \"{name}\" has no driver in the voter's sandbox: \
                 give a thread there `driver = \"{name}\"`"
            );
            problems.push(places.problem(&place, "device", reason));
        }
    }
    problems
}

/// Pages of heap and stack of what a thread runs.
fn private_pages(system: &System, runs: &Runs) -> u64 {
    match runs {
        Runs::Program {
            heap_pages,
            stack_pages,
            ..
        } => u64::from(*heap_pages) + u64::from(*stack_pages),
        Runs::Replica(set) => system.replica_sets[*set as usize].pages(0),
        Runs::Nothing | Runs::Voter(_) | Runs::Driver(_) => 0,
    }
}
