//! Checks across the tables of a description: what is used twice, overlaps, does not
//! fit together, or overloads a core.
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::problem::{Place, Problem, sandbox_place, server_place, thread_place};
use super::quantity::show_size;
use super::read::WINDOW;
use super::reader::Reader;
use super::{limits, load, requests};
use crate::layout::{LARGE_PAGE, Machine};
use crate::ports::{SERIAL_PORT_COUNT, SERIAL_PORTS};
use crate::system::{ReplicaSet, Runs, Sandbox, System, Thread, ThreadRef, Voting};

/// Notes what is wrong in the reader; returns what is only worth a warning.
pub(super) fn check(
    reader: &mut Reader,
    system: &System,
    machine: Option<&Machine>,
) -> Vec<Problem> {
    names(reader, system);
    cores_and_memory(reader, system, machine);
    devices(reader, system);
    drivers(reader, system);
    plants(reader, system);
    requests::check(reader, system);
    limits::check(reader, system);
    for set in 0..system.replica_sets.len() {
        replica_set(reader, system, set);
    }
    let mut warnings = Vec::new();
    for (index, sandbox) in system.sandboxes.iter().enumerate() {
        warnings.extend(load::overload(&reader.places, index, sandbox));
        warnings.extend(load::long_jobs(&reader.places, index, sandbox));
    }
    for (index, set) in system.replica_sets.iter().enumerate() {
        let place = Place::root().item("replica_set", index);
        for (key, reason) in given_up(system, set) {
            warnings.push(reader.places.problem(&place, key, reason));
        }
    }
    for (index, device) in system.devices.iter().enumerate() {
        let owned = |sandbox: &Sandbox| sandbox.devices.contains(&(index as u32));
        if !system.sandboxes.iter().any(owned) {
            let place = Place::root().item("device", index);
            let reason = format!("no sandbox has device \"{}\"", device.name);
            warnings.push(reader.places.problem(&place, "", reason));
        }
    }
    for (index, sandbox) in system.sandboxes.iter().enumerate() {
        let undriven = sandbox.devices.iter().filter(|device| {
            let it = &system.devices[**device as usize];
            let drives = |thread: &Thread| thread.runs == Runs::Driver(**device);
            it.channels.is_none() && !sandbox.threads().any(|(_, _, thread)| drives(thread))
        });
        for device in undriven {
            let name = &system.devices[*device as usize].name;
            let reason = format!(
                "nothing drives device \"{name}\", whose interrupts go nowhere: \
                 give a thread `driver = \"{name}\"`"
            );
            let place = sandbox_place(index);
            warnings.push(reader.places.problem(&place, "devices", reason));
        }
    }
    warnings
}

/// What the set does not survive that it could: the key that says so, and what follows.
fn given_up(system: &System, set: &ReplicaSet) -> Vec<(&'static str, String)> {
    let mut given_up = Vec::new();
    let name = &set.name;
    let device = set.device.filter(|_| !set.tags);
    if let Some(device) = device.and_then(|it| system.devices.get(it as usize)) {
        let device = &device.name;
        let reason = format!(
            "input of \"{name}\" is trusted from \"{device}\" and who drives it, and so is its \
             output: leave this out to have both prove themselves"
        );
        given_up.push(("tags", reason));
    }
    match set.voting {
        Voting::Unprotected => return given_up,
        Voting::Arbitrator { seal } => {
            if !seal {
                let reason = format!(
                    "the arbitrator of \"{name}\" can show replicas different inputs, after which \
                     sound ones have no majority: leave `seal` out to have it show all the same"
                );
                given_up.push(("voting", reason));
            }
        }
        Voting::Distributed | Voting::Lockstep { .. } => {}
    }
    if !set.coded {
        let reason = format!(
            "one flip while a voter votes can let out an output of \"{name}\" that no majority \
             cast: leave this out to have it voted on in code words"
        );
        given_up.push(("coded", reason));
    }
    let count = set.replicas.len();
    let outvotes = match set.voting {
        Voting::Arbitrator { .. } | Voting::Distributed => true,
        Voting::Lockstep { .. } | Voting::Unprotected => false,
    };
    if outvotes && count.is_multiple_of(2) {
        let reason = format!(
            "{count} replicas of \"{name}\" survive as many faulty ones as {}: leave one out, or \
             add one",
            count.saturating_sub(1)
        );
        given_up.push(("voting", reason));
    }
    given_up
}

fn names(reader: &mut Reader, system: &System) {
    let mut unique = |items: Vec<(Place, &str)>| {
        for (index, (place, name)) in items.iter().enumerate() {
            let earlier = items[..index].iter().find(|(_, other)| other == name);
            let Some((earlier, _)) = earlier.filter(|_| !name.is_empty()) else {
                continue;
            };
            let line = reader.places.line(earlier);
            reader.problem(
                place,
                "name",
                format!("\"{name}\" given twice, first in line {line}"),
            );
        }
    };
    fn at<'n, T>(
        parent: &Place,
        key: &str,
        items: &'n [T],
        name: fn(&T) -> &String,
    ) -> Vec<(Place, &'n str)> {
        let items = items.iter().enumerate();
        items
            .map(|(index, it)| (parent.item(key, index), name(it).as_str()))
            .collect()
    }
    let root = Place::root();
    unique(at(&root, "sandbox", &system.sandboxes, |it| &it.name));
    unique(at(&root, "device", &system.devices, |it| &it.name));
    unique(at(&root, "replica_set", &system.replica_sets, |it| {
        &it.name
    }));
    for (index, sandbox) in system.sandboxes.iter().enumerate() {
        let place = sandbox_place(index);
        unique(at(&place, "server", &sandbox.servers, |it| &it.name));
        for (server, it) in sandbox.servers.iter().enumerate() {
            unique(at(
                &server_place(index, server),
                "thread",
                &it.threads,
                |it| &it.name,
            ));
        }
    }
    // Derived channels follow those of the file, and have no table of their own.
    let count = system.channels.len() - system.derived_channels();
    let (written, derived) = system.channels.split_at(count);
    unique(at(&root, "channel", written, |it| &it.name));
    for (index, channel) in written.iter().enumerate() {
        if derived.iter().any(|other| other.name == channel.name) {
            let reason = format!(
                "\"{}\" is the name of a replica set's or a device's own channel",
                channel.name
            );
            reader.problem(&root.item("channel", index), "name", reason);
        }
    }
}

fn cores_and_memory(reader: &mut Reader, system: &System, machine: Option<&Machine>) {
    let mut used = 0_u64;
    for (index, sandbox) in system.sandboxes.iter().enumerate() {
        let place = sandbox_place(index);
        let mut before = system.sandboxes[..index].iter();
        if let Some(other) = before.find(|other| other.core == sandbox.core)
            && reader.has(&place, "core")
        {
            let reason = format!(
                "core {} is sandbox \"{}\"'s already",
                sandbox.core, other.name
            );
            reader.problem(&place, "core", reason);
        }
        let Some(machine) = machine else { continue };
        if sandbox.core >= machine.cores {
            let reason = format!(
                "there is no core {}, the machine has {} (0 to {})",
                sandbox.core,
                machine.cores,
                machine.cores - 1
            );
            reader.problem(&place, "core", reason);
        }
        let left = machine.memory_bytes.saturating_sub(used);
        if sandbox.memory_bytes > left {
            let reason = format!(
                "memory beyond the machine: {} asked for, {} of {} left",
                show_size(sandbox.memory_bytes),
                show_size(left),
                show_size(machine.memory_bytes)
            );
            reader.problem(&place, "memory", reason);
        } else {
            used += sandbox.memory_bytes;
        }
    }
    let sandboxes = system.sandboxes.iter().map(|sandbox| sandbox.memory_bytes);
    let all_fit = sandboxes.fold(0, u64::saturating_add) == used;
    if let Some(machine) = machine
        && all_fit
        && system.machine_bytes() > machine.memory_bytes
    {
        let reason = format!(
            "with trace rings, channels and the hypervisor's tables the system takes {}, the machine \
             has {}",
            show_size(system.machine_bytes()),
            show_size(machine.memory_bytes)
        );
        reader.problem(&Place::root().table("machine"), "memory", reason);
    }
    let rounded = |bytes: u64| {
        bytes
            .checked_next_multiple_of(LARGE_PAGE)
            .unwrap_or(u64::MAX)
    };
    let channels = system
        .channels
        .iter()
        .map(|channel| rounded(channel.memory_bytes()));
    if channels.fold(0, u64::saturating_add) > WINDOW {
        reader.problem(
            &Place::root(),
            "channel",
            "all channels together have at most 64GiB",
        );
    }
}

fn devices(reader: &mut Reader, system: &System) {
    for (index, device) in system.devices.iter().enumerate() {
        let place = Place::root().item("device", index);
        let has_port = reader.has_sound(&place, "port");
        let has_interrupt = reader.has_sound(&place, "interrupt");
        for other in &system.devices[..index] {
            if has_port && device.port == other.port {
                let (port, name) = (device.port, &other.name);
                let reason = format!("port {port:#x} is device \"{name}\"'s already");
                reader.problem(&place, "port", reason);
            }
            if has_interrupt && device.interrupt == other.interrupt {
                let (line, name) = (device.interrupt, &other.name);
                let reason = format!("line {line} is device \"{name}\"'s already");
                reader.problem(&place, "interrupt", reason);
            }
        }
        let is_real = device.channels.is_none();
        if let Some(reason) = no_serial_port(device.port).filter(|_| has_port && is_real) {
            reader.problem(&place, "port", reason);
        }
    }
    for (index, sandbox) in system.sandboxes.iter().enumerate() {
        let moving = sandbox.devices.iter().filter(|it| moves(system, **it));
        if let [first, second, ..] = moving.collect::<Vec<_>>()[..] {
            let [first, second] = [first, second].map(|it| &system.devices[*it as usize].name);
            let reason = format!(
                "\"{first}\" and \"{second}\" both go from sandbox to sandbox: a sandbox has one \
                 such device, put a replica of one of their sets elsewhere"
            );
            reader.problem(&sandbox_place(index), "devices", reason);
        }
        for device in &sandbox.devices {
            let mut before = system.sandboxes[..index].iter();
            if let Some(other) = before.find(|other| other.devices.contains(device))
                && !moves(system, *device)
            {
                let device = &system.devices[*device as usize].name;
                let reason = format!(
                    "device \"{device}\" is sandbox \"{}\"'s already",
                    other.name
                );
                reader.problem(&sandbox_place(index), "devices", reason);
            }
        }
    }
}

/// Whether a device is one that the sandboxes of a set hand on among themselves.
fn moves(system: &System, device: u32) -> bool {
    let mut sets = system.replica_sets.iter();
    sets.any(|set| match set.voting {
        Voting::Distributed => set.device == Some(device),
        Voting::Arbitrator { .. } | Voting::Lockstep { .. } | Voting::Unprotected => false,
    })
}

/// Why no sandbox can have a serial port at `port`, if none can.
fn no_serial_port(port: u16) -> Option<String> {
    const CONSOLE_PORT: u16 = 0x3f8;
    if port.abs_diff(CONSOLE_PORT) < SERIAL_PORT_COUNT {
        return Some(format!(
            "port {port:#x} is the hypervisor's console's: take another"
        ));
    }
    let [first, second, third] = SERIAL_PORTS;
    (!SERIAL_PORTS.contains(&port)).then(|| {
        format!(
            "no serial port of a PC is at {port:#x}: take {first:#x}, {second:#x} or {third:#x}"
        )
    })
}

/// Every thread's place and what it runs.
fn running(system: &System) -> Vec<(ThreadRef, &Runs)> {
    let mut all = Vec::new();
    for (sandbox, owner) in system.sandboxes.iter().enumerate() {
        all.extend(owner.threads().map(|(server, thread, it)| {
            (
                ThreadRef {
                    sandbox: sandbox as u32,
                    server,
                    thread,
                },
                &it.runs,
            )
        }));
    }
    all
}

fn drivers(reader: &mut Reader, system: &System) {
    let mut driven: Vec<(u32, u32)> = Vec::new();
    for (place, runs) in running(system) {
        let Runs::Driver(device) = runs else { continue };
        let name = &system.devices[*device as usize].name;
        let sandbox = &system.sandboxes[place.sandbox as usize];
        if !sandbox.devices.contains(device) {
            let reason = format!(
                "device \"{name}\" is not sandbox \"{0}\"'s: add it to the `devices` of \"{0}\"",
                sandbox.name
            );
            reader.problem(&thread_place(&place), "driver", reason);
        }
        let is_driven = driven.iter().any(|(driven, by)| {
            let elsewhere = *by != place.sandbox && moves(system, *device);
            driven == device && !elsewhere
        });
        if is_driven {
            let reason = format!("device \"{name}\" has a driver already");
            reader.problem(&thread_place(&place), "driver", reason);
        }
        driven.push((*device, place.sandbox));
    }
}

/// A plant is in a sandbox of its own, so that what controls it knows no more of it than of
/// one outside the machine.
fn plants(reader: &mut Reader, system: &System) {
    for (place, runs) in running(system) {
        let Runs::Program {
            simulates: Some(device),
            ..
        } = runs
        else {
            continue;
        };
        let name = &system.devices[*device as usize].name;
        let sandbox = &system.sandboxes[place.sandbox as usize];
        if sandbox.devices.contains(device) {
            let reason = format!(
                "device \"{name}\" is sandbox \"{}\"'s own: simulate it in another sandbox",
                sandbox.name
            );
            reader.problem(&thread_place(&place), "simulates", reason);
        }
        if moves(system, *device) {
            let reason = format!(
                "device \"{name}\" goes from sandbox to sandbox as its set's voters decide, and a line to \
                 a plant in a sandbox cannot: leave the plant outside the machine"
            );
            reader.problem(&thread_place(&place), "simulates", reason);
        }
        if system.plant(*device).is_some_and(|first| first != place) {
            let reason = format!("device \"{name}\" is simulated already");
            reader.problem(&thread_place(&place), "simulates", reason);
        }
        let driven = |runs: &Runs| *runs == Runs::Driver(*device);
        if !running(system).into_iter().any(|(_, runs)| driven(runs)) {
            let reason = format!(
                "nothing drives device \"{name}\": give a thread in its sandbox `driver = \"{name}\"`"
            );
            reader.problem(&thread_place(&place), "simulates", reason);
        }
    }
}

fn replica_set(reader: &mut Reader, system: &System, index: usize) {
    let set = &system.replica_sets[index];
    let place = Place::root().item("replica_set", index);
    let count = set.replicas.len();
    match set.voting {
        Voting::Arbitrator { .. } | Voting::Distributed if count < 3 => {
            let reason = format!(
                "a majority vote needs three replicas, there are {count}: \
                 give threads `replica = \"{}\"` in more sandboxes",
                set.name
            );
            reader.problem(&place, "voting", reason);
        }
        Voting::Lockstep { .. } if count != 2 => {
            let reason = format!(
                "two replicas run in lock-step, there are {count}: give a thread \
                 `replica = \"{}\"` in each of two sandboxes",
                set.name
            );
            reader.problem(&place, "voting", reason);
        }
        Voting::Unprotected if count != 1 => {
            let reason = format!("an unprotected set has one copy, there are {count}");
            reader.problem(&place, "voting", reason);
        }
        Voting::Arbitrator { .. }
        | Voting::Distributed
        | Voting::Lockstep { .. }
        | Voting::Unprotected => {}
    }
    for (position, replica) in set.replicas.iter().enumerate() {
        let mut before = set.replicas[..position].iter();
        if before.any(|other| other.sandbox == replica.sandbox) {
            let sandbox = &system.sandboxes[replica.sandbox as usize].name;
            let reason = format!(
                "sandbox \"{sandbox}\" has a replica of set \"{}\" already: use another sandbox",
                set.name
            );
            reader.problem(&thread_place(replica), "replica", reason);
        }
    }
    match set.voting {
        Voting::Arbitrator { .. } | Voting::Unprotected => one_voter(reader, system, index),
        Voting::Distributed | Voting::Lockstep { .. } => a_voter_each(reader, system, index),
    }
    let Some(device) = set.device else { return };
    for voter in set.drivers() {
        let sandbox = &system.sandboxes[voter.sandbox as usize];
        if !sandbox.devices.contains(&device) {
            let reason = format!(
                "device \"{}\" is not the voter's: add it to the `devices` of \"{}\"",
                system.devices[device as usize].name, sandbox.name
            );
            reader.problem(&place, "device", reason);
        }
    }
}

/// The places of the voters of a set, in the order of the file.
fn voters(system: &System, set: usize) -> Vec<ThreadRef> {
    let all = running(system).into_iter();
    let voters = all.filter(|(_, runs)| **runs == Runs::Voter(set as u32));
    voters.map(|(place, _)| place).collect()
}

/// An arbitrator has a sandbox of its own.
fn one_voter(reader: &mut Reader, system: &System, index: usize) {
    let set = &system.replica_sets[index];
    let voters = voters(system, index);
    let Some((voter, others)) = voters.split_first() else {
        let reason = format!("missing: give one thread `voter = \"{}\"`", set.name);
        reader.problem(&Place::root().item("replica_set", index), "voter", reason);
        return;
    };
    for place in others {
        let reason = format!("replica set \"{}\" has a voter already", set.name);
        reader.problem(&thread_place(place), "voter", reason);
    }
    let mut replicas = set.replicas.iter();
    if replicas.any(|replica| replica.sandbox == voter.sandbox) {
        let sandbox = &system.sandboxes[voter.sandbox as usize].name;
        let reason = format!(
            "sandbox \"{sandbox}\" has a replica of the set: an arbitrator has a sandbox of its own"
        );
        reader.problem(&thread_place(voter), "voter", reason);
    }
}

/// Where several vote each replica's sandbox has a voter, and no other has one.
fn a_voter_each(reader: &mut Reader, system: &System, index: usize) {
    let set = &system.replica_sets[index];
    let name = &set.name;
    let voters = voters(system, index);
    for replica in &set.replicas {
        if !voters.iter().any(|voter| voter.sandbox == replica.sandbox) {
            let sandbox = &system.sandboxes[replica.sandbox as usize].name;
            let reason = format!(
                "sandbox \"{sandbox}\" has a replica and no voter: give a thread there \
                 `voter = \"{name}\"`"
            );
            reader.problem(&Place::root().item("replica_set", index), "voting", reason);
        }
    }
    for (position, voter) in voters.iter().enumerate() {
        let sandbox = &system.sandboxes[voter.sandbox as usize].name;
        let mut replicas = set.replicas.iter();
        if !replicas.any(|replica| replica.sandbox == voter.sandbox) {
            let reason = format!(
                "sandbox \"{sandbox}\" has no replica of set \"{name}\", whose voters are beside \
                 its replicas: give a thread here `replica = \"{name}\"`, or take this one out"
            );
            reader.problem(&thread_place(voter), "voter", reason);
        }
        if voters[..position]
            .iter()
            .any(|it| it.sandbox == voter.sandbox)
        {
            let reason = format!("sandbox \"{sandbox}\" has a voter of set \"{name}\" already");
            reader.problem(&thread_place(voter), "voter", reason);
        }
    }
}
