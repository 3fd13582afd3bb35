//! Voters in all sandboxes of a set: no one of them can stop the others, make them disagree, or
//! have an output taken that a majority did not compute.
mod replicated;

use std::rc::Rc;

use replicated::lies::{
    INPUT_FIELDS, VERDICT_FIELDS, change_ballot, change_input, change_verdict, do_anything,
    lie_always,
};
use replicated::{BALLOT_FIELDS, Case, EPOCH, MS, PERIOD, Random, VALUES, distributed};
use tern_sim::sets::{Place, World};
use tern_vote::{Set, Writer};

const PAGES: u32 = 6;
/// The epoch before which a run ends.
const END: u64 = 16;
/// Longer than any run.
const FOR_GOOD: u64 = 1_000 * PERIOD;

#[test]
fn without_a_fault_each_output_is_taken_and_the_device_stays() {
    for replicas in [3, 4, 5, 7] {
        let mut case = Case::new(&distributed(replicas), PAGES, 1);
        case.run_until(30);
        let seen = case.world.seen();
        let what = format!("{replicas} replicas");
        case.expect_nothing_wrong(&what);
        let all: Vec<u64> = (2..30).collect();
        assert_eq!(seen.accepted, all, "{what}: {seen:?}");
        assert_eq!(
            (seen.accused.len(), seen.missed),
            (0, 0),
            "{what}: {seen:?}"
        );
        assert_eq!(case.world.device_owner(), 0, "{what}");
        assert!(case.is_whole(), "{what}");
    }
}

/// Runs a set to its end; `before` is called before each poll. An output that is taken after the
/// next release fails.
fn run(case: &mut Case, what: &str, mut before: impl FnMut(&mut World, Place)) {
    let mut taken = 0;
    while case.world.epoch() < END {
        let place = case.world.run_to_poll();
        before(&mut case.world, place);
        case.world.poll();
        if let Place::Voter(_) = place {
            let accepted = case.world.seen().accepted;
            for epoch in &accepted[taken..] {
                let at = case.world.now();
                assert!(
                    at <= (epoch + 1) * PERIOD,
                    "{what}: output {epoch} is taken at {at}"
                );
            }
            taken = accepted.len();
        }
    }
}

/// Nothing was wrong, nobody was accused but `victim`, and all outputs were taken but for those of
/// the two epochs at most in which the device changed hands.
fn expect_others_to_go_on(case: &Case, victim: usize, what: &str) {
    case.expect_nothing_wrong(what);
    let seen = case.world.seen();
    let lost: Vec<u64> = (2..END).filter(|it| !seen.accepted.contains(it)).collect();
    let most = if victim == 0 { 2 } else { 0 };
    assert!(lost.len() <= most, "{what}: lost {lost:?}, {seen:?}");
    assert!(
        lost.iter()
            .all(|epoch| (EPOCH - 1..EPOCH + 4).contains(epoch)),
        "{what}: lost {lost:?}"
    );
    let others = seen.accused.iter().find(|(_, it)| *it != 1 << victim);
    assert_eq!(others, None, "{what}: {seen:?}");
    assert!(seen.stopped.is_empty(), "{what}: {seen:?}");
}

/// Polls of a place in [`EPOCH`], where nothing fails.
fn polls_of(replicas: usize, of: Place) -> usize {
    let mut polls = 0;
    let mut case = Case::new(&distributed(replicas), PAGES, 1);
    run(&mut case, "without a fault", |world, place| {
        polls += usize::from(place == of && world.epoch() == EPOCH);
    });
    polls
}

#[test]
fn a_sandbox_that_stops_at_any_step_of_its_replica_or_voter_holds_up_nobody() {
    for replicas in [3, 5] {
        for victim in 0..replicas {
            for of in [Place::Replica(victim), Place::Voter(victim)] {
                let steps = polls_of(replicas, of);
                assert!(steps > 3, "{of:?}: {steps} steps");
                for step in 0..steps {
                    let what = format!("{of:?} of {replicas} stops before step {step}");
                    let mut case = Case::new(&distributed(replicas), PAGES, 1);
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
                    assert_ne!(case.world.device_owner(), victim, "{what}");
                }
            }
        }
    }
}

/// Between steps, too: in the middle of a job, of a sleep, of a page.
#[test]
fn a_sandbox_that_stops_at_any_time_holds_up_nobody() {
    let times = 100;
    for victim in 0..3 {
        for time in 0..times {
            let at = EPOCH * PERIOD + time * PERIOD / times;
            let what = format!("sandbox {victim} stops at {at}");
            let mut case = Case::new(&distributed(3), PAGES, 1);
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

/// Runs a set in which a sandbox says what `lie` makes of its ballot or verdict in one epoch, or
/// from then on.
fn run_with_liar(
    of: Place,
    always: bool,
    what: &str,
    lie: impl Fn(&Set, Writer<'_>) + 'static,
) -> Case {
    let mut case = Case::new(&distributed(3), PAGES, 1);
    let lie = Rc::new(lie);
    run(&mut case, what, |world, _| match world.epoch() {
        EPOCH => world.lie_in(of, {
            let lie = Rc::clone(&lie);
            move |set, own| lie(set, own)
        }),
        epoch if epoch > EPOCH && !always => world.lie_in(of, |_, _| ()),
        _ => {}
    });
    case
}

#[test]
fn a_replica_that_says_anything_in_any_field_of_its_ballot_holds_up_nobody() {
    for (field, change) in BALLOT_FIELDS {
        for value in VALUES {
            for victim in 0..3 {
                let what = format!("{field} of replica {victim} is {value:#x}");
                let lie = move |set: &Set, own: Writer<'_>| {
                    change_ballot(victim, |ballot| change(ballot, value), set, own);
                };
                for always in [false, true] {
                    let case = run_with_liar(Place::Replica(victim), always, &what, lie);
                    expect_others_to_go_on(&case, victim, &what);
                }
            }
        }
    }
}

/// A ballot that is sealed as others look for it is counted by all of them, or by none: the two that
/// are left agree, whenever it comes. Its sandbox seals no verdict, which would make a majority.
#[test]
fn a_ballot_that_comes_as_it_is_counted_splits_nobody() {
    const VICTIM: usize = 2;
    for (seed, late) in (0..10).flat_map(|seed| (0..60).map(move |step| (seed, step * 10))) {
        let at = EPOCH * PERIOD + 4 * MS + late * 1_000;
        let what = format!("seed {seed}: its ballot is sealed {late} us after it was due");
        let mut case = Case::new(&distributed(3), PAGES, seed);
        let mut is_sealed = false;
        run(&mut case, &what, |world, _| {
            let is_epoch = world.epoch() == EPOCH;
            world.withhold_seals(is_epoch.then_some(VICTIM));
            if is_epoch && !is_sealed && world.now() >= at {
                world.seal_in(Place::Ballot(VICTIM), EPOCH);
                is_sealed = true;
            }
        });
        expect_others_to_go_on(&case, VICTIM, &what);
    }
}

#[test]
fn a_voter_that_says_anything_in_any_field_of_its_verdict_holds_up_nobody() {
    for (field, change) in VERDICT_FIELDS {
        for value in VALUES {
            for victim in 0..3 {
                let what = format!("{field} of voter {victim} is {value:#x}");
                let lie = move |set: &Set, own: Writer<'_>| {
                    change_verdict(|verdict| change(verdict, value), set, own);
                };
                for always in [false, true] {
                    let case = run_with_liar(Place::Voter(victim), always, &what, lie);
                    expect_others_to_go_on(&case, victim, &what);
                    let seen = case.world.seen();
                    assert_eq!(seen.accepted.len() as u64, END - 2, "{what}: {seen:?}");
                }
            }
        }
    }
}

/// Who has the device freezes the input: with what the sensor did not say nobody runs, and the
/// device goes to the next.
#[test]
fn an_owner_that_says_anything_in_any_field_of_its_input_loses_the_device() {
    for (field, change) in INPUT_FIELDS {
        for value in VALUES {
            let what = format!("{field} of the input is {value:#x}");
            let lie = move |set: &Set, own: Writer<'_>| {
                change_input(|input| change(input, value), set, own);
            };
            for always in [false, true] {
                let case = run_with_liar(Place::Voter(0), always, &what, lie);
                expect_others_to_go_on(&case, 0, &what);
            }
        }
    }
}

/// Outputs that such a sandbox can withhold: those of the two epochs in which it loses the device.
const MOST_LOST: usize = 2;

#[test]
fn a_sandbox_that_does_anything_at_any_time_holds_up_nobody() {
    let runs = 300;
    let (mut most, mut total) = (0, 0);
    for seed in 0..runs {
        let victim = (seed % 3) as usize;
        let mut case = Case::new(&distributed(3), PAGES, seed);
        let mut random = Random(seed ^ 0xd157);
        lie_always(&mut case.world, victim, seed);
        let end = 40;
        while case.world.epoch() < end {
            case.world.run_to_poll();
            if case.world.epoch() >= 4 && random.below(4) == 0 {
                do_anything(&case.world, victim, &mut random);
            }
            case.world.poll();
        }
        let what = format!("seed {seed}, sandbox {victim}");
        case.expect_nothing_wrong(&what);
        let seen = case.world.seen();
        assert!(seen.stopped.is_empty(), "{what}: {seen:?}");
        let others = seen
            .accused
            .iter()
            .find(|(_, it)| *it & !(1 << victim) != 0);
        assert_eq!(others, None, "{what}: {seen:?}");
        let mut of_epoch: Vec<u64> = case.world.inputs().iter().map(|it| it.epoch).collect();
        let inputs = of_epoch.len();
        of_epoch.dedup();
        assert_eq!(inputs, of_epoch.len(), "{what}: two inputs of one epoch");
        let taken = |epoch: &u64| seen.accepted.contains(epoch);
        let lost: Vec<u64> = (2..end).filter(|epoch| !taken(epoch)).collect();
        most = most.max(lost.len());
        total += lost.len();
        assert!(lost.len() <= MOST_LOST, "{what}: lost {lost:?}");
    }
    println!("{total} outputs of {runs} runs were not taken, {most} of one at most");
}
