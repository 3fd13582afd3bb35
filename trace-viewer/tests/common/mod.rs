//! Hand-made traces: a small system whose every number can be checked by hand, and that a
//! machine can have written; and simulated ones of small descriptions.
//!
//! The timestamp counter runs at 1 GHz and its value at the epoch is [`EPOCH`], so
//! microsecond `t` is counter value `EPOCH + 1000 t`.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::atomic::AtomicU64;

use tern_config::{
    Channel, Description, ReplicaSet, Runs, Sandbox, Server, System, Thread, ThreadRef, Voting,
};
use tern_sched::analysis::CostTable;
use tern_trace::{
    Core, Event, HEADER_WORDS, Mode, Origin, Platform, Promises, RepairResult, Ring, SleepEnd,
    Trace, VoteOutcome, VoteParties,
};
use tern_units::{Duration, Instant, PageNumber, TscFrequency};
use trace_viewer::read::SoundTrace;

pub const EPOCH: u64 = 5_000_000_000;

/// The set's period, 50 ms, in microseconds.
pub const PERIOD: u64 = 50_000;

/// When ballots and verdicts are due in an epoch of a set with a voter in each sandbox: 25 and 28
/// ms after its release, in microseconds.
pub const BALLOTS: u64 = 25_000;
pub const VERDICTS: u64 = 28_000;

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

fn program() -> Runs {
    Runs::Program {
        file: "load".to_string(),
        argument: 0,
        heap_pages: 1,
        stack_pages: 1,
        simulates: None,
    }
}

/// Three replicas beside a periodic program, and an arbitrator.
pub fn system() -> System {
    let replica = |name: &str, core| Sandbox {
        name: name.to_string(),
        core,
        memory_bytes: 16 << 20,
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
                vec![thread("attitude", 1_000, 20_000, 0, program())],
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
            voters: vec![place(3)],
            period: PERIOD * 1_000,
            voter_channels: vec![3],
            replica_channels: vec![0, 1, 2],
            ..ReplicaSet::default()
        }],
        ..System::default()
    }
}

/// The same without an arbitrator: a voter beside each replica, in a server of its own.
pub fn distributed_system() -> System {
    let mut system = system();
    system.sandboxes.truncate(3);
    let voters: Vec<_> = (0..)
        .zip(&mut system.sandboxes)
        .map(|(sandbox, it)| {
            let voter = thread("voter", 1_000, PERIOD, BALLOTS, Runs::Voter(0));
            it.servers
                .push(server("vote", 5_000, PERIOD, 2, vec![voter]));
            let (server, thread) = (2, 0);
            ThreadRef {
                sandbox,
                server,
                thread,
            }
        })
        .collect();
    system.channels = vec![Channel::default(); 9];
    let set = &mut system.replica_sets[0];
    set.voting = Voting::Distributed;
    set.ballot_deadline = BALLOTS * 1_000;
    set.verdict_deadline = VERDICTS * 1_000;
    set.voters = voters;
    set.voter_channels = vec![0, 1, 2];
    set.replica_channels = vec![3, 4, 5];
    set.ballot_channels = vec![6, 7, 8];
    system
}

/// A core's records, written in the order in which its kernel does.
#[derive(Default)]
pub struct Script(pub Events);

impl Script {
    /// Boot: programs are loaded, exits read, and time begins.
    pub fn boot(programs: &[u16], exits: u32) -> Self {
        let mut script = Self::default();
        for &thread in programs {
            let root_frame = 0x100 + u32::from(thread);
            script.add(-950, Event::Process { thread, root_frame });
        }
        if exits > 0 {
            let (reason, count) = (0, exits);
            script.add(-900, Event::Exit { reason, count });
        }
        script.add(
            0,
            Event::ClockSync {
                now: Instant::EPOCH,
            },
        );
        script
    }

    pub fn add(&mut self, at: i64, event: Event) {
        self.0.push((at, event));
    }

    pub fn release(&mut self, at: i64, thread: u16, job: u32) {
        self.add(at, Event::Release { thread, job });
    }

    pub fn switch(&mut self, at: i64, thread: Option<u16>) {
        self.add(at, Event::Switch { thread });
    }

    /// The running thread sleeps until then.
    pub fn sleep(&mut self, at: i64, thread: u16, until: i64) {
        let until = Some(SleepEnd::of(instant(until)));
        self.add(at, Event::Block { thread, until });
    }

    /// A job is done, and the thread sleeps until its next release.
    pub fn end(&mut self, at: i64, thread: u16, job: u32, until: i64) {
        self.add(at, Event::Complete { thread, job });
        self.sleep(at, thread, until);
    }

    /// A job is done, the thread's last.
    pub fn stop(&mut self, at: i64, thread: u16, job: u32) {
        self.add(at, Event::Complete { thread, job });
        let until = None;
        self.add(at, Event::Block { thread, until });
    }

    pub fn posted(&mut self, at: i64, server: u16, amount: i64, returns: i64) {
        let amount = Duration::from_micros(amount.unsigned_abs());
        let returns = instant(returns);
        self.add(
            at,
            Event::ReplenishPosted {
                server,
                amount,
                at: returns,
            },
        );
    }
}

pub fn instant(micros: i64) -> Instant {
    Instant::from_nanos(micros.unsigned_abs() * 1_000)
}

/// What a replica's sandbox records in `epochs` epochs, an even number: every 20 ms the
/// attitude program runs for 1 ms; every 50 ms the controller runs for 4 ms, after attitude
/// where both are released together.
pub fn replica(epochs: u32) -> Events {
    Replica::default().records(epochs)
}

/// What may be different in a replica's sandbox.
pub struct Replica {
    /// How long attitude's jobs are: at most 2 ms.
    pub length: fn(u32) -> i64,
    /// Whether three pages are taken from epoch 3 on in two rounds, 32 ms after the releases.
    pub is_repaired: bool,
    /// How many jobs the controller does before it stops.
    pub jobs: u32,
}

impl Default for Replica {
    fn default() -> Self {
        Self {
            length: |_| 1_000,
            is_repaired: false,
            jobs: u32::MAX,
        }
    }
}

impl Replica {
    pub fn records(&self, epochs: u32) -> Events {
        let mut script = Script::boot(&[0, 1], 40);
        for pair in 0..epochs / 2 {
            let (base, epoch) = (i64::from(pair) * 100_000, pair * 2);
            let attitude = |script: &mut Script, place: u32, leaves: Option<u16>| {
                let (job, start) = (pair * 5 + place, base + i64::from(place) * 20_000);
                let end = start + (self.length)(job);
                script.release(start, 1, job);
                script.switch(start, Some(1));
                script.end(end, 1, job, start + 20_000);
                script.posted(end, 1, end - start, start + 20_000);
                if let Some(thread) = leaves {
                    script.release(end, thread, epoch);
                }
                script.switch(end, leaves);
                end
            };
            let start = attitude(&mut script, 0, (epoch < self.jobs).then_some(0));
            self.controller(&mut script, epoch, start);
            attitude(&mut script, 1, None);
            self.repair(&mut script, epoch);
            attitude(&mut script, 2, None);
            if epoch + 1 < self.jobs {
                script.release(base + 50_000, 0, epoch + 1);
                script.switch(base + 50_000, Some(0));
            }
            self.controller(&mut script, epoch + 1, base + 50_000);
            attitude(&mut script, 3, None);
            attitude(&mut script, 4, None);
            self.repair(&mut script, epoch + 1);
        }
        script.0
    }

    /// The controller's job, released at the beginning of its epoch and on the core from `start` on.
    fn controller(&self, script: &mut Script, epoch: u32, start: i64) {
        if epoch >= self.jobs {
            return;
        }
        let (set, release) = (0, i64::from(epoch) * PERIOD as i64);
        if self.is_repaired && epoch == 5 {
            script.add(start, Event::Rejoin { set, epoch });
        }
        let page = PageNumber(7);
        script.add(start + 3_000, Event::Hash { set, page });
        script.add(start + 3_500, Event::Ballot { set, epoch });
        let next = match self.is_repaired && round(epoch).is_some() {
            true => release + 32_000,
            false => release + PERIOD as i64,
        };
        match epoch + 1 < self.jobs {
            true => script.end(start + 4_000, 0, epoch, next),
            false => script.stop(start + 4_000, 0, epoch),
        }
        script.posted(start + 4_000, 0, 4_000, release + PERIOD as i64);
        script.switch(start + 4_000, None);
    }

    /// What the controller's thread does after the verdict of an epoch.
    fn repair(&self, script: &mut Script, epoch: u32) {
        let Some((pages, differing, result)) = round(epoch).filter(|_| self.is_repaired) else {
            return;
        };
        let (set, start) = (0, i64::from(epoch) * PERIOD as i64 + 32_000);
        script.switch(start, Some(0));
        script.add(start, Event::RepairStart { set, differing });
        let mut at = start;
        for &page in pages {
            at += 300;
            let page = PageNumber(page);
            script.add(at, Event::RepairPage { set, page });
        }
        let copied = pages.len() as u32;
        at += 100;
        script.add(
            at,
            Event::RepairEnd {
                set,
                copied,
                result,
            },
        );
        script.sleep(at, 0, start + 18_000);
        script.posted(at, 0, at - start, start + PERIOD as i64);
        script.switch(at, None);
    }
}

/// Whether there is a round of repair after an epoch's vote, and what it does.
fn round(epoch: u32) -> Option<(&'static [u32], u32, RepairResult)> {
    match epoch {
        3 => Some((&[4, 9], 3, RepairResult::MoreRounds)),
        4 => Some((&[70], 1, RepairResult::Done)),
        _ => None,
    }
}

/// What the arbitrator's sandbox records: every epoch a unanimous vote, except as given, and a
/// fresh input but for epoch 2.
pub fn arbitrator(epochs: u32, others: &[(u32, VoteOutcome, VoteParties)]) -> Events {
    let mut script = Script::boot(&[], 30);
    for epoch in 0..epochs {
        let release = i64::from(epoch) * PERIOD as i64 + 20_000;
        let other = others.iter().find(|other| other.0 == epoch);
        let (outcome, parties) = other
            .map_or((VoteOutcome::Unanimous, VoteParties::UNANIMOUS), |other| {
                (other.1, other.2)
            });
        let (set, next) = (0, epoch + 1);
        script.release(release, 0, epoch);
        script.switch(release, Some(0));
        let fresh = next != 2;
        script.add(
            release + 100,
            Event::Input {
                set,
                epoch: next,
                fresh,
            },
        );
        script.add(
            release + 500,
            Event::Vote {
                set,
                epoch,
                outcome,
                parties,
            },
        );
        script.end(release + 1_000, 0, epoch, release + PERIOD as i64);
        script.posted(release + 1_000, 0, 1_000, release + PERIOD as i64);
        script.switch(release + 1_000, None);
    }
    script.0
}

/// What one of several voters records beside its replica.
#[derive(Clone, Copy)]
pub struct Voter {
    /// In which epochs it has the device.
    pub has_device: fn(u32) -> bool,
    /// Whether it says its own verdict in time.
    pub seals: fn(u32) -> bool,
    /// What it reads once the verdicts are due.
    pub reads: fn(u32) -> Option<(VoteOutcome, VoteParties)>,
    /// How long after that it does.
    pub delay: fn(u32) -> i64,
}

impl Default for Voter {
    fn default() -> Self {
        Self {
            has_device: |_| false,
            seals: |_| true,
            reads: |_| Some((VoteOutcome::Unanimous, VoteParties::UNANIMOUS)),
            delay: |_| 0,
        }
    }
}

impl Voter {
    /// The thread's number in its sandbox.
    pub const THREAD: u16 = 2;

    /// What the sandbox records in `epochs` epochs in which its replica does as it should.
    pub fn records(self, epochs: u32) -> Events {
        self.beside(replica(epochs), epochs)
    }

    /// What the sandbox records whose replica records that.
    pub fn beside(self, replica: Events, epochs: u32) -> Events {
        let (set, thread, server) = (0, Self::THREAD, 2);
        let period = PERIOD as i64;
        let mut script = Script(replica);
        for epoch in 0..epochs {
            let release = i64::from(epoch) * period + BALLOTS as i64;
            script.release(release, thread, epoch);
            script.switch(release, Some(thread));
            if (self.has_device)(epoch) {
                let (epoch, fresh) = (epoch + 1, true);
                script.add(release + 100, Event::Input { set, epoch, fresh });
            }
            let (sealed, job) = (release + 600, epoch);
            match (self.seals)(epoch) {
                true => script.add(sealed, Event::Complete { thread, job }),
                false => script.add(sealed, Event::Miss { thread, job }),
            }
            let due = i64::from(epoch) * period + VERDICTS as i64;
            script.sleep(sealed, thread, due);
            script.posted(sealed, server, 600, release + period);
            script.switch(sealed, None);

            let start = due + (self.delay)(epoch);
            script.switch(start, Some(thread));
            if let Some((outcome, parties)) = (self.reads)(epoch) {
                script.add(
                    start + 100,
                    Event::Vote {
                        set,
                        epoch,
                        outcome,
                        parties,
                    },
                );
            }
            script.sleep(start + 200, thread, release + period);
            script.posted(start + 200, server, 200, start + period);
            script.switch(start + 200, None);
        }
        script.0
    }
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
    // The bounds are round numbers; a timer may be late by 5 us, a tick and a nanosecond.
    let costs = [("longest_non_preemptible", 3), ("timer_interrupt", 2)];
    let promises = Promises {
        platform: Some(Platform {
            name: "hand-made".to_string(),
            costs: costs
                .map(|(name, micros)| (name.to_string(), Duration::from_micros(micros)))
                .into(),
        }),
        ..tern_check::promises(system, "none", &CostTable::NONE)
    };
    Trace {
        origin: Origin::Machine,
        promises: Some(promises),
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
    let beta = Replica {
        is_repaired: true,
        ..Replica::default()
    };
    trace_of(vec![
        core("alpha", replica(10), &[40]),
        core("beta", beta.records(10), &[40]),
        core("gamma", replica(10), &[40]),
        core("arbitrator", arbitrator(10, &others), &[30]),
    ])
}

/// Ten epochs of these three sandboxes of a set with a voter in each.
pub fn distributed(sandboxes: [Events; 3]) -> Trace {
    let cores = ["alpha", "beta", "gamma"].into_iter().zip(sandboxes);
    let cores = cores.map(|(name, events)| core(name, events, &[40]));
    trace_of_system(&distributed_system(), cores.collect())
}

/// Three voters whose device moves from the first to the second in epoch 5, so that that one
/// freezes the inputs from the one of epoch 7 on.
pub fn voters() -> [Voter; 3] {
    let mut voters = [Voter::default(); 3];
    voters[0].has_device = |epoch| epoch < 6;
    voters[1].has_device = |epoch| epoch >= 6;
    voters
}

/// The healthy run with another first sandbox.
pub fn with_alpha(alpha: Core) -> Trace {
    let mut trace = healthy();
    trace.cores[0] = alpha;
    trace
}

/// A trace, held against the rules of what a machine can write.
///
/// # Panics
/// If it is not such a one.
pub fn sound(trace: &Trace) -> SoundTrace<'_> {
    SoundTrace::of(trace).unwrap_or_else(|contradiction| panic!("{contradiction}"))
}

/// The trace of a description that is simulated for so many milliseconds.
pub fn simulated(text: &str, millis: u64) -> Trace {
    let system = Description::parse("test", text)
        .expect("a description")
        .system;
    let until = Instant::from_nanos(millis * 1_000_000);
    let simulation = tern_sim::simulate_with_records(&system, until).expect("it is short");
    trace_viewer::simulate::trace(&system, simulation.records)
}
