//! Random systems: the simulation keeps the bounds, and no number is too large.
use proptest::prelude::*;
use tern_config::{Sandbox, Server, ServerKind, System, Thread};
use tern_sched::analysis::CostTable;
use tern_units::{Duration, Instant};
use trace_viewer::check::check;

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_simulated_response_exceeds_the_reported_bound(system in systems()) {
        let report = check(&system, &CostTable::NONE);
        let simulation = tern_sim::simulate(&system, Instant::from_nanos(600)).unwrap();
        for job in &simulation.jobs {
            let server = &report.sandboxes[0].servers[job.server];
            let thread = &server.threads[job.thread];
            let Some(bound) = thread.tighter.or(thread.response) else { continue };
            let end = job.finish.unwrap_or(Instant::from_nanos(600));
            let response = end.saturating_since(job.release);
            prop_assert!(
                response <= bound,
                "{:?} {:?} in step: {:?} bound {bound} {job:?}",
                thread.name, response, thread.tighter
            );
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
            let _ = check(&system, &costs).to_string();
        }
        // Short enough that the scheduler's own events stay few.
        let least = system.sandboxes[0].servers.iter().map(|it| it.budget.min(it.threads[0].wcet)).min();
        let until = until.min(least.unwrap_or(1).saturating_mul(1000));
        let _ = tern_sim::simulate(&system, Instant::from_nanos(until));
    }
}
