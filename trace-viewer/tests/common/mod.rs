//! Hand-made traces: a small system whose every number can be checked by hand.
//!
//! The timestamp counter runs at 1 GHz and its value at the epoch is [`EPOCH`], so
//! microsecond `t` is counter value `EPOCH + 1000 t`.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::atomic::AtomicU64;

use tern_config::{Channel, ReplicaSet, Runs, Sandbox, Server, System, Thread, ThreadRef};
use tern_trace::{
    Core, Event, HEADER_WORDS, Mode, RepairResult, Ring, Trace, VoteOutcome, VoteParties,
};
use tern_units::{Duration, Instant, PageNumber, TscFrequency};

pub const EPOCH: u64 = 5_000_000_000;

/// The set's period, 50 ms, in microseconds.
pub const PERIOD: u64 = 50_000;

/// One core's events with their times in microseconds after the epoch, in any order.
pub type Events = Vec<(i64, Event)>;

pub fn at(micros: i64) -> u64 {
    EPOCH.checked_add_signed(micros * 1_000).unwrap()
}

fn thread(name: &str, wcet: u64, period: u64, offset: u64, runs: Runs) -> Thread {
    Thread {
        name: name.to_string(),
        wcet: wcet * 1_000,
        period: period * 1_000,
        deadline: period * 1_000,
        offset: offset * 1_000,
        runs,
        ..Thread::default()
    }
}

fn server(name: &str, budget: u64, period: u64, priority: u32, threads: Vec<Thread>) -> Server {
    Server {
        name: name.to_string(),
        budget: budget * 1_000,
        period: period * 1_000,
        deadline: period * 1_000,
        priority,
        threads,
        ..Server::default()
    }
}

/// Three replicas beside a periodic program, and an arbitrator.
pub fn system() -> System {
    let replica = |name: &str, core| Sandbox {
        name: name.to_string(),
        core,
        servers: vec![
            server(
                "control",
                10_000,
                PERIOD,
                1,
                vec![thread("controller", 4_000, PERIOD, 0, Runs::Replica(0))],
            ),
            server(
                "attitude",
                2_000,
                20_000,
                0,
                vec![thread("attitude", 1_000, 20_000, 0, Runs::Nothing)],
            ),
        ],
        ..Sandbox::default()
    };
    let arbitrator = Sandbox {
        name: "arbitrator".to_string(),
        core: 3,
        servers: vec![server(
            "vote",
            5_000,
            PERIOD,
            0,
            vec![thread("voter", 1_000, PERIOD, 20_000, Runs::Voter(0))],
        )],
        ..Sandbox::default()
    };
    let place = |sandbox| ThreadRef {
        sandbox,
        server: 0,
        thread: 0,
    };
    System {
        name: "pendulum".to_string(),
        sandboxes: vec![
            replica("alpha", 0),
            replica("beta", 1),
            replica("gamma", 2),
            arbitrator,
        ],
        channels: vec![Channel::default(); 4],
        replica_sets: vec![ReplicaSet {
            name: "controller".to_string(),
            replicas: vec![place(0), place(1), place(2)],
            voter: Some(place(3)),
            period: PERIOD * 1_000,
            voter_channel: Some(3),
            replica_channels: vec![0, 1, 2],
            ..ReplicaSet::default()
        }],
        ..System::default()
    }
}

/// What a replica's sandbox records in `epochs` epochs: every 20 ms the attitude
/// program runs for 1 ms; every 50 ms the controller runs for 4 ms, the first of them
/// before attitude where both are released together.
pub fn replica(epochs: u32) -> Events {
    let mut events = vec![(
        -900,
        Event::Exit {
            reason: 0,
            count: 40,
        },
    )];
    let us = |micros: i64| Instant::from_nanos(micros as u64 * 1_000);
    for job in 0..epochs * 5 / 2 {
        let start = i64::from(job) * 20_000;
        events.extend([
            (start, Event::Release { thread: 1, job }),
            (start, Event::Switch { thread: Some(1) }),
            (start + 1_000, Event::Complete { thread: 1, job }),
            (start + 1_000, Event::Block { thread: 1 }),
            (
                start + 1_000,
                Event::ReplenishPosted {
                    server: 1,
                    amount: Duration::from_millis(1),
                    at: us(start + 20_000),
                },
            ),
        ]);
        if start % 50_000 != 0 {
            events.push((start + 1_000, Event::Switch { thread: None }));
        }
    }
    for epoch in 0..epochs {
        let release = i64::from(epoch) * PERIOD as i64;
        // At 0, 100 ms, … attitude goes first.
        let start = release + if epoch % 2 == 0 { 1_000 } else { 0 };
        events.extend([
            (
                release,
                Event::Release {
                    thread: 0,
                    job: epoch,
                },
            ),
            (start, Event::Switch { thread: Some(0) }),
            (
                start + 3_000,
                Event::Hash {
                    set: 0,
                    page: PageNumber(7),
                },
            ),
            (start + 3_500, Event::Ballot { set: 0, epoch }),
            (
                start + 4_000,
                Event::Complete {
                    thread: 0,
                    job: epoch,
                },
            ),
            (start + 4_000, Event::Block { thread: 0 }),
            (
                start + 4_000,
                Event::ReplenishPosted {
                    server: 0,
                    amount: Duration::from_millis(4),
                    at: us(start + PERIOD as i64),
                },
            ),
            (start + 4_000, Event::Switch { thread: None }),
        ]);
    }
    events
}

/// What the arbitrator's sandbox records: every epoch a unanimous vote, except as given.
pub fn arbitrator(epochs: u32, others: &[(u32, VoteOutcome, VoteParties)]) -> Events {
    let mut events = vec![(
        -900,
        Event::Exit {
            reason: 0,
            count: 30,
        },
    )];
    for epoch in 0..epochs {
        let release = i64::from(epoch) * PERIOD as i64 + 20_000;
        let (outcome, parties) = others
            .iter()
            .find(|other| other.0 == epoch)
            .map_or((VoteOutcome::Unanimous, VoteParties::UNANIMOUS), |other| {
                (other.1, other.2)
            });
        events.extend([
            (
                release,
                Event::Release {
                    thread: 0,
                    job: epoch,
                },
            ),
            (release, Event::Switch { thread: Some(0) }),
            (
                release + 100,
                Event::Input {
                    set: 0,
                    epoch,
                    fresh: epoch != 2,
                },
            ),
            (
                release + 500,
                Event::Vote {
                    set: 0,
                    epoch,
                    outcome,
                    parties,
                },
            ),
            (
                release + 1_000,
                Event::Complete {
                    thread: 0,
                    job: epoch,
                },
            ),
            (release + 1_000, Event::Block { thread: 0 }),
            (
                release + 1_000,
                Event::ReplenishPosted {
                    server: 0,
                    amount: Duration::from_millis(1),
                    at: Instant::from_nanos((release as u64 + PERIOD) * 1_000),
                },
            ),
            (release + 1_000, Event::Switch { thread: None }),
        ]);
    }
    events
}

/// A repair of three pages in two rounds, from 30 ms after the release of `epoch` on.
pub fn repair(epoch: u32) -> Events {
    let start = i64::from(epoch) * PERIOD as i64 + 30_000;
    let page = |number| Event::RepairPage {
        set: 0,
        page: PageNumber(number),
    };
    let end = |copied, result| Event::RepairEnd {
        set: 0,
        copied,
        result,
    };
    vec![
        (
            start,
            Event::RepairStart {
                set: 0,
                differing: 3,
            },
        ),
        (start + 300, page(4)),
        (start + 600, page(9)),
        (start + 700, end(2, RepairResult::MoreRounds)),
        (
            start + 50_000,
            Event::RepairStart {
                set: 0,
                differing: 1,
            },
        ),
        (start + 50_300, page(70)),
        (start + 50_400, end(1, RepairResult::Done)),
        (
            start + 70_000,
            Event::Rejoin {
                set: 0,
                epoch: epoch + 2,
            },
        ),
    ]
}

/// The ring of a core with these events, as it would be copied out of the machine.
pub fn ring(mut events: Events, mode: Mode, capacity: usize) -> Vec<u64> {
    events.sort_by_key(|&(micros, _)| micros);
    let memory: Vec<_> = (0..HEADER_WORDS + 2 * capacity)
        .map(|_| AtomicU64::new(0))
        .collect();
    let mut ring = Ring::format(&memory, mode).unwrap();
    for (micros, event) in events {
        ring.push_event(at(micros), event);
    }
    memory.into_iter().map(AtomicU64::into_inner).collect()
}

/// A trace of these cores.
pub fn trace_of(cores: Vec<Core>) -> Trace {
    trace_of_system(&system(), cores)
}

/// A trace of these cores of another system.
pub fn trace_of_system(system: &System, cores: Vec<Core>) -> Trace {
    Trace {
        tsc: TscFrequency::from_hertz(1_000_000_000).unwrap(),
        epoch_tsc: EPOCH,
        build: "test".to_string(),
        system: postcard::to_allocvec(system).unwrap(),
        exit_reasons: ["hypercall", "apic-hypercall", "cpuid", "msr"]
            .map(String::from)
            .to_vec(),
        cores,
        notes: Vec::new(),
    }
}

/// A core whose ring was large enough.
pub fn core(name: &str, events: Events, exits: &[u64]) -> Core {
    Core::from_words(name, &ring(events, Mode::Stream, 1 << 14), exits)
}

/// Ten epochs in which nothing goes wrong.
pub fn healthy() -> Trace {
    trace_of(vec![
        core("alpha", replica(10), &[40]),
        core("beta", replica(10), &[40]),
        core("gamma", replica(10), &[40]),
        core("arbitrator", arbitrator(10, &[]), &[30]),
    ])
}

/// Ten epochs; beta is outvoted in epochs 3 and 4 and repaired in two rounds.
pub fn repaired() -> Trace {
    let parties = VoteParties {
        faulty: 0b010,
        donor: 0,
        witness: 2,
    };
    let others = [
        (3, VoteOutcome::Minority, parties),
        (4, VoteOutcome::Minority, parties),
    ];
    let mut beta = replica(10);
    beta.extend(repair(3));
    trace_of(vec![
        core("alpha", replica(10), &[40]),
        core("beta", beta, &[40]),
        core("gamma", replica(10), &[40]),
        core("arbitrator", arbitrator(10, &others), &[30]),
    ])
}
