//! A sandbox that has the device and sends what it likes: it keeps back few outputs, since the
//! device says what it has taken, and goes to another sandbox.
mod replicated;

use replicated::{Case, PERIOD, Random, distributed};
use tern_plant::frames::{Command, Sample};
use tern_sim::sets::World;
use tern_vote::output_digest;

const PAGES: u32 = 6;
/// The first epoch in which a sandbox sends what it likes.
const FIRST: u64 = 6;

/// Runs a set to the end of epoch `end - 1`. The commands of the sandbox that has the device come to
/// `on_line`, which hands on what is to reach the device.
fn run(case: &mut Case, end: u64, mut on_line: impl FnMut(&mut World, Vec<Command>)) {
    case.world.intercept();
    while case.world.now() < end * PERIOD {
        case.world.run_to_poll();
        case.world.poll();
        let commands = case.world.take_commands();
        on_line(&mut case.world, commands);
    }
}

/// Returns the outputs that the device has not taken.
fn lost(case: &Case, end: u64) -> Vec<u64> {
    let accepted = case.world.seen().accepted;
    (2..end).filter(|epoch| !accepted.contains(epoch)).collect()
}

/// Nothing was wrong, and nobody was accused but the first sandbox, whose sample may not be the
/// sensor's.
fn expect_no_harm(case: &Case, what: &str) {
    case.expect_nothing_wrong(what);
    let seen = case.world.seen();
    let others = seen.accused.iter().find(|(_, it)| *it != 1);
    assert_eq!(others, None, "{what}: {seen:?}");
    assert!(seen.stopped.is_empty(), "{what}: {seen:?}");
}

/// Returns a command with another output, and all of it that can be made anew by who knows what a
/// voter's sandbox knows.
fn forged(world: &World, command: &Command) -> Command {
    let mut forged = *command;
    forged.words[0] ^= 1;
    forged.count = forged.count.max(1);
    let output = &forged.words[..usize::from(forged.count)];
    forged.digest = output_digest(world.set(), forged.epoch, output);
    forged
}

/// Whichever of eight epochs it forges the command of, or keeps it back: with the first one that
/// the device does not take it loses the device, two epochs later.
#[test]
fn whichever_commands_an_owner_forges_or_keeps_back_it_loses_the_device_for_the_first() {
    let end = FIRST + 14;
    for (replicas, keeps_back) in [(3, false), (3, true), (5, false)] {
        for mask in 0..256_u64 {
            let what = format!("{replicas} replicas, {mask:#010b}, kept back: {keeps_back}");
            let is_hit = |epoch: u64| {
                (FIRST..FIRST + 8).contains(&epoch) && mask >> (epoch - FIRST) & 1 == 1
            };
            let mut case = Case::new(&distributed(replicas), PAGES, mask);
            run(&mut case, end, |world, commands| {
                for command in commands {
                    match world.device_owner() == 0 && is_hit(command.epoch) {
                        true if keeps_back => {}
                        true => world.send_command(&forged(world, &command)),
                        false => world.send_command(&command),
                    }
                }
            });
            expect_no_harm(&case, &what);
            let first = (FIRST..FIRST + 8).find(|epoch| is_hit(*epoch));
            let hit = first.into_iter().flat_map(|first| first..first + 2);
            let expected: Vec<u64> = hit.filter(|epoch| is_hit(*epoch)).collect();
            assert_eq!(lost(&case, end), expected, "{what}");
            let owner = usize::from(first.is_some());
            assert_eq!(case.world.device_owner(), owner, "{what}");
        }
    }
}

/// Who forges from the first epoch on never has an output taken, and the others have all but two.
#[test]
fn who_forges_from_the_begin_on_keeps_back_the_first_outputs_alone() {
    let end = 30;
    let mut case = Case::new(&distributed(3), PAGES, 1);
    run(&mut case, end, |world, commands| {
        for command in commands {
            match world.device_owner() == 0 {
                true => world.send_command(&forged(world, &command)),
                false => world.send_command(&command),
            }
        }
    });
    expect_no_harm(&case, "from the begin on");
    assert_eq!(lost(&case, end), [2, 3]);
}

/// A device that takes nothing of anybody goes round once, and stays; when it takes outputs again,
/// they come at once, and who then forges loses it.
#[test]
fn a_device_that_takes_nothing_goes_round_once() {
    let (dead, again, end) = (FIRST, FIRST + 20, FIRST + 40);
    let mut case = Case::new(&distributed(3), PAGES, 1);
    let mut owners = vec![0];
    run(&mut case, end, |world, commands| {
        for command in commands {
            let is_dead = (dead..again).contains(&command.epoch);
            let is_forged = world.device_owner() == 0 && command.epoch >= again + 10;
            match is_dead || is_forged {
                true => world.send_command(&forged(world, &command)),
                false => world.send_command(&command),
            }
        }
        if owners.last() != Some(&world.device_owner()) {
            owners.push(world.device_owner());
        }
    });
    expect_no_harm(&case, "a dead device");
    assert_eq!(owners, [0, 1, 2, 0, 1]);
    let expected: Vec<u64> = (dead..again).chain([again + 10, again + 11]).collect();
    assert_eq!(lost(&case, end), expected);
}

/// A sandbox that does anything with the line while it has the device, in some epochs.
struct Owner {
    random: Random,
    /// What it does, of all that there is: a bit for each.
    ways: u64,
    commands: Vec<Command>,
    samples: Vec<Sample>,
}

impl Owner {
    fn does(&mut self, way: u32) -> bool {
        self.ways >> way & 1 == 1 && self.random.below(2) == 0
    }

    fn command(&mut self, world: &mut World, command: Command) {
        if self.does(0) {
            // Nothing is sent.
        } else if self.does(1) {
            world.send_command(&forged(world, &command));
        } else if self.does(2) {
            world.send_command(&Command {
                count: 0,
                ..command
            });
        } else if self.does(3) {
            // Under another epoch, for a sample of another number.
            let epoch = command.epoch + self.random.below(4) - 2;
            world.send_command(&Command { epoch, ..command });
        } else {
            world.send_command(&command);
        }
        if self.does(4) {
            // So many that the device forgets what it has asked.
            for _ in 0..self.random.below(12) {
                let epoch = command.epoch + self.random.below(3) - 1;
                let forged = forged(world, &command);
                world.send_command(&Command { epoch, ..forged });
            }
        }
        if self.does(5) {
            let old = self.random.below(self.commands.len().max(1) as u64) as usize;
            if let Some(old) = self.commands.get(old) {
                world.send_command(old);
            }
        }
        self.commands.push(command);
    }

    fn samples(&mut self, world: &mut World) {
        for sample in world.take_samples() {
            if !self.does(6) {
                world.send_sample(sample);
            }
            if self.does(7) {
                let taken = !sample.taken;
                world.send_sample(Sample { taken, ..sample });
            }
            if self.does(8) {
                let old = self.random.below(self.samples.len().max(1) as u64) as usize;
                if let Some(old) = self.samples.get(old) {
                    world.send_sample(*old);
                }
            }
            self.samples.push(sample);
        }
    }
}

/// Outputs that a sandbox can keep back which does anything with the device while it has it.
const MOST_LOST: usize = 4;

#[test]
fn who_does_anything_with_the_device_keeps_back_few_outputs() {
    let (runs, end) = (600, 40);
    let mut counts = [0; MOST_LOST + 1];
    for seed in 0..runs {
        let mut random = Random(seed ^ 0x0b7e);
        let replicas = [3, 3, 4, 5][random.below(4) as usize];
        let from = random.within(2, 16);
        let until = from + random.within(1, 20);
        let mut owner = Owner {
            ways: random.below(1 << 9) & random.below(1 << 9),
            random,
            commands: Vec::new(),
            samples: Vec::new(),
        };
        let what = format!(
            "seed {seed}: {replicas} replicas, epochs {from} to {until}, {:#b}",
            owner.ways
        );
        let mut case = Case::new(&distributed(replicas), PAGES, seed);
        run(&mut case, end, |world, commands| {
            let is_hostile = world.device_owner() == 0 && (from..until).contains(&world.epoch());
            for command in commands {
                if is_hostile {
                    owner.command(world, command);
                    owner.samples(world);
                } else {
                    world.send_command(&command);
                }
            }
        });
        expect_no_harm(&case, &what);
        let lost = lost(&case, end);
        assert!(lost.len() <= MOST_LOST, "{what}: lost {lost:?}");
        counts[lost.len()] += 1;
    }
    println!("runs by outputs that were not taken: {counts:?}");
}
