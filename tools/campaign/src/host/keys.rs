//! Each key of a description, and what of it the search meets: a key whose worth to a bound
//! nobody has said does not compile, and one that is not met ends the search with 1.
use tern_config::{
    Channel, Device, DeviceKind, Job, LeafAlgorithm, Policy, ReplicaSet, Runs, Sandbox, Server,
    ServerKind, System, Thread, TraceMode, Voting,
};

/// The keys that a bound depends on, by table, and the forms of each that a search has to meet.
pub(super) const MET: [(&str, &str, &str); 40] = [
    ("system", "platform", "costs"),
    ("system", "platform", "no costs"),
    ("sandbox", "server", "several servers"),
    ("sandbox", "devices", "devices of one priority each"),
    ("device", "interrupt", "lines"),
    ("server", "kind", "sporadic"),
    ("server", "kind", "I/O"),
    ("server", "budget", "below half of the period"),
    ("server", "budget", "half of the period or more"),
    ("server", "period", "the same as another's"),
    ("server", "period", "a multiple of no other's"),
    ("server", "deadline", "below the period"),
    ("server", "deadline", "the period"),
    ("server", "deadline", "beyond the period"),
    ("server", "jitter", "jitter"),
    ("server", "blocking", "blocking"),
    ("server", "priority", "against the periods"),
    ("server", "thread", "none"),
    ("server", "thread", "one"),
    ("server", "thread", "2 to 16"),
    ("server", "thread", "17 to 40"),
    ("thread", "wcet", "below the budget"),
    ("thread", "wcet", "the budget or more"),
    ("thread", "period", "below the server's"),
    ("thread", "period", "a multiple of the server's"),
    ("thread", "period", "beyond the server's"),
    ("thread", "deadline", "below the period"),
    ("thread", "deadline", "the period"),
    ("thread", "deadline", "beyond the period"),
    ("thread", "offset", "offset"),
    ("thread", "jobs", "explicit jobs"),
    ("thread", "program", "program"),
    ("thread", "simulates", "plant"),
    ("thread", "replica", "replica"),
    ("thread", "voter", "voter"),
    ("thread", "driver", "driver"),
    ("channel", "doorbell", "doorbell"),
    ("replica_set", "voting", "arbitrator"),
    ("replica_set", "voting", "unprotected"),
    ("replica_set", "device", "requests"),
];

/// Keys of members that [`MET`] has in another table.
#[cfg(test)]
pub(super) const PARTS: [(&str, &str, &str); 7] = [
    ("jobs", "at", "explicit jobs"),
    ("jobs", "work", "explicit jobs"),
    ("channel", "readers", "doorbell"),
    ("replica_set", "period", "replica, voter"),
    ("replica_set", "ballot_deadline", "replica, voter"),
    (
        "replica_set",
        "verdict_deadline",
        "voter, the second wake of a replica",
    ),
    (
        "sandbox",
        "core",
        "a core has one sandbox: its number is no more than a name",
    ),
];

/// Keys that no bound on a response depends on, and why.
#[cfg(test)]
pub(super) const BESIDE: [(&str, &str, &str); 45] = [
    ("system", "name", NAME),
    ("system", "trace", RING),
    ("system", "trace_mode", RING),
    ("machine", "cores", BOOT),
    ("machine", "memory", BOOT),
    ("machine", "least_budget", BOOT),
    ("device", "name", NAME),
    ("device", "kind", "there is one"),
    ("device", "port", "where the device is"),
    ("device", "port_count", "where the device is"),
    ("sandbox", "name", NAME),
    ("sandbox", "memory", BOOT),
    ("sandbox", "kernel", BOOT),
    ("sandbox", "command_line", BOOT),
    (
        "sandbox",
        "may_shut_down",
        "what ends the run is no response",
    ),
    ("server", "name", NAME),
    ("thread", "name", NAME),
    ("thread", "argument", WCET),
    ("thread", "heap_pages", WCET),
    ("thread", "stack_pages", WCET),
    ("channel", "name", NAME),
    (
        "channel",
        "writer",
        "readers ring nobody, and writing costs the writer nothing",
    ),
    ("channel", "size", BOOT),
    ("channel", "seal", WCET),
    ("channel", "close", WCET),
    ("replica_set", "name", NAME),
    ("replica_set", "program", NAME),
    ("replica_set", "argument", WCET),
    ("replica_set", "heap_pages", REPAIR),
    ("replica_set", "stack_pages", REPAIR),
    ("replica_set", "leaf", REPAIR),
    ("replica_set", "key", WCET),
    ("replica_set", "coded", WCET),
    ("replica_set", "tags", WCET),
    ("replica_set", "recovery", REPAIR),
    ("replica_set", "repair_pages", REPAIR),
    ("replica_set", "scrub_period", WCET),
    ("recovery", "kind", REPAIR),
    ("recovery", "lost_epochs", "what stops is no response"),
    ("", "system", TABLE),
    ("", "machine", TABLE),
    ("", "device", TABLE),
    ("", "sandbox", TABLE),
    ("", "channel", TABLE),
    ("", "replica_set", TABLE),
];

#[cfg(test)]
const NAME: &str = "a name";
#[cfg(test)]
const RING: &str = "a full ring costs no more than one with room";
#[cfg(test)]
const BOOT: &str = "what a machine needs to boot it";
#[cfg(test)]
const WCET: &str = "what a job does, which its wcet covers";
#[cfg(test)]
const REPAIR: &str = "the bound on repairs: sched/tests/repair.rs, sim/tests/across.rs";
#[cfg(test)]
const TABLE: &str = "a table";

/// How many items of a system have each form of [`MET`].
pub(super) fn count(system: &System) -> [u64; MET.len()] {
    let mut found = Found([0; MET.len()]);
    found.system(system);
    found.0
}

struct Found([u64; MET.len()]);

impl Found {
    fn note(&mut self, table: &str, key: &str, form: &str, is_so: bool) {
        let known = MET.iter().position(|it| *it == (table, key, form));
        let known = known.unwrap_or_else(|| panic!("{table}.{key}: {form} is not in the list"));
        self.0[known] += u64::from(is_so);
    }

    fn system(&mut self, system: &System) {
        let System {
            name: _,
            platform,
            trace_bytes: _,
            trace_mode: TraceMode::Stream | TraceMode::Overwrite,
            sandboxes,
            devices,
            channels,
            replica_sets,
        } = system;
        self.note("system", "platform", "costs", platform != "none");
        self.note("system", "platform", "no costs", platform == "none");
        for (index, sandbox) in sandboxes.iter().enumerate() {
            self.sandbox(system, index, sandbox);
        }
        for (index, device) in (0..).zip(devices) {
            self.device(system, index, device);
        }
        for channel in channels {
            self.channel(channel);
        }
        for set in replica_sets {
            self.set(system, set);
        }
    }

    fn sandbox(&mut self, system: &System, index: usize, sandbox: &Sandbox) {
        let Sandbox {
            name: _,
            core: _,
            memory_bytes: _,
            kernel: _,
            command_line: _,
            may_shut_down: _,
            devices,
            servers,
        } = sandbox;
        let lines = devices.iter();
        let mut lines: Vec<_> = lines
            .filter_map(|it| system.line_priority(index, *it))
            .collect();
        lines.sort_unstable();
        lines.dedup();
        let form = "devices of one priority each";
        self.note("sandbox", "devices", form, lines.len() > 1);
        self.note("sandbox", "server", "several servers", servers.len() > 1);
        for server in servers {
            self.server(servers, server);
        }
    }

    fn server(&mut self, all: &[Server], server: &Server) {
        let Server {
            name: _,
            kind,
            budget,
            period,
            deadline,
            jitter,
            blocking,
            priority,
            // No key: it follows from the threads, and `Counts::long_lists` has what it came to.
            room: _,
            threads,
        } = server;
        let (sporadic, io) = match kind {
            ServerKind::Sporadic => (true, false),
            ServerKind::Io => (false, true),
        };
        self.note("server", "kind", "sporadic", sporadic);
        self.note("server", "kind", "I/O", io);
        self.note(
            "server",
            "budget",
            "below half of the period",
            budget * 2 < *period,
        );
        self.note(
            "server",
            "budget",
            "half of the period or more",
            budget * 2 >= *period,
        );
        let others = || all.iter().filter(|other| other.priority != *priority);
        let same = others().any(|other| other.period == *period);
        let apart = others().all(|other| !period.is_multiple_of(other.period));
        self.note("server", "period", "the same as another's", same);
        self.note("server", "period", "a multiple of no other's", apart);
        self.note("server", "deadline", "below the period", deadline < period);
        self.note("server", "deadline", "the period", deadline == period);
        self.note("server", "deadline", "beyond the period", deadline > period);
        self.note("server", "jitter", "jitter", *jitter > 0);
        self.note("server", "blocking", "blocking", *blocking > 0);
        let against = others().any(|it| it.priority < *priority && it.period > *period);
        self.note("server", "priority", "against the periods", against);
        let count = threads.len();
        self.note("server", "thread", "none", count == 0);
        self.note("server", "thread", "one", count == 1);
        self.note("server", "thread", "2 to 16", (2..=16).contains(&count));
        self.note("server", "thread", "17 to 40", count >= 17);
        for thread in threads {
            self.thread(server, thread);
        }
    }

    fn thread(&mut self, server: &Server, thread: &Thread) {
        let Thread {
            name: _,
            wcet,
            period,
            deadline,
            offset,
            runs,
            jobs,
        } = thread;
        self.note("thread", "wcet", "below the budget", *wcet < server.budget);
        self.note(
            "thread",
            "wcet",
            "the budget or more",
            *wcet >= server.budget,
        );
        let multiple = period.is_multiple_of(server.period);
        self.note(
            "thread",
            "period",
            "below the server's",
            *period < server.period,
        );
        self.note("thread", "period", "a multiple of the server's", multiple);
        let beyond = *period > server.period && !multiple;
        self.note("thread", "period", "beyond the server's", beyond);
        self.note("thread", "deadline", "below the period", deadline < period);
        self.note("thread", "deadline", "the period", deadline == period);
        self.note("thread", "deadline", "beyond the period", deadline > period);
        self.note("thread", "offset", "offset", *offset > 0);
        let explicit = jobs.iter().any(|Job { at: _, work }| *work > 0);
        self.note("thread", "jobs", "explicit jobs", explicit);
        match runs {
            Runs::Nothing => {}
            Runs::Program {
                file: _,
                argument: _,
                heap_pages: _,
                stack_pages: _,
                simulates,
            } => {
                self.note("thread", "program", "program", true);
                self.note("thread", "simulates", "plant", simulates.is_some());
            }
            Runs::Replica(_) => self.note("thread", "replica", "replica", true),
            Runs::Voter(_) => self.note("thread", "voter", "voter", true),
            Runs::Driver(_) => self.note("thread", "driver", "driver", true),
        }
    }

    fn device(&mut self, system: &System, index: u32, device: &Device) {
        let Device {
            name: _,
            kind: DeviceKind::Serial,
            port: _,
            port_count: _,
            interrupt: _,
            // No key: it follows from `simulates`.
            channels: _,
            // No key: it follows from who votes.
            verdicts: _,
        } = device;
        let mut sandboxes = 0..system.sandboxes.len();
        let interrupts = sandboxes.any(|it| {
            let owns = system.sandboxes[it].devices.contains(&index);
            owns && system.line_priority(it, index).is_some()
        });
        self.note("device", "interrupt", "lines", interrupts);
    }

    fn channel(&mut self, channel: &Channel) {
        let Channel {
            name: _,
            writer: _,
            readers,
            bytes: _,
            doorbell,
            seal: _,
            seal_from: _,
            close: _,
        } = channel;
        let rings = doorbell.is_some() && !readers.is_empty();
        self.note("channel", "doorbell", "doorbell", rings);
    }

    fn set(&mut self, system: &System, set: &ReplicaSet) {
        let ReplicaSet {
            name: _,
            program: _,
            argument: _,
            heap_pages: _,
            stack_pages: _,
            voting,
            leaf: LeafAlgorithm::Ahash | LeafAlgorithm::Sha256,
            key: _,
            tags: _,
            coded: _,
            recovery,
            repair_pages: _,
            period: _,
            ballot_deadline: _,
            verdict_deadline: _,
            scrub_period: _,
            replicas: _,
            voters,
            device,
            voter_channels: _,
            replica_channels: _,
            ballot_channels: _,
        } = set;
        for policy in recovery {
            match policy {
                Policy::MigrateApplication | Policy::SafeStop { lost_epochs: _ } => {}
            }
        }
        let (arbitrator, unprotected) = match voting {
            Voting::Arbitrator { .. } => (true, false),
            Voting::Unprotected => (false, true),
            // None is drawn.
            Voting::Distributed | Voting::Lockstep { .. } => (false, false),
        };
        self.note("replica_set", "voting", "arbitrator", arbitrator);
        self.note("replica_set", "voting", "unprotected", unprotected);
        let mut voters = voters.iter().filter(|_| device.is_some());
        let raises = voters.any(|voter| {
            let sandbox = voter.sandbox as usize;
            let servers = 0..system.sandboxes[sandbox].servers.len();
            let mut requested =
                servers.filter(|it| system.requesters(sandbox, *it).next().is_some());
            requested.next().is_some()
        });
        self.note("replica_set", "device", "requests", raises);
    }
}

#[cfg(test)]
mod tests;
