//! Every bit of every word that outlives a step, flipped before every step of an epoch: in the
//! tasks of the voter and the replicas, and in the channels, with a repair under way and
//! without. No wrong output, no set that stops, nobody accused for longer than an epoch, and all
//! whole again. Nor does any flip make a task panic: arithmetic is checked here as in the kernel.
//!
//! The words come from the tasks themselves ([`tern_units::StateWords`]) and from the channels.
//! Between two looks at a word a flip is the same at every step: a task's words flip before its
//! own steps, a channel's before steps that read channels, and words of a channel that nobody
//! reads in the epoch, such as empty slots, before its first step only.
//!
//! `cargo test` takes some of the bits, spread over all words and steps. All of them take
//! `cargo nextest run --release -p tern-sim --test flips --run-ignored only`, in shards with
//! `SHARD=K/N`. A failure names the flip, which alone repeats it: nothing is random.
mod replicated;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use replicated::{Random, distributed, system};
use tern_config::System;
use tern_sim::sets::{Costs, Place, World};
use tern_vote::Outcome;

/// Pages of the program: more than a commit hashes in a step.
const PAGES: u32 = 20;
/// The epoch in which bits flip: everybody has run for a while, and scrubs have come round.
const EPOCH: u64 = 8;
/// Epochs after that in which all must be whole again: the scrub comes round once.
const EPOCHS: u64 = 9;

/// What happens in the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// All agree.
    Steady,
    /// Replica 1 differs in these pages, and they are repaired.
    Repair(&'static [u32]),
}

const REPAIR: Scene = Scene::Repair(&[3, 7, 12]);
const DAMAGED: usize = 1;

impl Scene {
    fn prepare(self, world: &mut World) {
        match self {
            Self::Steady => {}
            Self::Repair(pages) => pages.iter().for_each(|page| world.damage(DAMAGED, *page)),
        }
    }

    /// The words of a channel that somebody reads in the epoch.
    fn is_read(self, world: &World, of: Place, word: usize) -> bool {
        let read = |ranges: Vec<std::ops::Range<usize>>| {
            let mut ranges = ranges.into_iter();
            ranges.any(|range| range.contains(&word))
        };
        match self {
            Self::Steady => read(world.records(of)),
            Self::Repair(pages) => {
                read(world.records(of)) || read(world.repair_words(of, pages.len() as u32))
            }
        }
    }

    /// Whether what came of a flip is what may come of it: the replica that is damaged may be
    /// accused, and once more if the flip keeps it from its repair.
    fn accuses_too_much(self, accused: &[(u64, u32)]) -> bool {
        let epochs = |mask: u32| {
            let others = accused.iter().filter(|(_, faulty)| faulty & mask != 0);
            others.count()
        };
        match self {
            Self::Steady => epochs(u32::MAX) > 1,
            Self::Repair(_) => {
                let damaged = 1 << DAMAGED;
                epochs(!damaged) > 1 || epochs(damaged) > 3
            }
        }
    }
}

/// Words of a channel or of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Memory {
    Task(Place),
    Channel(Place),
}

/// A bit that flips before a step.
#[derive(Clone, Copy, Debug)]
struct Flip {
    memory: Memory,
    word: usize,
    bit: u32,
}

/// What a flip came to.
#[derive(Clone, Debug, Default)]
struct Cost {
    /// Epochs in which somebody was accused.
    accused: Vec<u64>,
    /// Epochs without an output.
    withheld: u64,
    /// What went wrong, if anything did.
    wrong: Option<String>,
}

/// What many flips came to.
#[derive(Default)]
struct Tally {
    flips: u64,
    /// Flips by epochs in which somebody was accused, and by outputs withheld.
    costs: BTreeMap<(usize, u64), u64>,
    /// The first failures.
    failures: Vec<String>,
    failed: u64,
}

impl Tally {
    fn add(&mut self, what: impl Fn() -> String, cost: &Cost) {
        self.flips += 1;
        let key = (cost.accused.len(), cost.withheld);
        *self.costs.entry(key).or_default() += 1;
        if let Some(wrong) = &cost.wrong {
            self.failed += 1;
            if self.failures.len() < 20 {
                self.failures.push(format!("{}: {wrong}", what()));
            }
        }
    }

    fn finish(self, name: &str, took: Duration) {
        println!(
            "{name}: {} flips in {:.1} s",
            self.flips,
            took.as_secs_f64()
        );
        for ((accused, withheld), count) in &self.costs {
            println!(
                "  {count} with {accused} epochs in which somebody was accused and {withheld} \
                 outputs withheld"
            );
        }
        assert!(
            self.failures.is_empty(),
            "{} of {} flips fail, such as\n{}",
            self.failed,
            self.flips,
            self.failures.join("\n")
        );
    }
}

/// A set about to do one step of the epoch, and the words that may flip before it.
struct Step {
    world: World,
    /// Whose poll is due.
    polled: Place,
    number: usize,
}

/// The sets before each step of the epoch, and after it.
fn steps(system: &System, scene: Scene) -> (Vec<Step>, World) {
    let mut world = World::new(system, 0, PAGES, Costs::default(), 1);
    world.run_until(EPOCH);
    scene.prepare(&mut world);
    world.forget();
    let mut steps = Vec::new();
    loop {
        let polled = world.run_to_poll();
        if world.epoch() > EPOCH {
            break;
        }
        let number = steps.len();
        steps.push(Step {
            world: world.clone(),
            polled,
            number,
        });
        world.poll();
    }
    // What becomes of it without a flip.
    (steps, world)
}

fn words(world: &mut World, memory: Memory) -> usize {
    match memory {
        Memory::Task(of) => {
            let mut count = 0;
            world.visit(of, &mut |_, _| count += 1);
            count
        }
        Memory::Channel(of) => world.channel_words(of),
    }
}

/// The name of a word.
fn name(world: &mut World, flip: Flip) -> String {
    match flip.memory {
        Memory::Task(of) => {
            let (mut at, mut found) = (0, "?");
            world.visit(of, &mut |name, _| {
                if at == flip.word {
                    found = name;
                }
                at += 1;
            });
            format!("{of:?}.{found}, word {}", flip.word)
        }
        Memory::Channel(of) => format!("channel of {of:?}, word {}", flip.word),
    }
}

fn do_flip(world: &mut World, flip: Flip) {
    match flip.memory {
        Memory::Task(of) => {
            let mut at = 0;
            world.visit(of, &mut |_, word| {
                if at == flip.word {
                    *word ^= 1 << flip.bit;
                }
                at += 1;
            });
        }
        Memory::Channel(of) => world.flip_channel(of, flip.word, flip.bit),
    }
}

/// Lets a bit flip, and looks at what comes of it until the set is as it would be without, or
/// all epochs are over.
fn outcome(scene: Scene, step: &Step, flip: Flip, sound: &mut [World]) -> Cost {
    let mut world = step.world.clone();
    do_flip(&mut world, flip);
    let mut healed = 0;
    for (epoch, sound) in (EPOCH + 1..).zip(sound.iter_mut()) {
        world.run_until(epoch);
        // As without a flip, twice in a row: nothing is left of it.
        healed = if world.is_as(sound) { healed + 1 } else { 0 };
        if healed == 2 {
            break;
        }
    }
    judge(scene, &world, healed == 2)
}

fn judge(scene: Scene, world: &World, healed: bool) -> Cost {
    let seen = world.seen();
    let last = world.epoch();
    let expected = last - EPOCH;
    let mut cost = Cost {
        accused: seen.accused.iter().map(|(epoch, _)| *epoch).collect(),
        withheld: expected.saturating_sub(seen.accepted.len() as u64),
        wrong: None,
    };
    let verdict = world.verdict();
    let whole = healed
        || verdict.is_some_and(|it| it.outcome == Outcome::Unanimous && it.epoch + 1 == last)
            && world.memories_are_sound();
    cost.wrong = if !seen.wrong.is_empty() {
        Some(format!("wrong outputs {:?}", seen.wrong))
    } else if !seen.wrong_inputs.is_empty() {
        Some(format!("wrong inputs {:?}", seen.wrong_inputs))
    } else if !seen.stopped.is_empty() {
        Some("the set has stopped".into())
    } else if !whole {
        Some(format!("not whole again: {verdict:?}"))
    } else if scene.accuses_too_much(&seen.accused) {
        Some(format!("accused in {:?}", seen.accused))
    } else {
        None
    };
    cost
}

/// The sets of the following epochs without a flip.
fn sound(world: &World) -> Vec<World> {
    let mut world = world.clone();
    (EPOCH + 1..EPOCH + 1 + EPOCHS)
        .map(|epoch| {
            world.run_until(epoch);
            world.clone()
        })
        .collect()
}

/// Whether the step that is due may read a channel: not a page's hash, nor a job's end.
fn reads_channels(step: &mut Step) -> bool {
    let mut words = BTreeMap::new();
    let of = step.polled;
    step.world.visit(of, &mut |name, word| {
        words.entry(name).or_insert(*word);
    });
    // In the phase of commits, the ballot is cast once nothing is left to be hashed.
    let commits = words.get("phase") == Some(&2) && words.get("member.committing") == Some(&1);
    let runs = words.get("phase") == Some(&1);
    matches!(of, Place::Voter(_)) || !(commits || runs)
}

/// The bits of a word that may flip before a step.
fn bits(scene: Scene, step: &Step, reads: bool, memory: Memory, word: usize) -> Vec<u32> {
    let all = (0..64).collect();
    match memory {
        // Nobody else looks at a task's words.
        Memory::Task(of) if of != step.polled => Vec::new(),
        Memory::Task(_) => all,
        // The content of a page: any bit is as good as another, to the leaf and to SHA-256.
        Memory::Channel(of) if step.world.is_page_on_its_way(of, word) && reads => {
            match scene.is_read(&step.world, of, word) {
                true => vec![(word as u32 * 7 + step.number as u32) % 64],
                false => Vec::new(),
            }
        }
        Memory::Channel(of) if scene.is_read(&step.world, of, word) && reads => all,
        Memory::Channel(_) if step.number == 0 => vec![word as u32 % 64],
        Memory::Channel(_) => Vec::new(),
    }
}

/// All flips of an epoch, of which `chosen` picks.
fn all_flips(voters: Voters, scene: Scene, words_of: Words, mut chosen: impl FnMut() -> bool) {
    let start = Instant::now();
    let (mut steps, after) = steps(&voters.system(), scene);
    let memories = voters.memories(words_of);
    let mut sound = sound(&after);
    let mut tally = Tally::default();
    for step in &mut steps {
        let reads = reads_channels(step);
        for memory in &memories {
            for word in 0..words(&mut step.world, *memory) {
                for bit in bits(scene, step, reads, *memory, word) {
                    if !chosen() {
                        continue;
                    }
                    let flip = Flip {
                        memory: *memory,
                        word,
                        bit,
                    };
                    let cost = outcome(scene, step, flip, &mut sound);
                    let what = || {
                        let name = name(&mut step.world.clone(), flip);
                        let (number, polled) = (step.number, step.polled);
                        format!("step {number} ({polled:?}): bit {bit} of {name}")
                    };
                    tally.add(what, &cost);
                }
            }
        }
    }
    let name = format!("{voters:?}, {words_of:?}, {scene:?}, {} steps", steps.len());
    tally.finish(&name, start.elapsed());
}

/// Who votes in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voters {
    /// An arbitrator.
    One,
    /// A voter in each replica's sandbox.
    Each,
}

/// Whose words flip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    Tasks,
    Channels,
}

impl Voters {
    fn system(self) -> System {
        match self {
            Self::One => system(3),
            Self::Each => distributed(3),
        }
    }

    fn memories(self, words: Words) -> Vec<Memory> {
        let voters = match self {
            Self::One => 0..1,
            Self::Each => 0..3,
        };
        let ballots = match self {
            Self::One => 0..0,
            Self::Each => 0..3,
        };
        let places = voters.map(Place::Voter).chain((0..3).map(Place::Replica));
        match words {
            Words::Tasks => places.map(Memory::Task).collect(),
            Words::Channels => places
                .chain(ballots.map(Place::Ballot))
                .map(Memory::Channel)
                .collect(),
        }
    }
}

/// One flip of about `every`, spread evenly by a seed.
fn sampled(every: u64) -> impl FnMut() -> bool {
    let mut random = Random(every);
    move || random.below(every) == 0
}

/// This shard's of all flips.
fn sharded() -> impl FnMut() -> bool {
    let shard = std::env::var("SHARD").unwrap_or_else(|_| "1/1".into());
    let numbers: Vec<u64> = shard.split('/').filter_map(|it| it.parse().ok()).collect();
    let [number, shards] = numbers[..] else {
        panic!("SHARD=K/N, not {shard}")
    };
    let mut flips = 0;
    move || {
        flips += 1;
        flips % shards == number % shards
    }
}

#[test]
fn some_bits_of_the_tasks() {
    all_flips(Voters::One, Scene::Steady, Words::Tasks, sampled(60));
}

#[test]
fn some_bits_of_the_channels() {
    all_flips(Voters::One, Scene::Steady, Words::Channels, sampled(60));
}

#[test]
fn some_bits_of_the_tasks_during_a_repair() {
    all_flips(Voters::One, REPAIR, Words::Tasks, sampled(120));
}

#[test]
fn some_bits_of_the_channels_during_a_repair() {
    all_flips(Voters::One, REPAIR, Words::Channels, sampled(240));
}

#[test]
fn some_bits_where_each_sandbox_has_a_voter() {
    for words in [Words::Tasks, Words::Channels] {
        all_flips(Voters::Each, Scene::Steady, words, sampled(240));
        all_flips(Voters::Each, REPAIR, words, sampled(960));
    }
}

/// A flip that is healed leaves nothing that a second one, long after it, would complete: in
/// the same word of another place, as the first two words of a majority that nobody mends. The
/// voter starts anew in the end, so that nothing rests on what it has seen.
#[test]
fn two_flips_400_epochs_apart_are_two_single_flips() {
    const APART: u64 = 400;
    let pairs = if cfg!(debug_assertions) { 5 } else { 120 };
    let mut random = Random(7);
    for pair in 0..pairs {
        let mut world = World::new(&system(3), 0, PAGES, Costs::default(), pair);
        let replica = Place::Replica;
        let voter = Place::Voter(0);
        let (first, second) = match random.below(4) {
            0 => (Memory::Channel(replica(0)), Memory::Channel(replica(1))),
            1 => (Memory::Task(replica(0)), Memory::Task(replica(1))),
            2 => (Memory::Channel(voter), Memory::Channel(voter)),
            _ => (Memory::Task(voter), Memory::Task(voter)),
        };
        let words = words(&mut world, first) as u64;
        let live = |world: &World, word: u64| match first {
            Memory::Channel(of) => Scene::Steady.is_read(world, of, word as usize),
            Memory::Task(_) => true,
        };
        let word = loop {
            let word = random.below(words);
            if live(&world, word) {
                break word as usize;
            }
        };
        let bit = random.below(64) as u32;
        for (memory, epoch) in [(first, EPOCH), (second, EPOCH + APART)] {
            world.run_until(epoch);
            for _ in 0..random.below(34) {
                world.run_to_poll();
                world.poll();
            }
            do_flip(&mut world, Flip { memory, word, bit });
        }
        world.run_until(EPOCH + APART + 20);
        world.restart_voter(0, random.below(2) == 0);
        world.run_until(EPOCH + APART + 23);
        let what = format!("pair {pair}: bit {bit} of word {word} of {first:?}, {second:?}");
        let seen = world.seen();
        assert!(
            seen.wrong.is_empty() && seen.wrong_inputs.is_empty(),
            "{what}"
        );
        assert!(seen.stopped.is_empty(), "{what}");
        assert!(seen.accused.len() <= 2, "{what}: {:?}", seen.accused);
        let verdict = world.verdict().unwrap();
        assert_eq!(verdict.outcome, Outcome::Unanimous, "{what}: {verdict:?}");
        assert!(world.memories_are_sound(), "{what}");
    }
}

#[test]
#[ignore = "minutes"]
fn all_bits_of_the_tasks() {
    all_flips(Voters::One, Scene::Steady, Words::Tasks, sharded());
}

#[test]
#[ignore = "minutes"]
fn all_bits_of_the_channels() {
    all_flips(Voters::One, Scene::Steady, Words::Channels, sharded());
}

#[test]
#[ignore = "minutes"]
fn all_bits_of_the_tasks_during_a_repair() {
    all_flips(Voters::One, REPAIR, Words::Tasks, sharded());
}

#[test]
#[ignore = "minutes"]
fn all_bits_of_the_channels_during_a_repair() {
    all_flips(Voters::One, REPAIR, Words::Channels, sharded());
}

#[test]
#[ignore = "minutes"]
fn all_bits_where_each_sandbox_has_a_voter() {
    for words in [Words::Tasks, Words::Channels] {
        all_flips(Voters::Each, Scene::Steady, words, sharded());
        all_flips(Voters::Each, REPAIR, words, sharded());
    }
}
