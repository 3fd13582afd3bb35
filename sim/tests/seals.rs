//! A voter's sandbox that shows its replicas different things: where its channel is sealed it
//! cannot, and where it is not, three sound replicas are left without a majority.
mod replicated;

use std::collections::BTreeMap;

use replicated::{Case, PERIOD, Random, described};
use tern_config::System;
use tern_sim::sets::{Place, World};
use tern_vote::{Outcome, Release, Verdict};

const PAGES: u32 = 6;
/// The epoch in which the voter lies.
const EPOCH: u64 = 6;

fn sealed() -> System {
    described(3, "")
}

fn open() -> System {
    described(3, "voting = { kind = \"arbitrator\", seal = false }")
}

/// What a replica is shown of the input of [`EPOCH`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// The newest sample.
    Newest,
    /// The sample before, which the sensor has tagged as well, as if none had come since.
    Older,
    /// Nothing of this epoch.
    Nothing,
}

const ALL: [Shown; 3] = [Shown::Newest, Shown::Older, Shown::Nothing];

/// Runs a set whose voter shows each replica something else in one epoch, as far as it can; with
/// the verdict on that epoch.
fn show(system: &System, shown: [Shown; 3]) -> (Case, Option<Verdict>) {
    let mut case = Case::new(system, PAGES, 1);
    // To the first poll of an epoch, which is still to be done.
    case.world.run_until(EPOCH - 1);
    let older = case.world.input().expect("an epoch has an input");
    case.world.run_until(EPOCH);
    let newest = case.world.input().expect("an epoch has an input");
    let mut verdict = None;
    while case.world.epoch() < EPOCH + 8 {
        let place = case.world.run_to_poll();
        if let (Place::Replica(replica), EPOCH) = (place, case.world.epoch()) {
            case.world.freeze(&match shown[replica] {
                Shown::Newest => newest,
                Shown::Older => Release {
                    epoch: newest.epoch,
                    time: newest.time,
                    fresh: false,
                    stale: newest.stale + 1,
                    ..older
                },
                Shown::Nothing => Release {
                    epoch: EPOCH + 100,
                    ..newest
                },
            });
        }
        case.world.poll();
        let newest = case.world.verdict();
        verdict = verdict.or(newest.filter(|verdict| verdict.epoch == EPOCH));
    }
    (case, verdict)
}

#[test]
fn three_replicas_that_are_shown_three_things_have_a_majority_only_if_they_cannot_be() {
    let (mut lost, mut stopped) = (0, 0);
    for choice in 0..27 {
        let shown = [choice / 9, choice / 3 % 3, choice % 3].map(|which| ALL[which]);
        let all_differ = shown[0] != shown[1] && shown[1] != shown[2] && shown[0] != shown[2];

        let (case, verdict) = show(&sealed(), shown);
        let verdict = verdict.expect("the epoch has a verdict");
        assert_eq!(verdict.outcome, Outcome::Unanimous, "{shown:?}");
        case.expect_nothing_wrong(&format!("{shown:?}"));
        assert!(case.is_whole(), "{shown:?}");

        let (case, verdict) = show(&open(), shown);
        let has_majority = verdict.is_some_and(|it| it.outcome.is_agreement());
        assert_eq!(has_majority, !all_differ, "{shown:?}");
        lost += u32::from(!has_majority);
        stopped += u32::from(!case.world.seen().stopped.is_empty());
    }
    // Of 27 choices, those in which no two replicas are shown the same: for good.
    assert_eq!((lost, stopped), (6, 6));
}

/// Does at any time anything that a voter's sandbox can do with its channel.
fn lie(world: &mut World, random: &mut Random) {
    let about =
        |value: u64, random: &mut Random| value.wrapping_add(random.below(4)).wrapping_sub(2);
    match random.below(3) {
        0 => {
            if let Some(mut input) = world.input() {
                input.epoch = about(input.epoch, random);
                input.sample = about(input.sample, random);
                input.fresh ^= random.below(2) == 0;
                input.time = tern_units::Instant::from_nanos(input.epoch.wrapping_mul(PERIOD));
                input.payload[0] ^= random.below(2);
                world.freeze(&input);
            }
        }
        1 => {
            if let Some(mut verdict) = world.verdict() {
                verdict.epoch = about(verdict.epoch, random);
                world.publish(&verdict);
            }
        }
        _ => {
            let number = about(world.epoch(), random);
            world.seal(number);
        }
    }
}

/// How many epochs have begun with different inputs in different replicas, in some runs with a
/// voter that lies all the time, and how many with the same.
fn differing_inputs(system: &System, runs: u64) -> (u64, u64) {
    let (mut differing, mut same) = (0, 0);
    for seed in 0..runs {
        let mut case = Case::new(system, PAGES, seed);
        let mut random = Random(seed ^ 0x5ea1);
        while case.world.epoch() < 40 {
            case.world.run_to_poll();
            if random.below(6) == 0 {
                lie(&mut case.world, &mut random);
            }
            case.world.poll();
        }
        let mut of_epoch: BTreeMap<u64, u64> = BTreeMap::new();
        for input in case.world.inputs() {
            *of_epoch.entry(input.epoch).or_default() += 1;
        }
        differing += of_epoch.values().filter(|inputs| **inputs > 1).count() as u64;
        same += of_epoch.values().filter(|inputs| **inputs == 1).count() as u64;
    }
    (differing, same)
}

#[test]
fn whatever_a_voter_does_with_a_sealed_channel_no_two_replicas_run_with_different_inputs() {
    let untagged = |mut system: System| {
        system.replica_sets[0].tags = false;
        system
    };
    let runs = if cfg!(debug_assertions) { 10 } else { 200 };
    let (differing, same) = differing_inputs(&untagged(sealed()), runs);
    assert_eq!(differing, 0);
    assert!(same > runs, "{same}: they hardly run");
    let (differing, _) = differing_inputs(&untagged(open()), runs);
    assert!(differing > 0, "without a seal they do");
}
