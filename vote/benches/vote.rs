//! What a vote costs: a page's leaf beside the bare crate's hash, the decision on an epoch's
//! ballots, and the vote on digests in code words and in plain ones. Target: at least 95 % of the
//! bare crate's speed. The images have the AES instructions compiled in, so for figures like
//! theirs run it with `RUSTFLAGS=-Ctarget-feature=+aes`.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]
use ahash::RandomState;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sha2::{Digest, Sha256};
use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;
use std::sync::atomic::AtomicU64;
use tern_abi::system_call::MESSAGE_WORDS;
use tern_units::PAGE_SIZE;
use tern_vote::{
    Answer, Ballot, BallotKind, Code, Decision, Key, Leaf, LeafKind, Origin, Page, PageHasher,
    Reader, Rules, Seat, Set, Summary, Vote, Writer, ballot_channel_bytes, output_words, sha256,
};

const KEY: Key = Key([4, 3, 2, 1]);
const EPOCH: u64 = 9;
const PAGES: u32 = 64;

fn leaves(bench: &mut Criterion) {
    let page: Page = std::array::from_fn(|at| at as u8);
    let mut group = bench.benchmark_group("page");
    group.throughput(Throughput::Bytes(PAGE_SIZE as u64));
    let leaf = LeafKind::ahash(&KEY);
    group.bench_function("leaf, ahash", |it| it.iter(|| leaf.leaf(black_box(&page))));
    let [a, b, c, d] = KEY.0;
    let bare = RandomState::with_seeds(a, b, c, d);
    group.bench_function("bare ahash", |it| {
        it.iter(|| {
            let mut hasher = bare.build_hasher();
            hasher.write(black_box(&page));
            hasher.finish()
        });
    });
    group.bench_function("SHA-256", |it| it.iter(|| sha256(black_box(&page))));
    group.bench_function("bare SHA-256", |it| {
        it.iter(|| Sha256::digest(black_box(&page)));
    });
    group.finish();
}

fn words(bytes: u64) -> Vec<AtomicU64> {
    (0..bytes / 8).map(|_| AtomicU64::new(0)).collect()
}

/// Channels in which replicas agree on an output of two words.
fn agreed(set: &Set) -> Vec<Vec<AtomicU64>> {
    let replicas = 0..set.replicas;
    let cast = replicas.map(|replica| {
        let channel = words(ballot_channel_bytes());
        let ballot = Ballot {
            replica,
            epoch: EPOCH,
            kind: BallotKind::Ran,
            answer: Answer::Taken,
            origin: Some(Origin {
                after: EPOCH,
                digest: 5,
            }),
            jobs_until: EPOCH + 1,
            pages: PAGES,
            summary: Summary(6),
            input: Leaf(7),
            count: 2,
            output: [0; MESSAGE_WORDS],
            words: output_words(set, usize::from(replica), EPOCH, &[0, 0]),
        };
        ballot.cast(set, Writer::new(&channel));
        channel
    });
    cast.collect()
}

/// The decision alone, and with the vote on digests in each code.
fn votes(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("vote");
    let rules = Rules {
        repairs: true,
        lost_epochs: 3,
    };
    for replicas in [3, 5, 7] {
        for code in [Code::Arithmetic, Code::Plain] {
            let set = Set {
                number: 0,
                replicas,
                key: KEY,
                code,
            };
            let channels = agreed(&set);
            let readers: Vec<_> = channels.iter().map(|it| Reader::new(it)).collect();
            if code == Code::Plain {
                group.bench_function(BenchmarkId::new("decision", replicas), |it| {
                    it.iter(|| Decision::on(&set, EPOCH, None, black_box(&readers)));
                });
            }
            let name = format!("{code:?}").to_lowercase();
            group.bench_function(BenchmarkId::new(name, replicas), |it| {
                it.iter(|| {
                    let ballots = black_box(&readers);
                    Vote::on(&set, &rules, Seat::Arbitrator, EPOCH, ballots, None)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, leaves, votes);
criterion_main!(benches);
