//! Random systems: the simulation keeps the bounds, and no number is too large.
use proptest::prelude::*;
use tern_check::{Report, check};
use tern_config::{
    Channel, Device, DeviceChannels, ReplicaSet, Runs, Sandbox, Server, ServerKind, System, Thread,
    Voting,
};
use tern_sched::analysis::CostTable;
use tern_sim::JobHistory;
use tern_units::{Duration, Instant};
use trace_viewer::print::CheckText;
use trace_viewer::read::SoundTrace;
use trace_viewer::simulate::trace;
use trace_viewer::summary::Summary;
use trace_viewer::verdict::conformance::Conformance;

const MS: u64 = 1_000_000;

/// A system of one sandbox.
fn alone(servers: Vec<Server>) -> System {
    let sandbox = Sandbox {
        servers,
        ..Sandbox::default()
    };
    System {
        sandboxes: vec![sandbox],
        ..System::default()
    }
}

/// Sandboxes of up to four servers with up to two threads each, all offsets.
fn systems() -> impl Strategy<Value = System> {
    let thread = (1..6_u64, 1..5_u64, 0..12_u64);
    let threads = proptest::collection::vec(thread, 0..3);
    let kinds = prop_oneof![3 => Just(ServerKind::Sporadic), 1 => Just(ServerKind::Io)];
    let server = (1..4_u64, 2..12_u64, threads, kinds);
    proptest::collection::vec(server, 1..5).prop_map(|servers| {
        let servers =
            servers
                .into_iter()
                .zip(0..)
                .map(|((budget, more, threads, kind), priority)| {
                    let period = budget + more;
                    let threads = threads.into_iter().map(|(wcet, factor, offset)| {
                        let period = wcet * factor * 4;
                        Thread {
                            wcet,
                            period,
                            deadline: period,
                            offset,
                            ..Thread::default()
                        }
                    });
                    Server {
                        kind,
                        budget,
                        period,
                        deadline: period,
                        priority,
                        threads: threads.collect(),
                        ..Server::default()
                    }
                });
        alone(servers.collect())
    })
}

/// The same with a voter, the first thread of a server, that sends through a device; its
/// driver is the first thread of an I/O server with the least priority or any other.
fn systems_with_requests() -> impl Strategy<Value = System> {
    let several = systems().prop_filter("a voter's thread, and a driver's", |system| {
        let servers = &system.sandboxes[0].servers;
        let with_threads = servers.iter().filter(|server| !server.threads.is_empty());
        with_threads.count() > 1
    });
    let order = Just([0, 1, 2, 3]).prop_shuffle();
    (several, any::<u8>(), any::<u8>(), order, any::<bool>()).prop_map(
        |(mut system, voter, driver, order, is_simulated)| {
            let servers = &mut system.sandboxes[0].servers;
            let mut places = (0..servers.len()).filter(|it| !servers[*it].threads.is_empty());
            let mut places: Vec<usize> = places.by_ref().collect();
            let voter = places.remove(usize::from(voter) % places.len());
            let driver = places.remove(usize::from(driver) % places.len());
            servers[voter].threads[0].runs = Runs::Voter(0);
            servers[driver].threads[0].runs = Runs::Driver(0);
            // What a description must keep to: the driver's period is not the longer one.
            let longest = servers[voter].period;
            let own = &mut servers[driver];
            own.kind = ServerKind::Io;
            own.period = own.period.min(longest);
            (own.budget, own.deadline) = (own.budget.min(own.period), own.period);
            let count = servers.len() as u32;
            let order = order.into_iter().filter(|priority| *priority < count);
            for (server, priority) in servers.iter_mut().zip(order) {
                server.priority = priority;
            }
            // Both directions of the device, where a program simulates what is at its end.
            system.channels.push(Channel::default());
            system.devices.push(Device {
                channels: is_simulated.then(DeviceChannels::default),
                ..Device::default()
            });
            system.replica_sets.push(ReplicaSet {
                voting: Voting::Unprotected,
                device: Some(0),
                ..ReplicaSet::default()
            });
            system
        },
    )
}

/// How often a driver is woken is an assumption of the bounds in its server.
fn depends_on_wakes(system: &System, job: &JobHistory) -> bool {
    let server = &system.sandboxes[job.sandbox].servers[job.server];
    let mut threads = server.threads.iter();
    threads.any(|thread| matches!(thread.runs, Runs::Driver(_)))
}

/// An I/O server that falls behind at its own priority may make up for all of it where it is
/// raised: there the bounds rest on its delivering its budget every period.
fn raised_servers_keep_up(system: &System, report: &Report) -> bool {
    let servers = report.sandboxes[0].servers.iter().enumerate();
    let mut raised = servers.filter(|(index, _)| system.requesters(0, *index).next().is_some());
    raised.all(|(_, server)| {
        server
            .response
            .is_some_and(|response| response <= server.period)
    })
}

/// Times that a kernel could tell apart, in place of nanoseconds.
fn in_milliseconds(mut system: System) -> System {
    for server in &mut system.sandboxes[0].servers {
        for time in [&mut server.budget, &mut server.period, &mut server.deadline] {
            *time *= MS;
        }
        for thread in &mut server.threads {
            let Thread {
                wcet,
                period,
                deadline,
                offset,
                ..
            } = thread;
            for time in [wcet, period, deadline, offset] {
                *time *= MS;
            }
        }
    }
    system
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_simulated_response_exceeds_the_reported_bound(
        system in prop_oneof![systems(), systems_with_requests()]
    ) {
        let report = check(&system, &CostTable::NONE);
        let simulation = tern_sim::simulate(&system, Instant::from_nanos(600)).unwrap();
        if !raised_servers_keep_up(&system, &report) {
            return Ok(());
        }
        for job in simulation.jobs.iter().filter(|job| !depends_on_wakes(&system, job)) {
            let server = &report.sandboxes[0].servers[job.server];
            let thread = &server.threads[job.thread];
            let Some(bound) = thread.response else { continue };
            let end = job.finish.unwrap_or(Instant::from_nanos(600));
            let response = end.saturating_since(job.release);
            prop_assert!(
                response <= bound,
                "{:?} {:?} bound {bound} by {:?} {job:?}",
                thread.name, response, thread.bound
            );
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_simulated_schedule_conforms_and_its_trace_tells_the_same(
        system in prop_oneof![systems(), systems_with_requests()]
    ) {
        let (system, end) = (in_milliseconds(system), Instant::from_nanos(600 * MS));
        let mut simulation = tern_sim::simulate_with_records(&system, end).unwrap();
        let trace = trace(&system, std::mem::take(&mut simulation.records));
        prop_assert_eq!(&simulation, &tern_sim::simulate(&system, end).unwrap());

        let sound = SoundTrace::of(&trace);
        prop_assert!(sound.is_ok(), "{}", sound.unwrap_err());
        let sound = sound.unwrap();
        let conformance = Conformance::of(&sound);
        prop_assert_eq!(conformance.violations(), 0, "{:#?}", conformance.servers);
        let summary = Summary::from_trace(&sound);
        prop_assert_eq!(&summary.unsound, &[""; 0]);
        // Requests come beside the releases of a driver here, so its promise may be broken.
        let promises = |warning: &&String| warning.contains("closer together");
        prop_assert_eq!(summary.warnings.iter().find(|it| !promises(it)), None);
        prop_assert_eq!(summary.to_ns, 600_000_000);
        prop_assert!(conformance.servers.iter().all(|it| it.overruns == 0));
        if raised_servers_keep_up(&system, &check(&system, &CostTable::NONE)) {
            prop_assert_eq!(&summary.exceeded, &[]);
        }
        for (index, server) in summary.sandboxes[0].servers.iter().enumerate() {
            let runs = simulation.servers[index].runs.iter();
            let busy = runs.map(|(from, to)| to.as_nanos() - from.as_nanos());
            prop_assert_eq!(server.busy_ns, busy.sum::<u64>());
        }
        let mut threads = summary.sandboxes[0].threads.iter();
        for (index, server) in system.sandboxes[0].servers.iter().enumerate() {
            // One stands in for the threads of a server without any.
            for position in 0..server.threads.len().max(1) {
                let summary = threads.next().unwrap();
                let jobs = simulation.jobs.iter();
                let jobs = jobs.filter(|job| (job.server, job.thread) == (index, position));
                if server.threads.is_empty() {
                    continue;
                }
                let late = jobs.clone().filter(|job| job.missed(end)).count();
                let done = jobs.clone().filter(|job| job.finish.is_some()).count();
                let longest = jobs.clone().filter_map(JobHistory::response);
                let longest = longest.max().map(|longest| longest.as_nanos().cast_signed());
                prop_assert_eq!(summary.released, jobs.count() as u64);
                prop_assert_eq!(summary.completed, done as u64);
                prop_assert_eq!(summary.misses, late as u64);
                prop_assert_eq!(summary.response.map(|it| it.max_ns), longest);
            }
        }
    }
}

/// Durations from a nanosecond to the longest there is.
fn duration() -> impl Strategy<Value = u64> {
    (0..61_u32, any::<u64>())
        .prop_map(|(bits, number)| (number % (1 << bits) + 1).min(1_000_000_000_000_000_000))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_sizes_of_numbers_make_the_analysis_or_the_simulation_panic(
        servers in proptest::collection::vec(
            (duration(), duration(), duration(), duration(), duration(), duration(), duration(), duration()),
            1..5,
        ),
        until in duration(),
        cost in duration(),
    ) {
        let servers = servers.into_iter().zip(0..).map(|((a, b, deadline, jitter, blocking, wcet, period, offset), priority)| Server {
            budget: a.min(b),
            period: a.max(b),
            deadline,
            jitter,
            blocking,
            priority,
            threads: vec![Thread { wcet, period, deadline, offset, ..Thread::default() }],
            ..Server::default()
        });
        let system = alone(servers.collect());
        let costs = CostTable { context_switch: Duration::from_nanos(cost), ..CostTable::NONE };
        for costs in [CostTable::NONE, costs] {
            let _ = CheckText(&check(&system, &costs)).to_string();
        }
        // Short enough that the scheduler's own events stay few.
        let least = system.sandboxes[0].servers.iter().map(|it| it.budget.min(it.threads[0].wcet)).min();
        let until = until.min(least.unwrap_or(1).saturating_mul(1000));
        let _ = tern_sim::simulate(&system, Instant::from_nanos(until));
    }
}
