//! The top of a description: system, machine, devices, channels, sandboxes, servers.
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use toml::Spanned;
use toml::de::DeTable;

use super::platform::NO_PLATFORM;
use super::problem::Place;
use super::quantity::show_size;
use super::reader::{Keys, Reader, root};
use super::{replica, thread};
use crate::layout::{LARGE_PAGE, LEAST_BUDGET, Machine};
use crate::limits::MEMORY_MAX;
use crate::ports::SERIAL_PORT_COUNT;
use crate::system::{Channel, Device, DeviceKind, Sandbox, Server, ServerKind, System, TraceMode};
use tern_units::PAGE_SIZE;

/// Guest-physical windows are this far apart, so nothing in one may be larger.
pub(super) const WINDOW: u64 = 64 << 30;

/// The least and the most records of a trace ring, in bytes.
const LEAST_TRACE: u64 = 64 << 10;
const MOST_TRACE: u64 = 1 << 30;

/// Reads a whole document. What is wrong is noted in the reader, and something harmless
/// stands in its place.
pub(super) fn document(
    reader: &mut Reader,
    document: &Spanned<DeTable<'_>>,
) -> (System, Option<Machine>, u64) {
    let mut top = root(reader, document);
    let mut system = System {
        trace_bytes: 1 << 20,
        ..System::default()
    };
    match reader.table(&mut top, "system") {
        Some(keys) => system_table(reader, keys, &mut system),
        None if top.has("system") => {}
        None => reader.problem(&top.place, "system", "missing: add [system] with a `name`"),
    }
    let mut least_budget = LEAST_BUDGET;
    let machine = reader.table(&mut top, "machine").map(|keys| {
        let (machine, least) = machine_table(reader, keys);
        least_budget = least.unwrap_or(least_budget);
        machine
    });

    // Names first, so that what refers to them can come before them in the file.
    for keys in reader.tables(&mut top, "device") {
        let device = device(reader, keys, &top.place);
        system.devices.push(device);
    }
    for keys in reader.tables(&mut top, "replica_set") {
        let set = replica::replica_set(reader, keys, &top.place, &system);
        system.replica_sets.push(set);
    }
    for keys in reader.tables(&mut top, "sandbox") {
        let sandbox = sandbox(reader, keys, &top.place, &system);
        system.sandboxes.push(sandbox);
    }
    if system.sandboxes.is_empty() && !top.has("sandbox") {
        reader.problem(
            &top.place,
            "sandbox",
            "missing: describe at least one [[sandbox]]",
        );
    }
    for keys in reader.tables(&mut top, "channel") {
        let channel = channel(reader, keys, &top.place, &system);
        system.channels.push(channel);
    }
    reader.finish(top);
    system.derive();
    (system, machine, least_budget)
}

fn system_table(reader: &mut Reader, mut keys: Keys<'_>, system: &mut System) {
    system.name = reader.required_name(&mut keys, "name");
    system.platform = reader
        .name(&mut keys, "platform")
        .unwrap_or_else(|| NO_PLATFORM.into());
    if let Some(bytes) = reader.size(&mut keys, "trace") {
        let rule = match bytes {
            0..LEAST_TRACE => Some("a trace ring has at least 64KiB"),
            _ if bytes > MOST_TRACE => Some("a trace ring has at most 1GiB"),
            _ if !bytes.is_power_of_two() => Some("a trace ring is a power of two"),
            _ => None,
        };
        match rule {
            None => system.trace_bytes = bytes,
            Some(rule) => {
                let reason = format!("{rule}, not {}", show_size(bytes));
                reader.problem(&keys.place, "trace", reason);
            }
        }
    }
    let modes = [
        ("stream", TraceMode::Stream),
        ("overwrite", TraceMode::Overwrite),
    ];
    system.trace_mode = reader.choice(&mut keys, "trace_mode", &modes);
    reader.finish(keys);
}

/// The machine, and the least budget there, if that is written.
fn machine_table(reader: &mut Reader, mut keys: Keys<'_>) -> (Machine, Option<u64>) {
    let cores = reader
        .required_integer(&mut keys, "cores", 1..=4096)
        .unwrap_or(4096);
    let memory = reader.size(&mut keys, "memory");
    if memory.is_none() && !keys.has("memory") {
        reader.problem(&keys.place, "memory", "missing: add `memory = \"…MiB\"`");
    }
    let least_budget = reader.span(&mut keys, "least_budget");
    reader.finish(keys);
    let machine = Machine {
        cores: cores as u32,
        memory_bytes: memory.unwrap_or(u64::MAX),
    };
    (machine, least_budget)
}

fn device(reader: &mut Reader, mut keys: Keys<'_>, parent: &Place) -> Device {
    let name = reader.own_name(&mut keys, parent, "device");
    let kind = reader.choice(&mut keys, "kind", &[("serial", DeviceKind::Serial)]);
    let port = reader.required_integer(&mut keys, "port", 0..=0xffff);
    let port_count = reader
        .integer(&mut keys, "port_count", 1..=256)
        .unwrap_or(SERIAL_PORT_COUNT.into());
    let interrupt = reader.required_integer(&mut keys, "interrupt", 0..=15);
    if interrupt == Some(2) {
        let reason = "line 2 joins the two interrupt controllers, no device has it";
        reader.problem(&keys.place, "interrupt", reason);
    }
    if port_count != u64::from(SERIAL_PORT_COUNT) {
        let reason = format!("a serial port has {SERIAL_PORT_COUNT} ports: leave it out");
        reader.problem(&keys.place, "port_count", reason);
    }
    reader.finish(keys);
    let (port, port_count) = (port.unwrap_or(0) as u16, port_count as u16);
    Device {
        name,
        kind,
        port,
        port_count,
        interrupt: interrupt.unwrap_or(0) as u8,
        channels: None,
        verdicts: Vec::new(),
    }
}

fn channel(reader: &mut Reader, mut keys: Keys<'_>, parent: &Place, system: &System) -> Channel {
    let name = reader.own_name(&mut keys, parent, "channel");
    let sandboxes: Vec<&str> = system
        .sandboxes
        .iter()
        .map(|sandbox| sandbox.name.as_str())
        .collect();
    let writer_name = reader.required_name(&mut keys, "writer");
    let writer = match writer_name.as_str() {
        "" => 0,
        name => find(reader, &keys, "writer", name, "sandbox", &sandboxes).unwrap_or(0),
    };
    let mut readers = Vec::new();
    for name in reader.names(&mut keys, "readers") {
        let Some(index) = find(reader, &keys, "readers", name, "sandbox", &sandboxes) else {
            continue;
        };
        if readers.contains(&index) {
            reader.problem(&keys.place, "readers", format!("\"{name}\" given twice"));
        } else if name == writer_name {
            let reason = format!("\"{name}\" is the writer, and may read what it wrote anyway");
            reader.problem(&keys.place, "readers", reason);
        } else {
            readers.push(index);
        }
    }
    if !keys.has("readers") {
        reader.problem(&keys.place, "readers", "missing: add `readers = [\"…\"]`");
    }
    let mut bytes = reader.size(&mut keys, "size");
    match bytes {
        None if keys.has("size") => {}
        None => reader.problem(&keys.place, "size", "missing: add `size = \"…KiB\"`"),
        Some(wrong) => {
            let rule = match wrong {
                0 => Some("a channel has at least 4KiB"),
                _ if wrong % PAGE_SIZE as u64 != 0 => Some("a channel is a multiple of 4KiB"),
                _ if wrong > WINDOW => Some("a channel has at most 64GiB"),
                _ => None,
            };
            if let Some(rule) = rule {
                let reason = format!("{rule}, not {}", show_size(wrong));
                reader.problem(&keys.place, "size", reason);
                bytes = None;
            }
        }
    }
    let doorbell = reader.span(&mut keys, "doorbell");
    if doorbell.is_some() && readers.is_empty() && reader.has_sound(&keys.place, "readers") {
        let reason = "nobody reads the channel, so the doorbell rings for nobody: \
                      name `readers`, or leave it out";
        reader.problem(&keys.place, "doorbell", reason);
    }
    let seal = reader.span(&mut keys, "seal");
    if seal.is_some() && readers.len() < 2 && reader.has_sound(&keys.place, "readers") {
        let reason = "a seal shows all readers the same, and there are not two: name another in \
                      `readers`, or leave it out";
        reader.problem(&keys.place, "seal", reason);
    }
    let close = reader.span(&mut keys, "close");
    match (close, seal) {
        (Some(close), Some(seal)) if close >= seal => {
            let reason = format!(
                "{} is not before the next number begins, after {}: closing is for what is late, \
                 write less than `seal`",
                show(close),
                show(seal)
            );
            reader.problem(&keys.place, "close", reason);
        }
        (Some(_), None) if !keys.has("seal") => {
            let reason = "nothing is sealed here that could be closed: add `seal = \"…ms\"`, or \
                          leave it out";
            reader.problem(&keys.place, "close", reason);
        }
        (Some(_) | None, Some(_) | None) => {}
    }
    reader.finish(keys);
    Channel {
        name,
        writer,
        readers,
        bytes: bytes.unwrap_or(0),
        doorbell,
        seal,
        seal_from: 0,
        close,
    }
}

fn sandbox(reader: &mut Reader, mut keys: Keys<'_>, parent: &Place, system: &System) -> Sandbox {
    let name = reader.own_name(&mut keys, parent, "sandbox");
    let core = reader.required_integer(&mut keys, "core", 0..=4095);
    let mut memory = reader.size(&mut keys, "memory");
    if let Some(bytes) = memory {
        let reason = match bytes {
            _ if bytes % LARGE_PAGE != 0 => Some("memory is a multiple of 2MiB"),
            0..LEAST_MEMORY => Some("a sandbox needs at least 4MiB"),
            _ if bytes > MEMORY_MAX => Some("a sandbox has at most 3GiB"),
            _ => None,
        };
        if let Some(reason) = reason {
            reader.problem(
                &keys.place,
                "memory",
                format!("{reason}, not {}", show_size(bytes)),
            );
            memory = None;
        }
    }
    let kernel = reader
        .name(&mut keys, "kernel")
        .unwrap_or_else(|| "tern-kernel".into());
    let command_line = reader
        .string(&mut keys, "command_line")
        .unwrap_or("")
        .to_owned();
    let may_shut_down = reader.boolean(&mut keys, "may_shut_down").unwrap_or(false);
    let known: Vec<&str> = system
        .devices
        .iter()
        .map(|device| device.name.as_str())
        .collect();
    let mut devices = Vec::new();
    for name in reader.names(&mut keys, "devices") {
        match find(reader, &keys, "devices", name, "device", &known) {
            Some(index) if devices.contains(&index) => {
                reader.problem(&keys.place, "devices", format!("\"{name}\" given twice"));
            }
            Some(index) => devices.push(index),
            None => {}
        }
    }
    let mut servers = Vec::new();
    let mut priorities = Vec::new();
    for server_keys in reader.tables(&mut keys, "server") {
        let (server, priority) = server(reader, server_keys, &keys.place, system);
        servers.push(server);
        priorities.push(priority);
    }
    order(reader, &keys.place, &mut servers, &priorities);
    reader.finish(keys);
    Sandbox {
        name,
        core: core.unwrap_or(0) as u32,
        memory_bytes: memory.unwrap_or(0),
        kernel,
        command_line,
        may_shut_down,
        devices,
        servers,
    }
}

/// The least memory of a sandbox: its first large page, and one for the kernel's image.
const LEAST_MEMORY: u64 = 2 * LARGE_PAGE;

/// A server, and the priority it was given.
fn server(
    reader: &mut Reader,
    mut keys: Keys<'_>,
    parent: &Place,
    system: &System,
) -> (Server, Option<u64>) {
    let name = reader.own_name(&mut keys, parent, "server");
    let kinds = [("sporadic", ServerKind::Sporadic), ("io", ServerKind::Io)];
    let kind = reader.choice(&mut keys, "kind", &kinds);
    let budget = reader.required_span(&mut keys, "budget");
    let period = reader.required_span(&mut keys, "period");
    if period > 0 && budget > period {
        let reason = format!("{} is above the period, {}", show(budget), show(period));
        reader.problem(&keys.place, "budget", reason);
    }
    let deadline = reader.span(&mut keys, "deadline").unwrap_or(period);
    let jitter = reader.duration(&mut keys, "jitter").unwrap_or(0);
    let blocking = reader.duration(&mut keys, "blocking").unwrap_or(0);
    let priority = reader.integer(&mut keys, "priority", 1..=u64::from(u32::MAX));
    let mut server = Server {
        name,
        kind,
        budget,
        period,
        deadline,
        jitter,
        blocking,
        ..Server::default()
    };
    for thread_keys in reader.tables(&mut keys, "thread") {
        let thread = thread::thread(reader, thread_keys, &keys.place, system, &server);
        server.threads.push(thread);
    }
    reader.finish(keys);
    (server, priority)
}

/// Gives the servers of a sandbox their priorities: those of the file, or rate-monotonic
/// ones with ties in file order.
fn order(reader: &mut Reader, sandbox: &Place, servers: &mut [Server], given: &[Option<u64>]) {
    let place = |index| sandbox.item("server", index);
    if given.iter().any(Option::is_some) {
        for (index, priority) in given.iter().enumerate() {
            let Some(priority) = priority else {
                let reason = "missing: give a priority to every server of a sandbox or to none";
                reader.problem(&place(index), "priority", reason);
                continue;
            };
            if let Some(other) = given[..index]
                .iter()
                .position(|other| *other == Some(*priority))
            {
                let other = &servers[other].name;
                let reason = format!("{priority} is the priority of server \"{other}\" already");
                reader.problem(&place(index), "priority", reason);
            }
        }
    }
    let mut ranks: Vec<usize> = (0..servers.len()).collect();
    // Stable: equal keys stay in file order.
    ranks.sort_by_key(|index| given[*index].unwrap_or(servers[*index].period));
    for (rank, index) in ranks.into_iter().enumerate() {
        servers[index].priority = rank as u32;
    }
}

/// Position of `name` among `known`; notes a problem with `key` when it is not there.
pub(super) fn find(
    reader: &mut Reader,
    keys: &Keys<'_>,
    key: &str,
    name: &str,
    kind: &str,
    known: &[&str],
) -> Option<u32> {
    let found = known.iter().position(|other| *other == name);
    if found.is_none() {
        let named: Vec<&str> = known.iter().copied().filter(|it| !it.is_empty()).collect();
        let list = match named.as_slice() {
            [] => "none is described".into(),
            named => format!("known: {}", named.join(", ")),
        };
        reader.problem(
            &keys.place,
            key,
            format!("there is no {kind} \"{name}\" ({list})"),
        );
    }
    found.map(|index| index as u32)
}

/// A duration as messages show it.
pub(super) fn show(nanos: u64) -> String {
    format!("{}", tern_units::Duration::from_nanos(nanos))
}
