//! How much the images allocate at boot for a system: known before, from the description.
//!
//! The kernel's heap is as large as that. The hypervisor's has a fixed size, which a description
//! must not exceed.
use tern_units::PAGE_SIZE;

use crate::system::{
    Channel, Device, ReplicaSet, Runs, Sandbox, Server, ServerKind, System, Thread,
};

/// The hypervisor's heap.
pub const HYPERVISOR_HEAP_BYTES: u64 = 1 << 20;

/// The most program headers of a program's file.
pub const MOST_SEGMENTS: usize = 16;

/// What the kernel allocates for a thread at most, whatever it runs, but for the pages of a
/// program. The kernel asserts it.
pub const THREAD_BYTES: u64 = 8 << 10;
/// What the kernel allocates for a driver's device at most. The kernel asserts it.
pub const DEVICE_BYTES: u64 = 24 << 10;
/// What the kernel allocates for a page of a program: its place in the list, and the leaf of a replica.
pub const PAGE_BYTES: u64 = 24 + 8;

/// What does not depend on the description: rounding, and the lists that grow by doubling.
const REST: u64 = 16 << 10;
/// What the hypervisor allocates for a sandbox beside the description, for each window of a
/// sandbox into a channel, and else: lists of ranges, cores, registers and ports.
const OF_SANDBOX: u64 = 4 << 10;
const OF_WINDOW: u64 = 512;
const OF_HYPERVISOR: u64 = 96 << 10;

/// Bytes of heap that the kernel of a sandbox needs at boot, in whole pages, where the segments of
/// a program's file have so many pages.
#[must_use]
pub fn kernel_heap(system: &System, sandbox: usize, program_pages: impl Fn(&str) -> u64) -> u64 {
    let Some(own) = system.sandboxes.get(sandbox) else {
        return 0;
    };
    let of_server = |server: &Server| match server.kind {
        ServerKind::Sporadic => u64::from(server.room)
            .next_power_of_two()
            .saturating_mul(size_of::<[u64; 2]>() as u64),
        ServerKind::Io => 0,
    };
    let of_thread = |thread: &Thread| match &thread.runs {
        Runs::Driver(_) => THREAD_BYTES + DEVICE_BYTES,
        runs => private_pages(system, runs, &program_pages)
            .saturating_mul(page_bytes(system, runs))
            .saturating_add(THREAD_BYTES),
    };
    let servers = own.servers.iter().map(of_server);
    let threads = own.threads().map(|(_, _, thread)| of_thread(thread));
    let all = servers
        .chain(threads)
        .fold(description_bytes(system), u64::saturating_add);
    let page = PAGE_SIZE as u64;
    all.saturating_add(REST)
        .checked_next_multiple_of(page)
        .unwrap_or(u64::MAX)
}

/// What the kernel allocates for a page of what runs: of a replica with a checkpoint, its copy with
/// another leaf, too.
fn page_bytes(system: &System, runs: &Runs) -> u64 {
    let set = match runs {
        Runs::Replica(set) => system.replica_sets.get(*set as usize),
        Runs::Program { .. } | Runs::Nothing | Runs::Voter(_) | Runs::Driver(_) => None,
    };
    match set.is_some_and(|set| set.voting.keeps_checkpoints()) {
        true => PAGE_BYTES + PAGE_SIZE as u64 + 8,
        false => PAGE_BYTES,
    }
}

/// Pages that only the program has which a thread runs: registers, segments, heap, outputs and
/// stack.
pub(crate) fn private_pages(
    system: &System,
    runs: &Runs,
    program_pages: impl Fn(&str) -> u64,
) -> u64 {
    match runs {
        Runs::Program {
            file,
            heap_pages,
            stack_pages,
            ..
        } => {
            let own = 2 + u64::from(*heap_pages) + u64::from(*stack_pages);
            own.saturating_add(program_pages(file))
        }
        Runs::Replica(set) => match system.replica_sets.get(*set as usize) {
            Some(set) => set.pages(program_pages(&set.program)),
            None => 0,
        },
        Runs::Nothing | Runs::Voter(_) | Runs::Driver(_) => 0,
    }
}

/// Bytes of heap that the hypervisor needs at most at boot.
#[must_use]
pub fn hypervisor_heap(system: &System) -> u64 {
    let windows = system.channels.iter().map(|it| 1 + it.readers.len() as u64);
    let windows = windows.fold(0, u64::saturating_add);
    description_bytes(system)
        .saturating_add(OF_HYPERVISOR)
        .saturating_add(OF_SANDBOX.saturating_mul(system.sandboxes.len() as u64))
        .saturating_add(OF_WINDOW.saturating_mul(windows))
}

/// Bytes that a decoded description takes on the heap, each allocation with its padding.
fn description_bytes(system: &System) -> u64 {
    let System {
        name,
        platform,
        trace_bytes: _,
        trace_mode: _,
        sandboxes,
        devices,
        channels,
        replica_sets,
    } = system;
    [
        of_text(name),
        of_text(platform),
        of_list(sandboxes, of_sandbox),
        of_list(devices, of_device),
        of_list(channels, of_channel),
        of_list(replica_sets, of_set),
    ]
    .into_iter()
    .fold(0, u64::saturating_add)
}

fn of_sandbox(sandbox: &Sandbox) -> u64 {
    of_text(&sandbox.name)
        .saturating_add(of_text(&sandbox.kernel))
        .saturating_add(of_text(&sandbox.command_line))
        .saturating_add(of_list(&sandbox.devices, |_| 0))
        .saturating_add(of_list(&sandbox.servers, of_server))
}

fn of_server(server: &Server) -> u64 {
    of_text(&server.name).saturating_add(of_list(&server.threads, of_thread))
}

fn of_thread(thread: &Thread) -> u64 {
    let file = match &thread.runs {
        Runs::Program { file, .. } => of_text(file),
        Runs::Nothing | Runs::Replica(_) | Runs::Voter(_) | Runs::Driver(_) => 0,
    };
    of_text(&thread.name)
        .saturating_add(file)
        .saturating_add(of_list(&thread.jobs, |_| 0))
}

fn of_device(device: &Device) -> u64 {
    of_text(&device.name).saturating_add(of_list(&device.verdicts, |_| 0))
}

fn of_channel(channel: &Channel) -> u64 {
    of_text(&channel.name).saturating_add(of_list(&channel.readers, |_| 0))
}

fn of_set(set: &ReplicaSet) -> u64 {
    of_text(&set.name)
        .saturating_add(of_text(&set.program))
        .saturating_add(of_list(&set.replicas, |_| 0))
        .saturating_add(of_list(&set.replica_channels, |_| 0))
}

/// Each text is allocated at its length; what follows it is aligned.
fn of_text(text: &str) -> u64 {
    text.len() as u64 + 7
}

/// A list is allocated at its length while it is decoded, up to 1 MiB; beyond that it grows by
/// doubling, and leaves what it was.
fn of_list<T>(list: &[T], of_item: impl Fn(&T) -> u64) -> u64 {
    const AT_ONCE: u64 = 1 << 20;
    let own = size_of_val(list) as u64;
    let grown = if own > AT_ONCE {
        own.saturating_mul(4)
    } else {
        own
    };
    let items = list.iter().map(of_item).fold(0, u64::saturating_add);
    grown.saturating_add(items).saturating_add(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// A sandbox with this many servers of a thread each, which all run "load".
    fn system(servers: usize, room: u32, heap_pages: u32) -> System {
        let thread = Thread {
            name: "thread".into(),
            runs: Runs::Program {
                file: "load".into(),
                argument: 0,
                heap_pages,
                stack_pages: 4,
                simulates: None,
            },
            ..Thread::default()
        };
        let server = Server {
            name: "server".into(),
            room,
            threads: vec![thread],
            ..Server::default()
        };
        System {
            sandboxes: vec![Sandbox {
                servers: vec![server; servers],
                ..Sandbox::default()
            }],
            ..System::default()
        }
    }

    #[test]
    fn the_heap_grows_with_threads_pages_and_room() {
        let heap = |system: &System| kernel_heap(system, 0, |_| 10);
        let small = heap(&system(1, 4, 0));
        assert!(small.is_multiple_of(4096) && small < 64 << 10, "{small}");
        // A page has 32 bytes, an entry of a list 16, and a list has a power of two of them.
        assert_eq!(heap(&system(1, 4, 1 << 15)) - small, 1 << 20);
        assert_eq!(heap(&system(1, 40_000, 0)) - small, (1 << 20) - 4096 + 4096);
        let thread = heap(&system(64, 4, 0)) - small;
        assert!((63 * THREAD_BYTES..64 * (THREAD_BYTES + 1024)).contains(&thread));
        assert_eq!(kernel_heap(&System::default(), 3, |_| 10), 0);
    }

    #[test]
    fn a_description_is_as_large_as_what_it_decodes_to() {
        let system = system(64, 4, 0);
        let threads = 64 * (size_of::<Thread>() + size_of::<Server>());
        let bytes = description_bytes(&system);
        assert!(bytes > threads as u64 && bytes < threads as u64 + 64 * 64 + 1024);
        assert!(hypervisor_heap(&system) > bytes + OF_SANDBOX);
    }
}
