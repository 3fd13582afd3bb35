//! Replica sets with a toy program, and the faults that meet them.
#![allow(dead_code)] // No test uses all of it.
pub mod lies;

use tern_config::{Description, System};
use tern_sim::sets::{Costs, PAGE_WORDS, Place, World};
use tern_vote::{Answer, Ballot, BallotKind, Outcome};

pub const MS: u64 = 1_000_000;
/// The set's period.
pub const PERIOD: u64 = 10 * MS;

/// A set of so many replicas with a voter and a device, and with other work on every core.
/// Epochs are 10 ms; ballots are due after 4 ms and the verdict after 5 ms. Every page is
/// hashed anew within 5 epochs.
pub fn system(replicas: usize) -> System {
    described(replicas, "")
}

/// The same with more keys of the set.
pub fn described(replicas: usize, keys: &str) -> System {
    let mut text = String::from("[system]\nname = \"set\"\n");
    text += "[[device]]\nname = \"plant\"\nport = 0x2f8\ninterrupt = 3\n";
    for core in 0..replicas {
        text += &format!(
            r#"
[[sandbox]]
name = "replica-{core}"
core = {core}
server = [
  {{ name = "other", budget = "500us", period = "2ms", thread = [
    {{ name = "other", program = "load", wcet = "400us", period = "2ms" }} ] }},
  {{ name = "control", budget = "4ms", period = "10ms", thread = [
    {{ name = "replica", replica = "toy", wcet = "1500us" }} ] }} ]
"#
        );
    }
    text += &format!(
        r#"
[[sandbox]]
name = "arbitrator"
core = {replicas}
devices = ["plant"]
server = [
  {{ name = "plant", kind = "io", budget = "500us", period = "2ms", thread = [
    {{ name = "plant-io", driver = "plant" }} ] }},
  {{ name = "voter", budget = "2ms", period = "10ms", thread = [
    {{ name = "voter", voter = "toy", wcet = "1ms" }} ] }} ]

[[replica_set]]
name = "toy"
program = "toy"
device = "plant"
period = "10ms"
ballot_deadline = "4ms"
verdict_deadline = "5ms"
scrub_period = "50ms"
{keys}
"#
    );
    let read = Description::parse("set.toml", &text);
    let mut system = read.unwrap_or_else(|problems| panic!("{problems}")).system;
    system.replica_sets[0].tags = true;
    system
}

/// So many replicas, each with a voter beside it and a driver of the device, and with other work
/// on every core; otherwise as [`system`].
pub fn distributed(replicas: usize) -> System {
    let mut text = String::from("[system]\nname = \"set\"\n");
    text += "[[device]]\nname = \"plant\"\nport = 0x2f8\ninterrupt = 3\n";
    for core in 0..replicas {
        text += &format!(
            r#"
[[sandbox]]
name = "replica-{core}"
core = {core}
devices = ["plant"]
server = [
  {{ name = "other", budget = "500us", period = "2ms", priority = 1, thread = [
    {{ name = "other", program = "load", wcet = "400us", period = "2ms" }} ] }},
  {{ name = "plant", kind = "io", budget = "100us", period = "2ms", priority = 2, thread = [
    {{ name = "plant-io", driver = "plant" }} ] }},
  {{ name = "voter", budget = "1ms", period = "10ms", priority = 3, thread = [
    {{ name = "voter", voter = "toy", wcet = "500us" }} ] }},
  {{ name = "control", budget = "4ms", period = "10ms", priority = 4, thread = [
    {{ name = "replica", replica = "toy", wcet = "1500us" }} ] }} ]
"#
        );
    }
    text += r#"
[[replica_set]]
name = "toy"
program = "toy"
device = "plant"
voting = "distributed"
period = "10ms"
ballot_deadline = "4ms"
verdict_deadline = "5ms"
scrub_period = "50ms"
"#;
    let read = Description::parse("set.toml", &text);
    read.unwrap_or_else(|problems| panic!("{problems}")).system
}

/// Two replicas in lock-step, of which the first has the device in its sandbox; otherwise as
/// [`distributed`].
pub fn lockstep() -> System {
    let mut text = String::from("[system]\nname = \"set\"\n");
    text += "[[device]]\nname = \"plant\"\nport = 0x2f8\ninterrupt = 3\n";
    for core in 0..2 {
        let (devices, driver) = match core {
            0 => (
                "devices = [\"plant\"]",
                r#"  { name = "plant", kind = "io", budget = "100us", period = "2ms", priority = 2, thread = [
    { name = "plant-io", driver = "plant" } ] },"#,
            ),
            _ => ("", ""),
        };
        text += &format!(
            r#"
[[sandbox]]
name = "replica-{core}"
core = {core}
{devices}
server = [
  {{ name = "other", budget = "500us", period = "2ms", priority = 1, thread = [
    {{ name = "other", program = "load", wcet = "400us", period = "2ms" }} ] }},
{driver}
  {{ name = "voter", budget = "1ms", period = "10ms", priority = 3, thread = [
    {{ name = "voter", voter = "toy", wcet = "500us" }} ] }},
  {{ name = "control", budget = "4ms", period = "10ms", priority = 4, thread = [
    {{ name = "replica", replica = "toy", wcet = "1500us" }} ] }} ]
"#
        );
    }
    text += r#"
[[replica_set]]
name = "toy"
program = "toy"
device = "plant"
voting = "lockstep"
period = "10ms"
ballot_deadline = "4ms"
verdict_deadline = "5ms"
scrub_period = "50ms"
"#;
    let read = Description::parse("set.toml", &text);
    read.unwrap_or_else(|problems| panic!("{problems}")).system
}

/// The epoch in which a sandbox fails that is tried at each of its steps and fields.
pub const EPOCH: u64 = 6;

/// What a field may be made: nothing, the least, a sound sandbox's in epochs about [`EPOCH`], anything, the
/// most.
pub const VALUES: [u64; 8] = [
    0,
    1,
    EPOCH - 1,
    EPOCH + 1,
    EPOCH + 2,
    0x0123_4567_89ab_cdef,
    u64::MAX - 1,
    u64::MAX,
];

/// A field of a ballot, and how it gets another value.
pub type BallotField = (&'static str, fn(&mut Ballot, u64));

/// Every field of a ballot.
pub const BALLOT_FIELDS: [BallotField; 14] = [
    ("replica", |it, value| it.replica = value as u8),
    ("epoch", |it, value| it.epoch = value),
    ("kind", |it, _| {
        it.kind = match it.kind {
            BallotKind::Ran => BallotKind::Held,
            BallotKind::Held => BallotKind::Ran,
        }
    }),
    ("answer", |it, value| {
        it.answer = match value % 3 {
            0 => Answer::None,
            1 => Answer::NotTaken,
            _ => Answer::Taken,
        }
    }),
    ("no origin", |it, _| it.origin = None),
    ("origin.after", |it, value| {
        it.origin.iter_mut().for_each(|origin| origin.after = value);
    }),
    ("origin.digest", |it, value| {
        it.origin
            .iter_mut()
            .for_each(|origin| origin.digest = value);
    }),
    ("jobs_until", |it, value| it.jobs_until = value),
    ("pages", |it, value| it.pages = value as u32),
    ("summary", |it, value| it.summary.0 = value),
    ("input", |it, value| it.input.0 = value),
    ("count", |it, value| it.count = value as u8),
    ("output", |it, value| it.output[0] = value),
    ("words", |it, value| it.words[0] = value as u32),
];

/// A seeded generator (SplitMix64), so that every failure can be replayed.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low)
    }
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A bit of a replica's memory flips.
    Memory { replica: usize, page: u32, bit: u32 },
    /// A bit of a channel flips.
    Channel { of: Place, word: usize, bit: u32 },
    /// A core executes nothing for so many nanoseconds.
    Held { of: Place, time: u64 },
    /// A replica's job does not end.
    Endless { replica: usize },
    /// The ballot that stood in the channel of `from` when so many epochs were over turns up in
    /// that of `replica`.
    Forged {
        replica: usize,
        from: usize,
        of: u64,
    },
    /// A replica's sandbox starts anew.
    Restart { replica: usize, erases: bool },
    /// The arbitrator starts anew.
    RestartVoter { erases: bool },
}

/// A set, and the faults that it has still to meet, each with when.
pub struct Case {
    pub world: World,
    faults: Vec<(u64, Fault)>,
    /// For each epoch, each replica's ballot at its end.
    ballots: Vec<Vec<Vec<u64>>>,
}

impl Case {
    pub fn new(system: &System, pages: u32, seed: u64) -> Self {
        Self {
            world: World::new(system, 0, pages, Costs::default(), seed),
            faults: Vec::new(),
            ballots: Vec::new(),
        }
    }

    /// A set that is at work already.
    pub const fn of(world: World) -> Self {
        Self {
            world,
            faults: Vec::new(),
            ballots: Vec::new(),
        }
    }

    /// A fault `at` nanoseconds after the begin.
    pub fn schedule(&mut self, at: u64, fault: Fault) {
        self.faults.push((at, fault));
    }

    /// Runs until the begin of `epoch`. Faults strike before the first poll that is due then.
    pub fn run_until(&mut self, epoch: u64) {
        while self.world.now() < epoch * PERIOD {
            self.world.run_to_poll();
            while (self.ballots.len() as u64) < self.world.epoch() {
                let replicas = 0..self.world.description().replicas.len();
                let ballots = replicas.map(|replica| self.world.ballot_words(replica));
                self.ballots.push(ballots.collect());
            }
            self.strike();
            self.world.poll();
        }
    }

    fn strike(&mut self) {
        let now = self.world.now();
        let (due, later) = std::mem::take(&mut self.faults)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.faults = later;
        let due: Vec<(u64, Fault)> = due;
        for (_, fault) in due {
            match fault {
                Fault::Memory { replica, page, bit } => self.world.flip_memory(replica, page, bit),
                Fault::Channel { of, word, bit } => self.world.flip_channel(of, word, bit),
                Fault::Held { of, time } => self.world.hold(of, time),
                Fault::Endless { replica } => self.world.make_endless(replica),
                Fault::Forged { replica, from, of } => {
                    if let Some(ballots) = self.ballots.get(of as usize) {
                        self.world.put_words(replica, &ballots[from]);
                    }
                }
                Fault::Restart { replica, erases } => self.world.restart(replica, erases),
                Fault::RestartVoter { erases } => self.world.restart_voter(0, erases),
            }
        }
    }

    /// Fails if an output or an input was wrong.
    pub fn expect_nothing_wrong(&self, what: &str) {
        let seen = self.world.seen();
        assert!(
            seen.wrong.is_empty(),
            "{what}: wrong outputs {:?}",
            seen.wrong
        );
        assert!(
            seen.wrong_inputs.is_empty(),
            "{what}: wrong inputs {:?}",
            seen.wrong_inputs
        );
    }

    /// Whether the last vote was unanimous and all memories are as a sound copy's.
    pub fn is_whole(&self) -> bool {
        let verdict = self.world.verdict();
        let unanimous = verdict.is_some_and(|it| {
            it.outcome == Outcome::Unanimous && it.epoch + 1 >= self.world.epoch()
        });
        unanimous && self.world.memories_are_sound()
    }
}

/// An instant in one of the epochs 2 to 5.
pub fn a_time(random: &mut Random) -> u64 {
    random.within(2 * PERIOD, 6 * PERIOD)
}

pub fn a_memory_flip(random: &mut Random, pages: u32) -> Fault {
    Fault::Memory {
        replica: random.below(3) as usize,
        page: random.below(u64::from(pages)) as u32,
        bit: random.below(PAGE_WORDS as u64 * 64) as u32,
    }
}

/// A flip in the channel of a replica: half of them where the ballot and the leaves are.
pub fn a_channel_flip(random: &mut Random, world: &World) -> Fault {
    let of = Place::Replica(random.below(3) as usize);
    let head = 128 + u64::from(world.pages());
    let end = match random.below(2) {
        0 => head,
        _ => world.channel_words(of) as u64,
    };
    Fault::Channel {
        of,
        word: random.below(end) as usize,
        bit: random.below(64) as u32,
    }
}

/// A flip in the voter's channel: half of them in the records, the rest also in the lists.
pub fn a_voter_channel_flip(random: &mut Random, world: &World) -> Fault {
    let records = world.records(Place::Voter(0));
    let words = match random.below(2) {
        0 => records[random.below(records.len() as u64) as usize].clone(),
        _ => 0..world.channel_words(Place::Voter(0)),
    };
    Fault::Channel {
        of: Place::Voter(0),
        word: words.start + random.below(words.len() as u64) as usize,
        bit: random.below(64) as u32,
    }
}

pub fn a_timing_fault(random: &mut Random) -> Fault {
    let replica = random.below(3) as usize;
    match random.below(2) {
        0 => Fault::Endless { replica },
        _ => Fault::Held {
            of: Place::Replica(replica),
            time: random.within(1, 4 * PERIOD),
        },
    }
}

pub fn a_forgery(random: &mut Random) -> Fault {
    Fault::Forged {
        replica: random.below(3) as usize,
        from: random.below(3) as usize,
        of: random.below(5),
    }
}
