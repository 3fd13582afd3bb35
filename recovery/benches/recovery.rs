//! What recovery's steps cost on a host core: the commit of a job, and repairs, each step of donor,
//! witness and target in turn.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]
#[path = "../tests/bench/mod.rs"]
#[allow(dead_code, reason = "the tests damage what lies there, too")]
mod bench;

use bench::{Bench, Party, hashing};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tern_recovery::{Commit, CommitStep, RepairEnd, RepairStep};
use tern_vote::Writer;

/// Pages of the program whose jobs are committed.
const COMMITTED: usize = 1024;
/// Pages of the program that is repaired.
const REPAIRED: usize = 64;

/// Pages of which no two neighbours are equal.
fn contents(pages: usize) -> Vec<u8> {
    (0..pages).map(|page| page as u8).collect()
}

/// All steps of a commit, of a job that has written so many pages, with none to scrub.
fn commits(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("commit");
    for written in [0, 16] {
        let hashing = hashing();
        let Party {
            mut memory,
            mut table,
            channel,
        } = Party::new(&contents(COMMITTED));
        let mut commit = Commit::default();
        group.bench_function(BenchmarkId::new("dirty pages", written), |it| {
            it.iter(|| {
                let places = (0..written).map(|at| at * COMMITTED / 16);
                places.for_each(|page| memory.dirty[page] = true);
                commit.begin(0);
                let mut hashed = 0;
                loop {
                    let own = Writer::new(&channel);
                    match commit.step(&hashing, &mut memory, &mut table, own) {
                        CommitStep::Hashed(_) => hashed += 1,
                        CommitStep::Done => break,
                        _ => {}
                    }
                }
                assert_eq!(hashed, written);
            });
        });
    }
    group.finish();
}

/// All steps of a repair, from the list of pages to the equal summary.
fn repairs(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("repair");
    let sound = contents(REPAIRED);
    for differing in [1, 16, 64] {
        let mut damaged = sound.clone();
        damaged[..differing].iter_mut().for_each(|byte| *byte ^= 1);
        group.bench_function(BenchmarkId::new("pages", differing), |it| {
            let fresh = || Bench::new(&sound, &damaged);
            it.iter_batched_ref(fresh, repair, BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn repair(bench: &mut Bench) {
    loop {
        black_box(bench.give());
        black_box(bench.confirm());
        match bench.take() {
            RepairStep::Page { .. } => {}
            step => break assert_eq!(step, RepairStep::Ended(RepairEnd::Complete)),
        }
    }
}

criterion_group!(benches, commits, repairs);
criterion_main!(benches);
