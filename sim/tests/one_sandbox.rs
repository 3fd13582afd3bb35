//! One sandbox that stops at any step of the protocol, or says anything in any field of its
//! ballot: the others' outputs are taken, each before its deadline, and nobody else is accused.
//! Without its arbitrator nothing is taken, and the device takes its safe action.
mod replicated;

use replicated::{BALLOT_FIELDS, Case, EPOCH, MS, PERIOD, VALUES, system};
use tern_sim::sets::{Place, World};

const PAGES: u32 = 6;
/// The epoch before which a run ends.
const END: u64 = 14;
/// From a release to the instant by which the output is taken: the verdict's deadline of
/// [`system`].
const OUTPUT_DEADLINE: u64 = 5 * MS;
/// Longer than any run.
const FOR_GOOD: u64 = 1_000 * PERIOD;

/// Runs a set to its end; `before` is called before each poll. Each output that is taken after
/// its deadline fails.
fn run(case: &mut Case, what: &str, mut before: impl FnMut(&mut World, Place)) {
    let mut taken = 0;
    while case.world.epoch() < END {
        let place = case.world.run_to_poll();
        before(&mut case.world, place);
        case.world.poll();
        if place == Place::Voter(0) {
            let accepted = case.world.seen().accepted;
            for epoch in &accepted[taken..] {
                let at = case.world.now();
                assert!(
                    at <= epoch * PERIOD + OUTPUT_DEADLINE,
                    "{what}: output {epoch} is taken at {at}"
                );
            }
            taken = accepted.len();
        }
    }
}

/// All outputs were taken, nothing was wrong, and nobody was accused but `victim`.
fn expect_others_to_go_on(case: &Case, victim: usize, what: &str) {
    case.expect_nothing_wrong(what);
    let seen = case.world.seen();
    let all: Vec<u64> = (2..END).collect();
    assert_eq!(seen.accepted, all, "{what}: {seen:?}");
    let others = seen.accused.iter().find(|(_, it)| *it != 1 << victim);
    assert_eq!(others, None, "{what}: {seen:?}");
    assert!(seen.stopped.is_empty(), "{what}: {seen:?}");
}

/// Polls of a place in [`EPOCH`], where nothing fails.
fn polls_of(replicas: usize, of: Place) -> usize {
    let mut polls = 0;
    let mut case = Case::new(&system(replicas), PAGES, 1);
    run(&mut case, "without a fault", |world, place| {
        polls += usize::from(place == of && world.epoch() == EPOCH);
    });
    expect_others_to_go_on(&case, 0, "without a fault");
    polls
}

#[test]
fn a_replicas_sandbox_that_stops_at_any_step_holds_up_nobody() {
    for replicas in [3, 5] {
        for victim in 0..replicas {
            let of = Place::Replica(victim);
            let steps = polls_of(replicas, of);
            assert!(steps > 5, "{steps} steps");
            for step in 0..steps {
                let what = format!("replica {victim} of {replicas} stops before step {step}");
                let mut case = Case::new(&system(replicas), PAGES, 1);
                let mut polls = 0;
                run(&mut case, &what, |world, place| {
                    if place == of && world.epoch() == EPOCH {
                        if polls == step {
                            world.hold(of, FOR_GOOD);
                        }
                        polls += 1;
                    }
                });
                expect_others_to_go_on(&case, victim, &what);
            }
        }
    }
}

/// Between steps, too: in the middle of a job, of a sleep, of a page.
#[test]
fn a_replicas_sandbox_that_stops_at_any_time_holds_up_nobody() {
    let times = 100;
    for victim in 0..3 {
        for time in 0..times {
            let at = EPOCH * PERIOD + time * PERIOD / times;
            let what = format!("replica {victim} stops at {at}");
            let mut case = Case::new(&system(3), PAGES, 1);
            let mut is_held = false;
            run(&mut case, &what, |world, _| {
                if !is_held && world.now() >= at {
                    world.hold(Place::Replica(victim), FOR_GOOD);
                    is_held = true;
                }
            });
            expect_others_to_go_on(&case, victim, &what);
        }
    }
}

#[test]
fn without_its_arbitrator_nothing_is_taken_and_the_device_takes_its_safe_action() {
    let steps = polls_of(3, Place::Voter(0));
    assert!(steps > 1, "{steps} steps");
    for step in 0..steps {
        let what = format!("the arbitrator stops before step {step}");
        let mut case = Case::new(&system(3), PAGES, 1);
        let mut polls = 0;
        run(&mut case, &what, |world, place| {
            if place == Place::Voter(0) && world.epoch() == EPOCH {
                if polls == step {
                    world.hold(Place::Voter(0), FOR_GOOD);
                }
                polls += 1;
            }
        });
        case.expect_nothing_wrong(&what);
        let seen = case.world.seen();
        let last = *seen.accepted.last().unwrap();
        assert!((EPOCH - 1..=EPOCH).contains(&last), "{what}: {seen:?}");
        assert!(case.world.is_safe_action_due(), "{what}");
        assert!(
            seen.accused.is_empty() && seen.stopped.is_empty(),
            "{what}: {seen:?}"
        );
    }
}

#[test]
fn a_replica_that_says_anything_in_any_field_of_its_ballot_holds_up_nobody() {
    let mut lies = 0;
    for (field, change) in BALLOT_FIELDS {
        for value in VALUES {
            for victim in 0..3 {
                let what = format!("{field} of replica {victim} is {value:#x}");
                let mut case = Case::new(&system(3), PAGES, 1);
                let (mut has_lied, mut is_lie) = (false, false);
                run(&mut case, &what, |world, place| {
                    // After the ballots, before the vote.
                    if place == Place::Voter(0) && world.epoch() == EPOCH && !has_lied {
                        has_lied = world.cast_instead(victim, |ballot| {
                            let truth = *ballot;
                            change(ballot, value);
                            is_lie = *ballot != truth;
                        });
                    }
                });
                assert!(has_lied, "{what}");
                expect_others_to_go_on(&case, victim, &what);
                let seen = case.world.seen();
                let accused = seen.accused.first() == Some(&(EPOCH, 1 << victim));
                assert_eq!(accused, is_lie, "{what}: {seen:?}");
                lies += u32::from(is_lie);
            }
        }
    }
    // But for what is so: two replicas' numbers, jobs that were done until the epoch after, and an
    // output that was taken, which three of the values say.
    assert_eq!(lies, 14 * 8 * 3 - 2 - 3 - 3 * 3);
}
