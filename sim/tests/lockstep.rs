//! Two replicas in lock-step: a fault costs outputs, and never makes a wrong one; where both go on,
//! both have again what was agreed.
mod replicated;

use std::collections::BTreeMap;

use replicated::lies::{
    INPUT_FIELDS, VERDICT_FIELDS, change_ballot, change_input, change_verdict, do_anything,
    lie_always,
};
use replicated::{
    BALLOT_FIELDS, Case, EPOCH, Fault, MS, PERIOD, Random, VALUES, a_memory_flip, lockstep,
};
use tern_sim::sets::{PAGE_WORDS, Place, RegisterFlip, World};
use tern_trace::Event;
use tern_vote::{Set, Writer};

const PAGES: u32 = 6;
/// The epoch before which a run ends.
const END: u64 = 18;
/// Outputs that a flip can cost: that of the epoch whose ballots differ, and of the next, if what
/// differed was at rest, or if a page is to be taken from the other.
const MOST_LOST: usize = 2;

#[test]
fn without_a_fault_each_output_is_taken() {
    let mut case = Case::new(&lockstep(), PAGES, 1);
    case.run_until(30);
    let seen = case.world.seen();
    case.expect_nothing_wrong("without a fault");
    let all: Vec<u64> = (2..30).collect();
    assert_eq!(seen.accepted, all, "{seen:?}");
    assert_eq!((seen.accused.len(), seen.missed), (0, 0), "{seen:?}");
    assert!(case.is_whole());
}

/// A set at each poll of [`EPOCH`], before which something can be done to it.
fn at_each_poll() -> Vec<World> {
    let mut worlds = Vec::new();
    let mut world = Case::new(&lockstep(), PAGES, 1).world;
    while world.epoch() <= EPOCH {
        world.run_to_poll();
        if world.epoch() == EPOCH {
            worlds.push(world.clone());
        }
        world.poll();
    }
    worlds
}

/// Runs a world to its end; returns the epochs of which no output was taken. Nothing may be wrong,
/// and both replicas must agree again.
fn ends_well(world: World, what: &str) -> Vec<u64> {
    ends_well_by(END, world, what)
}

fn ends_well_by(end: u64, world: World, what: &str) -> Vec<u64> {
    let mut case = Case::of(world);
    case.run_until(end);
    case.expect_nothing_wrong(what);
    assert!(case.is_whole(), "{what}: {:?}", case.world.seen());
    let seen = case.world.seen();
    (2..end).filter(|it| !seen.accepted.contains(it)).collect()
}

/// Counts how many outputs each run has cost.
fn expect_at_most(most: usize, costs: impl Iterator<Item = (String, Vec<u64>)>) {
    let mut counts = BTreeMap::new();
    for (what, lost) in costs {
        assert!(lost.len() <= most, "{what}: lost {lost:?}");
        *counts.entry(lost.len()).or_insert(0) += 1;
    }
    println!("runs by outputs lost: {counts:?}");
}

/// Bits of a page: at its begin and its end, of a word in the middle.
const BITS: [u32; 3] = [0, 64 * 100 + 7, PAGE_WORDS as u32 * 64 - 1];

#[test]
fn a_flip_in_any_page_at_any_step_costs_two_outputs_at_most() {
    let worlds = at_each_poll();
    let all = worlds.iter().enumerate().flat_map(|(step, world)| {
        let places = (0..2).flat_map(|replica| (0..PAGES).map(move |page| (replica, page)));
        let flips = places.flat_map(|place| BITS.map(|bit| (place, bit)));
        flips.map(move |((replica, page), bit)| {
            let what = format!("bit {bit} of page {page} of replica {replica} at step {step}");
            let mut world = world.clone();
            world.flip_memory(replica, page, bit);
            let lost = ends_well(world, &what);
            (what, lost)
        })
    });
    expect_at_most(MOST_LOST, all);
}

#[test]
fn a_flip_in_any_page_of_a_checkpoint_costs_nothing() {
    let worlds = at_each_poll();
    let all = worlds.iter().enumerate().flat_map(|(step, world)| {
        let places = (0..2).flat_map(|replica| (0..PAGES).map(move |page| (replica, page)));
        places.map(move |(replica, page)| {
            let what = format!("page {page} of checkpoint {replica} at step {step}");
            let mut world = world.clone();
            world.flip_checkpoint(replica, page, 77);
            let lost = ends_well(world, &what);
            (what, lost)
        })
    });
    expect_at_most(0, all);
}

#[test]
fn a_flip_in_a_register_costs_one_output() {
    let world = &at_each_poll()[0];
    let flips = (0..12).flat_map(|before| (0..3).map(move |word| (before, word)));
    let all = flips.flat_map(|(before, word)| {
        (0..64).step_by(7).map(move |bit| {
            let what = format!("bit {bit} of word {word} before write {before}");
            let mut world = world.clone();
            world.flip_register(1, RegisterFlip { before, word, bit });
            let lost = ends_well(world, &what);
            (what, lost)
        })
    });
    expect_at_most(1, all);
}

#[test]
fn a_replica_that_is_silent_or_endless_goes_back_and_costs_one_output() {
    let worlds = at_each_poll();
    let all = worlds.iter().enumerate().flat_map(|(step, world)| {
        (0..2).flat_map(move |replica| {
            [World::make_silent, World::make_endless].map(|make| {
                let what = format!("the job of replica {replica} from step {step} on");
                let mut world = world.clone();
                make(&mut world, replica);
                let lost = ends_well(world, &what);
                (what, lost)
            })
        })
    });
    expect_at_most(1, all);
}

/// A program that never computes the same twice: nothing is released, and the set says that it has
/// stopped.
#[test]
fn replicas_that_differ_again_and_again_stop_visibly() {
    let mut case = Case::new(&lockstep(), PAGES, 1);
    case.run_until(EPOCH);
    while case.world.epoch() < END {
        case.world.run_to_poll();
        let flip = RegisterFlip {
            before: 3,
            word: 1,
            bit: 5,
        };
        case.world.flip_register(0, flip);
        case.world.poll();
    }
    case.expect_nothing_wrong("again and again");
    let seen = case.world.seen();
    assert_eq!(seen.accepted.last(), Some(&(EPOCH - 1)), "{seen:?}");
    assert_eq!(seen.stopped.first(), Some(&(EPOCH + 2)), "{seen:?}");
    assert!(!seen.safe.is_empty(), "{seen:?}");
}

#[test]
fn a_sandbox_that_stops_for_good_at_any_step_leaves_nothing_to_be_taken() {
    for victim in 0..2 {
        for (step, world) in at_each_poll().into_iter().enumerate() {
            let what = format!("sandbox {victim} stops at step {step}");
            let mut case = Case::of(world);
            case.world.hold(Place::Replica(victim), 1_000 * PERIOD);
            case.run_until(END);
            case.expect_nothing_wrong(&what);
            let seen = case.world.seen();
            let last = seen.accepted.last().copied().unwrap_or(0);
            assert!((EPOCH - 1..=EPOCH).contains(&last), "{what}: {seen:?}");
            assert!(case.world.is_safe_action_due(), "{what}");
        }
    }
}

/// It comes back to another that has gone back, and they agree again. Who has the core while it is held
/// uses up the budget of so many periods, the voter 1 ms in each.
#[test]
fn a_sandbox_that_is_away_costs_what_its_budget_is_gone_for_and_two_outputs_more_at_most() {
    let worlds = at_each_poll();
    let all = worlds.iter().enumerate().flat_map(|(step, world)| {
        (0..2).flat_map(move |victim| {
            (0..9).map(move |third| {
                let time = third * PERIOD / 3 + 1;
                let what = format!("sandbox {victim} is away for {time} from step {step} on");
                let mut world = world.clone();
                world.hold(Place::Replica(victim), time);
                let mut lost = ends_well_by(END + 30, world, &what);
                lost.drain(..lost.len().min(time.div_ceil(MS) as usize));
                (what, lost)
            })
        })
    });
    expect_at_most(2, all);
}

#[test]
fn a_checkpoint_is_kept_each_epoch_and_put_back_where_ballots_differ() {
    let mut case = Case::new(&lockstep(), PAGES, 1);
    case.run_until(EPOCH);
    case.world.flip_memory(1, 3, 9);
    case.run_until(END);
    let events = case.world.events();
    let kept = events
        .iter()
        .filter(|(_, event)| matches!(event, Event::Checkpoint { .. }));
    let back = events
        .iter()
        .filter(|(_, event)| matches!(event, Event::RollBack { .. }));
    assert!(kept.count() as u64 >= 2 * (END - 4));
    assert_eq!(back.count(), 2);
}

/// It has lost its state, and what it is to go back to: the other, whose state is the one that was
/// agreed last, gives it all pages.
#[test]
fn a_sandbox_that_starts_anew_is_repaired_by_the_other() {
    for (step, world) in at_each_poll().into_iter().enumerate() {
        for (victim, erases) in [(0, false), (0, true), (1, false), (1, true)] {
            let what = format!("sandbox {victim} starts anew at step {step}, erased: {erases}");
            let mut world = world.clone();
            world.restart(victim, erases);
            let lost = ends_well(world, &what);
            assert!((2..=4).contains(&lost.len()), "{what}: {lost:?}");
        }
    }
}

/// All words of both tasks, or of both voters, one bit each at a sample of steps.
#[test]
fn a_flip_in_any_word_of_a_task_costs_two_outputs_at_most() {
    let worlds = at_each_poll();
    let places = [0, 1]
        .into_iter()
        .flat_map(|it| [Place::Replica(it), Place::Voter(it)]);
    let all = worlds
        .iter()
        .enumerate()
        .step_by(3)
        .flat_map(|(step, world)| {
            places.clone().flat_map(move |place| {
                let mut words = 0;
                world.clone().visit(place, &mut |_, _| words += 1);
                (0..words).map(move |word| {
                    let bit = (word * 7 + step) % 64;
                    let mut world = world.clone();
                    let (mut at, mut name) = (0, "");
                    world.visit(place, &mut |of, value| {
                        if at == word {
                            *value ^= 1 << bit;
                            name = of;
                        }
                        at += 1;
                    });
                    let what =
                        format!("bit {bit} of {name}, word {word} of {place:?}, at step {step}");
                    let lost = ends_well(world, &what);
                    (what, lost)
                })
            })
        });
    expect_at_most(MOST_LOST, all);
}

/// And of all channels, as their writers see them.
#[test]
fn a_flip_in_any_record_of_a_channel_costs_one_output_at_most() {
    let worlds = at_each_poll();
    let places = [0, 1]
        .into_iter()
        .flat_map(|it| [Place::Replica(it), Place::Ballot(it), Place::Voter(it)]);
    let all = worlds
        .iter()
        .enumerate()
        .step_by(5)
        .flat_map(|(step, world)| {
            places.clone().flat_map(move |place| {
                let words = match place {
                    Place::Replica(_) => 128 + PAGES as usize,
                    Place::Ballot(_) | Place::Voter(_) => 128,
                };
                (0..words).map(move |word| {
                    let bit = ((word * 7 + step) % 64) as u32;
                    let what = format!("bit {bit} of word {word} of {place:?} at step {step}");
                    let world = world.clone();
                    world.flip_shown(place, word % world.channel_words(place).min(1 << 20), bit);
                    let lost = ends_well(world, &what);
                    (what, lost)
                })
            })
        });
    expect_at_most(1, all);
}

type Lie = Box<dyn Fn(&Set, Writer<'_>)>;

/// Lets a sandbox say in [`EPOCH`] what `lie` makes of its record, or from then on. Nothing wrong is
/// taken, and once it is sound again both agree.
fn expect_nothing_of_a_lie(of: Place, what: &str, lie: impl Fn() -> Lie) {
    for always in [false, true] {
        let mut world = Case::new(&lockstep(), PAGES, 1).world;
        world.run_until(EPOCH);
        world.lie_in(of, lie());
        world.run_until(EPOCH + 1);
        if !always {
            world.lie_in(of, |_, _| ());
            let lost = ends_well(world, what);
            assert!(lost.len() <= 4, "{what}: lost {lost:?}");
            continue;
        }
        let mut case = Case::of(world);
        case.run_until(END);
        case.expect_nothing_wrong(what);
    }
}

#[test]
fn a_sandbox_that_says_anything_in_any_field_has_nothing_wrong_taken() {
    for victim in 0..2 {
        for value in VALUES {
            for (field, change) in BALLOT_FIELDS {
                let what = format!("{field} of replica {victim} is {value:#x}");
                expect_nothing_of_a_lie(Place::Replica(victim), &what, || {
                    Box::new(move |set, own| {
                        change_ballot(victim, |ballot| change(ballot, value), set, own);
                    })
                });
            }
            for (field, change) in VERDICT_FIELDS {
                let what = format!("{field} of voter {victim} is {value:#x}");
                expect_nothing_of_a_lie(Place::Voter(victim), &what, || {
                    Box::new(move |set, own| {
                        change_verdict(|verdict| change(verdict, value), set, own);
                    })
                });
            }
            for (field, change) in INPUT_FIELDS {
                let what = format!("{field} of the input is {value:#x}");
                expect_nothing_of_a_lie(Place::Voter(0), &what, || {
                    Box::new(move |set, own| {
                        change_input(|input| change(input, value), set, own);
                    })
                });
            }
        }
    }
}

/// A sandbox does anything that it can with its channels, up to an epoch; from then on it is sound.
fn do_anything_for_a_while(seed: u64) {
    let victim = (seed % 2) as usize;
    let mut world = Case::new(&lockstep(), PAGES, seed).world;
    let mut random = Random(seed ^ 0x10c5);
    lie_always(&mut world, victim, seed / 2);
    while world.epoch() < 24 {
        world.run_to_poll();
        if world.epoch() >= 4 && random.below(4) == 0 {
            do_anything(&world, victim, &mut random);
        }
        world.poll();
    }
    world.lie_in(Place::Voter(victim), |_, _| ());
    let mut of_epoch: Vec<u64> = world.inputs().iter().map(|it| it.epoch).collect();
    let inputs = of_epoch.len();
    of_epoch.dedup();
    let what = format!("seed {seed}, sandbox {victim}");
    assert_eq!(inputs, of_epoch.len(), "{what}: two inputs of one epoch");
    ends_well_by(36, world, &what);
}

#[test]
fn a_sandbox_that_does_anything_has_nothing_wrong_taken_and_agrees_again() {
    (0..300).for_each(do_anything_for_a_while);
}

#[test]
#[ignore = "minutes: run by name"]
fn a_sandbox_that_does_anything_in_3_000_runs() {
    (0..3_000).for_each(do_anything_for_a_while);
}

/// One fault of any kind at any time, late timers beside it.
fn one_fault(seed: u64) {
    let mut random = Random(seed ^ 0x5eed);
    let mut case = Case::new(&lockstep(), PAGES, seed);
    case.world.be_late(random.below(200_000));
    let replica = random.below(2) as usize;
    let at = random.within(2 * PERIOD, 6 * PERIOD);
    let place = match random.below(2) {
        0 => Place::Replica(replica),
        _ => Place::Voter(replica),
    };
    let fault = match random.below(5) {
        0 => Fault::Held {
            of: place,
            time: random.within(1, 3 * PERIOD),
        },
        1 => Fault::Endless { replica },
        2 => Fault::Restart {
            replica,
            erases: random.below(2) == 0,
        },
        3 => Fault::Channel {
            of: place,
            word: random.below(256) as usize,
            bit: random.below(64) as u32,
        },
        _ => match a_memory_flip(&mut random, PAGES) {
            Fault::Memory { page, bit, .. } => Fault::Memory { replica, page, bit },
            other => other,
        },
    };
    let what = format!("seed {seed}: {fault:?} at {at}");
    case.schedule(at, fault);
    case.run_until(50);
    case.expect_nothing_wrong(&what);
    assert!(case.is_whole(), "{what}: {:?}", case.world.seen());
}

#[test]
fn one_fault_of_any_kind_at_any_time_ends_in_agreement() {
    (0..500).for_each(one_fault);
}

#[test]
#[ignore = "minutes: run by name"]
fn one_fault_of_any_kind_in_3_000_runs() {
    (0..3_000).for_each(one_fault);
}

/// A page that jobs read and do not write has changed, and the scrub comes to it in 64 epochs: that
/// they differ again tells that what is at rest is wrong.
#[test]
fn what_is_at_rest_is_looked_at_once_they_differ_again() {
    let mut system = lockstep();
    system.replica_sets[0].scrub_period = 1_000 * PERIOD;
    for replica in 0..2 {
        let mut world = Case::new(&system, 64, 1).world;
        world.run_until(EPOCH);
        for word in 0..PAGE_WORDS as u32 {
            world.flip_memory(replica, 1, 64 * word + 5);
        }
        let what = format!("page 1 of replica {replica}");
        let lost = ends_well_by(EPOCH + 30, world, &what);
        assert_eq!(lost, [EPOCH, EPOCH + 1], "{what}");
    }
}
