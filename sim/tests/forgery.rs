//! A voter's sandbox, a driver or a line that forges, replays and changes at will: what the
//! device takes is what a majority computed from what the device measured, and nothing else.
//! Without tags it is whatever they like.
mod replicated;

use replicated::{Case, PERIOD, Random, described, system};
use tern_abi::system_call::MESSAGE_WORDS;
use tern_plant::frames::{Command, Sample};
use tern_plant::tag::{Challenge, PlaceTag};
use tern_sim::sets::{Place, World};
use tern_units::Instant;
use tern_vote::{Release, Tagged, output_digest};

/// Runs of one kind, each of some ten milliseconds.
const RUNS: u64 = if cfg!(debug_assertions) { 5 } else { 60 };
const EPOCHS: u64 = 60;
const PAGES: u32 = 6;

fn untagged(replicas: usize) -> tern_config::System {
    let mut system = described(replicas, "");
    system.replica_sets[0].tags = false;
    system
}

/// Who has the line: it has seen everything, and makes something of it.
struct Forger {
    random: Random,
    commands: Vec<Command>,
    samples: Vec<Sample>,
}

impl Forger {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed ^ 0xf0_49e4),
            commands: Vec::new(),
            samples: Vec::new(),
        }
    }

    /// A command of pieces of others, with anything in it, and whatever of it can be made anew
    /// by who knows what the voter's sandbox knows.
    fn command(&mut self, world: &World) -> Option<Command> {
        let random = &mut self.random;
        let mut one = || {
            let index = random.below(self.commands.len().max(1) as u64);
            self.commands.get(index as usize).copied()
        };
        let (mut command, second, third) = (one()?, one()?, one()?);
        let newest = *self.commands.last()?;
        if random.below(2) == 0 {
            (command.count, command.words) = (second.count, second.words);
        }
        if random.below(2) == 0 {
            (command.epoch, command.challenge) = (newest.epoch, newest.challenge);
        }
        if random.below(2) == 0 {
            command.tags = third.tags;
        }
        if random.below(2) == 0 {
            let word = random.below(2) as usize;
            command.words[word] = random.below(u64::MAX);
        }
        for place in 0..3 {
            if random.below(4) == 0 {
                let tag = random.below(u64::MAX);
                command.tags.put(place, PlaceTag { number: 0, tag });
            }
        }
        if random.below(8) == 0 {
            command.challenge = Challenge::from_word(random.below(u64::MAX));
        }
        let output = &command.words[..usize::from(command.count)];
        command.digest = output_digest(world.set(), command.epoch, output);
        Some(command)
    }

    /// A sample of pieces of others, with anything in it.
    fn sample(&mut self) -> Option<Sample> {
        let random = &mut self.random;
        let mut one = || {
            let index = random.below(self.samples.len().max(1) as u64);
            self.samples.get(index as usize).copied()
        };
        let (mut sample, second) = (one()?, one()?);
        let newest = *self.samples.last()?;
        if random.below(2) == 0 {
            sample.number = newest.number;
        }
        if random.below(2) == 0 {
            (sample.challenge, sample.tag) = (newest.challenge, newest.tag);
        }
        match random.below(3) {
            0 => sample.words = second.words,
            1 => sample.words[random.below(16) as usize] = random.below(u64::MAX),
            _ => {}
        }
        if random.below(4) == 0 {
            sample.bad.0 = random.below(8) as u8;
        }
        Some(sample)
    }

    /// Does what it likes with what has come to the line since the last time.
    fn act(&mut self, world: &mut World) {
        for command in world.take_commands() {
            self.commands.push(command);
            if self.random.below(2) == 0 {
                world.send_command(&command);
            }
        }
        for _ in 0..self.random.below(3) {
            if let Some(command) = self.command(world) {
                world.send_command(&command);
            }
        }
        for sample in world.take_samples() {
            self.samples.push(sample);
            if self.random.below(2) == 0 {
                world.send_sample(sample);
            }
        }
        for _ in 0..self.random.below(2) {
            if let Some(sample) = self.sample() {
                world.send_sample(sample);
            }
        }
    }
}

/// A run with a forger on the line; it begins when the set is at work.
fn run_with_forger(system: &tern_config::System, seed: u64) -> Case {
    let mut case = Case::new(system, PAGES, seed);
    let mut forger = Forger::new(seed);
    case.run_until(4);
    case.world.intercept();
    while case.world.epoch() < EPOCHS {
        case.world.run_to_poll();
        case.world.poll();
        if forger.random.below(8) == 0 {
            forger.act(&mut case.world);
        }
    }
    case
}

#[test]
fn who_has_the_line_gets_no_output_taken_that_no_majority_computed() {
    let mut accepted = 0;
    for seed in 0..RUNS {
        let case = run_with_forger(&system(3), seed);
        case.expect_nothing_wrong(&format!("seed {seed}"));
        let seen = case.world.seen();
        let mut once = seen.accepted.clone();
        once.dedup();
        assert_eq!(once, seen.accepted, "seed {seed}: taken twice");
        accepted += seen.accepted.iter().filter(|epoch| **epoch > 4).count() as u64;
    }
    assert!(accepted > RUNS, "{accepted}: it does not only lose frames");
}

/// A voter's sandbox that says something else in the place of each fourth command: the places, which
/// know nothing of it, are accused of nothing, and the outputs between are taken.
#[test]
fn who_forges_accuses_no_place_of_it() {
    for seed in 0..RUNS {
        let mut case = Case::new(&system(3), PAGES, seed);
        let mut random = Random(seed);
        case.world.intercept();
        let mut expected = Vec::new();
        while case.world.epoch() < EPOCHS {
            case.world.run_to_poll();
            case.world.poll();
            for mut command in case.world.take_commands() {
                match command.epoch % 4 == 3 {
                    true => command.words[0] ^= 1 + random.below(u64::MAX),
                    false if command.epoch >= 2 => expected.push(command.epoch),
                    false => {}
                }
                let output = &command.words[..usize::from(command.count)];
                command.digest = output_digest(case.world.set(), command.epoch, output);
                case.world.send_command(&command);
            }
        }
        let seen = case.world.seen();
        case.expect_nothing_wrong(&format!("seed {seed}"));
        assert_eq!(seen.accepted, expected, "seed {seed}");
        assert_eq!(seen.accused, [], "seed {seed}");
    }
}

#[test]
fn without_tags_who_has_the_line_gets_any_output_taken() {
    let (mut wrong, mut inputs) = (0, 0);
    for seed in 0..RUNS {
        let seen = run_with_forger(&untagged(3), seed).world.seen();
        wrong += u64::from(!seen.wrong.is_empty());
        inputs += u64::from(!seen.wrong_inputs.is_empty());
    }
    assert_eq!((wrong, inputs), (RUNS, RUNS), "of {RUNS} runs");
}

/// A voter that lies about the input: each field of what it freezes, in a later epoch anew.
fn lies(truth: &Release, random: &mut Random) -> Vec<Release> {
    let mut words = truth.payload;
    words[random.below(16) as usize] ^= 1 << random.below(64);
    vec![
        Release {
            payload: words,
            ..*truth
        },
        Release {
            payload: [random.below(u64::MAX); MESSAGE_WORDS],
            ..*truth
        },
        Release {
            sample: truth.sample + 1,
            ..*truth
        },
        Release {
            sample: truth.sample.saturating_sub(1),
            fresh: false,
            ..*truth
        },
        Release {
            fresh: !truth.fresh,
            ..*truth
        },
        Release {
            time: Instant::from_nanos(truth.time.as_nanos() + 1),
            ..*truth
        },
        Release {
            challenge: Challenge::from_word(truth.challenge.to_word() ^ 1),
            ..*truth
        },
        Release {
            tag: truth.tag ^ 1 << random.below(64),
            ..*truth
        },
        Release {
            count: truth.count - 1,
            ..*truth
        },
        Release {
            sample: 0,
            ..*truth
        },
    ]
}

fn run_with_liar(system: &tern_config::System, kind: usize, seed: u64) -> Case {
    let mut case = Case::new(system, PAGES, seed);
    case.world.lie(move |truth| match truth.epoch {
        0..=6 => *truth,
        epoch => lies(truth, &mut Random(seed ^ epoch))[kind],
    });
    case.run_until(20);
    case
}

#[test]
fn a_voter_that_lies_about_the_input_gets_no_replica_to_run_with_it() {
    let kinds = 10;
    for kind in 0..kinds {
        for seed in 0..4 {
            let case = run_with_liar(&system(3), kind, seed);
            case.expect_nothing_wrong(&format!("lie {kind}, seed {seed}"));
            let seen = case.world.seen();
            assert_eq!(seen.accepted.last(), Some(&6), "lie {kind}: {seen:?}");
            assert!(!seen.safe.is_empty(), "lie {kind}: the actuator goes safe");
            // Without tags an invented measurement is one.
            let trusting = run_with_liar(&untagged(3), kind, seed).world.seen();
            if kind < 2 {
                assert!(!trusting.wrong_inputs.is_empty(), "lie {kind}");
                assert!(trusting.accepted.len() > 15, "lie {kind}: {trusting:?}");
            }
        }
    }
}

/// Every bit of what a replica says to the actuator: its own tag is lost by that, which is
/// told, and no output.
#[test]
fn a_replica_that_lies_to_the_actuator_hurts_nobody_else() {
    let words = 8;
    for bit in 0..64 * words {
        let replica = bit % 3;
        let mut case = Case::new(&system(3), PAGES, 1);
        let tagged = case.world.tagged_words();
        assert_eq!(tagged.len(), words);
        let word = tagged.start + bit / 64;
        // After each ballot, so that its own writes do not mend it.
        while case.world.epoch() < 10 {
            let place = case.world.run_to_poll();
            if place == Place::Voter(0) && case.world.epoch() >= 4 && is_first(&case.world) {
                case.world
                    .flip_channel(Place::Replica(replica), word, bit as u32 % 64);
            }
            case.world.poll();
        }
        let seen = case.world.seen();
        let what = format!("bit {bit}: {seen:?}");
        case.expect_nothing_wrong(&what);
        assert_eq!(seen.accepted, (2..10).collect::<Vec<_>>(), "{what}");
        let others = seen
            .accused
            .iter()
            .any(|(_, faulty)| *faulty != 1 << replica);
        assert!(!others, "{what}");
    }
}

/// The same with whole records that say something else.
#[test]
fn a_replica_that_tags_anything_hurts_nobody_else() {
    for kind in 0..6 {
        for replica in 0..3_u8 {
            let mut case = Case::new(&system(3), PAGES, 1);
            let mut random = Random(kind);
            while case.world.epoch() < 10 {
                let voter_next = case.world.run_to_poll() == Place::Voter(0);
                let truth = case.world.tagged(replica).filter(|_| voter_next);
                if let Some(truth) = truth.filter(|_| is_first(&case.world)) {
                    let any = random.below(u64::MAX);
                    let tag = |number, tag| PlaceTag { number, tag };
                    let (number, own) = (truth.tag.number, truth.tag.tag);
                    let challenge = Challenge::from_word(any);
                    #[rustfmt::skip]
                    let lie = match kind {
                        0 => Tagged { challenge, ..truth },
                        1 => Tagged { challenge: Challenge::default(), ..truth },
                        2 => Tagged { tag: tag(number, any), ..truth },
                        3 => Tagged { tag: tag(number + 1, own), ..truth },
                        4 => Tagged { epoch: truth.epoch .saturating_sub(1), ..truth },
                        _ => Tagged { replica: (replica + 1) % 3, ..truth },
                    };
                    case.world.say(usize::from(replica), &lie);
                }
                case.world.poll();
            }
            let seen = case.world.seen();
            let what = format!("lie {kind} of {replica}: {seen:?}");
            case.expect_nothing_wrong(&what);
            assert_eq!(seen.accepted, (2..10).collect::<Vec<_>>(), "{what}");
            let others = seen.accused.iter().any(|(_, it)| *it != 1 << replica);
            assert!(!others, "{what}");
        }
    }
}

/// Whether the voter is about to begin with the vote of this epoch.
fn is_first(world: &World) -> bool {
    let newest = world.verdict().map(|verdict| verdict.epoch);
    newest.is_none_or(|newest| newest < world.epoch())
}

#[test]
fn a_replica_whose_tags_are_bad_counts_as_faulty_and_one_without_does_not() {
    let mut case = Case::new(&system(3), PAGES, 1);
    case.world.lose_key(1);
    case.run_until(12);
    let seen = case.world.seen();
    case.expect_nothing_wrong("a lost key");
    assert_eq!(seen.accepted, (2..12).collect::<Vec<_>>(), "{seen:?}");
    let accused: Vec<u64> = seen.accused.iter().map(|(epoch, _)| *epoch).collect();
    // The first tag that is judged is that of output 2; sample 3 says so, frozen in epoch 3.
    assert_eq!(accused, (3..12).collect::<Vec<_>>(), "{seen:?}");
    assert!(seen.accused.iter().all(|(_, faulty)| *faulty == 0b010));
    assert!(case.is_whole() && seen.repaired == 0, "{seen:?}");
}

#[test]
fn a_restarted_replicas_new_key_is_taken() {
    for seed in 0..20 {
        let mut case = Case::new(&system(3), PAGES, seed);
        let restart = replicated::Fault::Restart {
            replica: 1,
            erases: true,
        };
        case.schedule(5 * PERIOD, restart);
        case.run_until(40);
        let seen = case.world.seen();
        case.expect_nothing_wrong(&format!("seed {seed}"));
        assert!(case.is_whole(), "seed {seed}");
        assert_eq!(seen.accepted, (2..40).collect::<Vec<_>>(), "seed {seed}");
        let tags = case.world.last_command().tags;
        let numbers = [0, 1, 2].map(|place| tags.get(place).map(|tag| tag.number));
        assert_eq!(numbers, [Some(0), Some(1), Some(0)], "seed {seed}");
    }
}
