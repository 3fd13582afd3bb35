//! What the scheduler's steps cost on a host core.
//!
//! Targets: a charge with 32 pending replenishments below 60 ns, a pick below 5 ns.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tern_sched::{ReadyQueue, Scheduler, ServerParameters, Silent, SporadicServer, ThreadId};
use tern_units::{Duration, Instant};

const PERIOD: u64 = 1_000_000;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn span(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// A server with this many replenishments, far enough apart to stay so. Returns it with
/// the time at which the first is active.
fn fragmented(chunks: u64) -> (SporadicServer, u64) {
    let parameters = ServerParameters::sporadic(span(100 * chunks), span(PERIOD), 0).with_room(33);
    let mut server = SporadicServer::new(parameters, at(0)).unwrap();
    for chunk in 0..chunks {
        server.unblock(at(1_000 * chunk));
        server.charge(span(100), |_| ());
    }
    assert_eq!(server.replenishments().count() as u64, chunks);
    (server, PERIOD)
}

fn server(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("server");
    for chunks in [1, 8, 32] {
        let (fresh, now) = fragmented(chunks);
        group.bench_function(BenchmarkId::new("charge", chunks), |bench| {
            bench.iter_batched_ref(
                || fresh.clone(),
                |server| server.charge(black_box(span(50)), |posted| _ = black_box(posted)),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("wake", chunks), |bench| {
            bench.iter_batched_ref(
                || fresh.clone(),
                |server| server.unblock(black_box(at(now + 50))),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("wake-merging-all", chunks), |bench| {
            bench.iter_batched_ref(
                || fresh.clone(),
                |server| server.unblock(black_box(at(2 * now))),
                BatchSize::SmallInput,
            );
        });
        // In steady state: a chunk is used up and posted again, for ever.
        group.bench_function(BenchmarkId::new("replenish", chunks), |bench| {
            let mut server = fresh.clone();
            bench.iter(|| server.charge(black_box(span(100)), |posted| _ = black_box(posted)));
        });
    }
    group.finish();
}

fn ready(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("ready");
    for servers in [4_u16, 64] {
        let mut queue = ReadyQueue::<64>::new();
        for server in 0..servers {
            queue.insert(server, server);
        }
        group.bench_function(BenchmarkId::new("pick", servers), |bench| {
            bench.iter(|| black_box(&queue).first());
        });
        group.bench_function(BenchmarkId::new("insert-and-remove", servers), |bench| {
            bench.iter(|| {
                queue.remove(black_box(servers - 1), servers - 1);
                queue.insert(black_box(servers - 1), servers - 1);
            });
        });
    }
    group.finish();
}

/// A scheduler whose servers all have a thread with endless work.
fn busy(servers: u32) -> Box<Scheduler> {
    let mut scheduler = Box::new(Scheduler::new());
    for priority in 0..servers {
        let period = 1_000 * (u64::from(priority) + 1);
        let server = scheduler
            .add_server(ServerParameters::sporadic(
                span(period / 100),
                span(period),
                priority,
            ))
            .unwrap();
        let thread = scheduler.add_thread(server).unwrap();
        scheduler.wake(thread, at(0));
    }
    scheduler
}

fn dispatch(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("dispatch");
    for servers in [1, 8, 64] {
        // Every timer is an exhaustion or a replenishment.
        group.bench_function(BenchmarkId::new("timer", servers), |bench| {
            let mut scheduler = busy(servers);
            let mut now = at(0);
            bench.iter(|| now = scheduler.dispatch(now, &mut Silent).timer);
        });
        group.bench_function(BenchmarkId::new("wake-and-block", servers), |bench| {
            let mut scheduler = busy(servers);
            let thread = ThreadId::new(0);
            let mut now = 0;
            bench.iter(|| {
                now += 1_000_000;
                scheduler.wake(thread, at(now));
                black_box(scheduler.dispatch(at(now), &mut Silent));
                scheduler.block(thread, &mut Silent);
                black_box(scheduler.dispatch(at(now + 5), &mut Silent));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, server, ready, dispatch);
criterion_main!(benches);
