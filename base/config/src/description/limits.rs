//! What no machine carries out: limits of the images, which hold for each sandbox that is given
//! memory to boot with.
use alloc::format;

use super::problem::{Place, sandbox_place};
use super::quantity::show_size;
use super::reader::Reader;
use crate::layout::{LARGE_PAGE, MAX_SERVERS, MAX_THREADS};
use crate::limits::{
    COMMAND_LINE_MAX, Limit, MAX_CLOSABLE, MAX_CORES, MAX_REPLICAS, MAX_SEALED, beyond,
};
use crate::partition::{NoFiles, has_own_kernel, memory_needed};
use crate::system::{Sandbox, System};

pub(super) fn check(reader: &mut Reader, system: &System) {
    for (index, sandbox) in system.sandboxes.iter().enumerate() {
        if sandbox.command_line.len() > COMMAND_LINE_MAX {
            let reason = format!(
                "{} bytes, a guest is handed at most {COMMAND_LINE_MAX}",
                sandbox.command_line.len()
            );
            reader.problem(&sandbox_place(index), "command_line", reason);
        }
        if sandbox.memory_bytes > 0 {
            of_sandbox(reader, system, index, sandbox);
        }
    }
    for (index, set) in system.replica_sets.iter().enumerate() {
        let count = set.replicas.len();
        if count > MAX_REPLICAS {
            let reason = format!(
                "{count} replicas, a voter counts at most {MAX_REPLICAS}: take some of the threads \
                 with `replica = \"{}\"` away",
                set.name
            );
            reader.problem(&Place::root().item("replica_set", index), "voting", reason);
        }
    }
    // Without memory it is for analysis alone.
    if system.sandboxes.iter().all(|it| it.memory_bytes > 0) {
        for limit in beyond(system) {
            let key = match limit {
                Limit::Sandboxes { .. } => "sandbox",
                Limit::Description { .. } => "system",
            };
            reader.problem(&Place::root(), key, format!("{limit}"));
        }
    }
}

fn of_sandbox(reader: &mut Reader, system: &System, index: usize, sandbox: &Sandbox) {
    let place = sandbox_place(index);
    if sandbox.core >= MAX_CORES {
        let reason = format!(
            "core {} is beyond those that the hypervisor knows, 0 to {}",
            sandbox.core,
            MAX_CORES - 1
        );
        reader.problem(&place, "core", reason);
    }
    let sealed = system.sealed_channels(index);
    if sealed > MAX_SEALED {
        let reason = format!(
            "{sealed} of the channels that it writes are sealed, at most {MAX_SEALED} can be: give \
             some of the sets another arbitrator, or \
             `voting = {{ kind = \"arbitrator\", seal = false }}`"
        );
        reader.problem(&place, "voter", reason);
    }
    let closable = system.closable(index).count();
    if closable > MAX_CLOSABLE {
        let reason = format!(
            "{closable} of the channels that it reads may be closed, at most {MAX_CLOSABLE} can be: \
             leave `close` out where nobody waits for the writer"
        );
        reader.problem(&place, "name", reason);
    }
    if !has_own_kernel(sandbox) {
        return;
    }
    let mut fits = true;
    for (count, most, what) in [
        (sandbox.servers.len(), MAX_SERVERS, "servers"),
        (sandbox.threads().count(), MAX_THREADS, "threads"),
    ] {
        if count > most {
            fits = false;
            let reason = format!(
                "{count} {what}, the sandbox kernel schedules at most {most}: move some to another \
                 sandbox"
            );
            reader.problem(&place, "server", reason);
        }
    }
    // The channels have been checked together.
    let needed = memory_needed(system, index, &NoFiles).unwrap_or(0);
    if fits && needed > sandbox.memory_bytes {
        let reason = format!(
            "{} is less than the kernel, its page tables and stacks, and the heaps and stacks of its \
             programs take, {}: write \"{}\" or more",
            show_size(sandbox.memory_bytes),
            show_size(needed),
            show_size(needed.next_multiple_of(LARGE_PAGE))
        );
        reader.problem(&place, "memory", reason);
    }
}
