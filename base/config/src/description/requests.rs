//! What an I/O server inherits from the servers that request its work must be something that
//! it can make use of.
use alloc::format;

use super::problem::server_place;
use super::read::show;
use super::reader::Reader;
use crate::system::System;

pub(super) fn check(reader: &mut Reader, system: &System) {
    for (index, sandbox) in system.sandboxes.iter().enumerate() {
        for server in 0..sandbox.servers.len() {
            if system.requesters(index, server).next().is_some() {
                deadline(reader, system, index, server);
            }
            for requester in system.requesters(index, server) {
                periods(reader, system, index, (server, requester));
                chains(reader, system, index, (server, requester));
            }
        }
    }
}

/// An I/O server that owes more than one budget makes up for all of it where it is raised:
/// the bounds of the servers there rest on its delivering each budget within a period.
fn deadline(reader: &mut Reader, system: &System, sandbox: usize, server: usize) {
    let own = &system.sandboxes[sandbox].servers[server];
    if own.deadline > own.period {
        let reason = format!(
            "{} is above the period, {}: an I/O server that works for others has to deliver its \
             budget within a period",
            show(own.deadline),
            show(own.period)
        );
        reader.problem(&server_place(sandbox, server), "deadline", reason);
    }
}

/// An I/O server takes over a requester's period while it works for it, and a shorter one
/// shrinks its capacity: the bounds on its own threads would not hold.
fn periods(reader: &mut Reader, system: &System, sandbox: usize, pair: (usize, usize)) {
    let servers = &system.sandboxes[sandbox].servers;
    let (own, requester) = (&servers[pair.0], &servers[pair.1]);
    if own.period > requester.period && requester.period > 0 {
        let reason = format!(
            "{} is above {}, the period of server \"{}\", whose voter sends through it",
            show(own.period),
            show(requester.period),
            requester.name
        );
        reader.problem(&server_place(sandbox, pair.0), "period", reason);
    }
}

/// An I/O server hands on its own priority and period, not what it inherits. Its drivers
/// request nothing, so that nobody waits for more; but a voter beside them would send with
/// another priority than it runs with.
fn chains(reader: &mut Reader, system: &System, sandbox: usize, pair: (usize, usize)) {
    let servers = &system.sandboxes[sandbox].servers;
    if let Some(first) = system.requesters(sandbox, pair.1).next() {
        let reason = format!(
            "it has a voter that sends through server \"{}\", and inherits from server \"{}\", \
             which would not be handed on: give the voter a server of its own",
            servers[pair.0].name, servers[first].name
        );
        reader.problem(&server_place(sandbox, pair.1), "kind", reason);
    }
}
