//! What a whole check costs. Target: 1,000 servers below 50 ms.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tern_sched::analysis::{
    CostTable, ServerContext, ServerModel, ThreadModel, ThreadResponse, server_responses,
    thread_responses,
};
use tern_units::Duration;

/// Servers with periods from 1 ms to 1 s, rate-monotonic, 85 percent load in all, a thread
/// in each.
fn servers(count: u64) -> Vec<ServerModel> {
    let mut random = 1_u64;
    let mut servers: Vec<_> = (0..count)
        .map(|_| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let period = 1_000_000 * (1 + (random >> 33) % 1_000) + (random >> 40) % 1_000;
            let budget = (period * 85 / (100 * count)).max(1);
            ServerModel::sporadic(Duration::from_nanos(budget), Duration::from_nanos(period))
        })
        .collect();
    servers.sort_by_key(|server| server.period);
    servers
}

fn check(servers: &[ServerModel], costs: &CostTable) -> u64 {
    let mut sum = 0;
    for (index, response) in server_responses(servers, costs).enumerate() {
        let own = servers[index];
        let work = Duration::from_nanos(own.budget.as_nanos() * 2);
        let threads = [ThreadModel::periodic(work, own.period.saturating_mul(4))];
        let mut results = [ThreadResponse::default()];
        let context = ServerContext {
            servers,
            index,
            response,
            costs,
        };
        thread_responses(&context, &threads, &mut results);
        sum += results[0].response.map_or(0, Duration::as_nanos);
    }
    sum
}

fn analysis(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("check");
    group.sample_size(20);
    let costs = CostTable::NONE;
    for count in [10, 100, 1_000] {
        let servers = servers(count);
        group.bench_function(BenchmarkId::new("servers", count), |bench| {
            bench.iter(|| {
                server_responses(black_box(&servers), &costs)
                    .flatten()
                    .count()
            });
        });
        group.bench_function(BenchmarkId::new("servers-and-threads", count), |bench| {
            bench.iter(|| check(black_box(&servers), &costs));
        });
    }
    group.finish();
}

criterion_group!(benches, analysis);
criterion_main!(benches);
