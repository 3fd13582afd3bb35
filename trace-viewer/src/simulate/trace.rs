//! A simulated schedule as a trace, for everything that reads those of real runs.
use tern_config::{Server, System, Thread};
use tern_sched::analysis::CostTable;
use tern_trace::{Core, Kind, Mode, Origin, Record, Trace};
use tern_units::TscFrequency;

const TICK_IS_A_NANOSECOND: TscFrequency = TscFrequency::from_hertz(1_000_000_000).unwrap();

/// The trace of a simulation of `system` with these records.
///
/// Its description has a thread in each server, named like it, where the simulated one has
/// none: one that uses the whole budget every period.
#[must_use]
pub fn trace(system: &System, records: Vec<Vec<Record>>) -> Trace {
    let mut system = system.clone();
    let servers = system.sandboxes.iter_mut().flat_map(|it| &mut it.servers);
    for server in servers.filter(|server| server.threads.is_empty()) {
        server.threads.push(stand_in(server));
    }
    // The kernel's work takes no time here, so neither do the bounds count any.
    let promises = tern_check::promises(&system, "none", &CostTable::NONE);
    let cores = system.sandboxes.iter().zip(records);
    Trace {
        origin: Origin::Simulator,
        promises: Some(promises),
        tsc: TICK_IS_A_NANOSECOND,
        epoch_tsc: 0,
        build: concat!("tern simulate ", env!("CARGO_PKG_VERSION")).into(),
        system: postcard::to_allocvec(&system).expect("what is kept in memory has an encoding"),
        exit_reasons: Vec::new(),
        cores: cores
            .map(|(sandbox, records)| core(&sandbox.name, records))
            .collect(),
        notes: Vec::new(),
    }
}

fn stand_in(server: &Server) -> Thread {
    Thread {
        name: server.name.clone(),
        wcet: server.budget,
        period: server.period,
        deadline: server.deadline,
        ..Thread::default()
    }
}

fn core(sandbox: &str, records: Vec<Record>) -> Core {
    let mut counters = vec![0; Kind::COUNTERS];
    for record in &records {
        counters[record.kind as usize] += 1;
    }
    Core {
        sandbox: sandbox.into(),
        mode: Mode::Stream,
        dropped: 0,
        overwritten: 0,
        counters,
        exits: Vec::new(),
        damage: String::new(),
        records,
    }
}
