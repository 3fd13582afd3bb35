//! What a whole check costs. Target: 1,000 servers with their threads below 50 ms.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tern_sched::analysis::{CostTable, ServerModel, ThreadModel, ThreadResponse, server_responses};
use tern_units::Duration;

/// Servers in order of priority, a thread in each.
type Core = Vec<(ServerModel, ThreadModel)>;

fn core(
    servers: impl Iterator<Item = (u64, u64)>,
    thread: impl Fn(u64, u64) -> (u64, u64),
) -> Core {
    let nanos = Duration::from_nanos;
    let mut core: Core = servers
        .map(|(budget, period)| {
            let (wcet, every) = thread(budget, period);
            (
                ServerModel::sporadic(nanos(budget), nanos(period)),
                ThreadModel::periodic(nanos(wcet), nanos(every)),
            )
        })
        .collect();
    core.sort_by_key(|(server, _)| server.period);
    core
}

/// Servers with periods from 1 ms to 1 s at random, 85 percent load in all, with threads that
/// use half of that in jobs of two budgets.
fn busy(count: u64) -> Core {
    let mut random = 1_u64;
    let servers = (0..count).map(|_| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let period = 1_000_000 * (1 + (random >> 33) % 1_000) + (random >> 40) % 1_000;
        ((period * 85 / (100 * count)).max(1), period)
    });
    core(servers, |budget, period| (2 * budget, 4 * period))
}

/// Servers of 10 us in 20 ms, 21 ms and so on, with threads of that period that use the
/// whole budget, or half: their deadlines hold, or not, only in step with the server.
fn alike(count: u64, used: fn(u64) -> u64) -> Core {
    let servers = (0..count).map(|number| (10_000, 1_000_000 * (20 + number)));
    core(servers, |budget, period| (used(budget), period))
}

/// What `tern check` asks of the analysis.
fn check(core: &Core, costs: &CostTable) -> u64 {
    let servers: Vec<_> = core.iter().map(|(server, _)| *server).collect();
    let mut late = 0;
    let mut responses = server_responses(&servers, costs);
    for (_, thread) in core {
        responses.next();
        let mut results = [ThreadResponse::default()];
        responses.thread_responses(&[*thread], &mut results);
        let response = results[0].time();
        late += u64::from(response.is_none_or(|it| it > thread.period));
    }
    late
}

fn analysis(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("check");
    group.sample_size(20);
    let costs = CostTable::NONE;
    for count in [10, 100, 1_000] {
        let sets = [
            ("busy", busy(count)),
            ("whole-budget", alike(count, |budget| budget)),
            ("half-budget", alike(count, |budget| budget / 2)),
        ];
        for (name, core) in &sets {
            group.bench_function(BenchmarkId::new(*name, count), |bench| {
                bench.iter(|| check(black_box(core), &costs));
            });
        }
        let servers: Vec<_> = sets[0].1.iter().map(|(server, _)| *server).collect();
        group.bench_function(BenchmarkId::new("busy-servers-only", count), |bench| {
            bench.iter(|| {
                server_responses(black_box(&servers), &costs)
                    .filter(|it| it.response.is_some())
                    .count()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, analysis);
criterion_main!(benches);
