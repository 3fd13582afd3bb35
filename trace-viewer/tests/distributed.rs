//! A voter in each sandbox of a set: all record the vote of an epoch, which is one, and the same.
mod common;

use common::{
    BALLOTS, Events, PERIOD, Replica, VERDICTS, Voter, distributed, healthy, replica, ring, sound,
    voters,
};
use tern_trace::{Core, Event, Mode, Trace, VoteOutcome, VoteParties};
use trace_viewer::read::SoundTrace;
use trace_viewer::status::Status;
use trace_viewer::summary::Summary;
use trace_viewer::verdict::conformance::Conformance;

const AGAINST_BETA: (VoteOutcome, VoteParties) = (
    VoteOutcome::Minority,
    VoteParties {
        faulty: 0b010,
        donor: 0,
        witness: 2,
    },
);

const NO_MAJORITY: (VoteOutcome, VoteParties) = (
    VoteOutcome::NoMajority,
    VoteParties {
        faulty: 0b111,
        donor: VoteParties::NOBODY,
        witness: VoteParties::NOBODY,
    },
);

/// A vote against beta in epochs 3 and 4, in which it is repaired.
fn reads_of_repair(epoch: u32) -> Option<(VoteOutcome, VoteParties)> {
    match epoch {
        3 | 4 => Some(AGAINST_BETA),
        _ => (Voter::default().reads)(epoch),
    }
}

/// An instant of an epoch, in microseconds.
fn instant(epoch: u32, after: u64) -> i64 {
    (u64::from(epoch) * PERIOD + after) as i64
}

fn summary(trace: &Trace) -> Summary {
    Summary::from_trace(&sound(trace))
}

fn trace_of(voters: [Voter; 3]) -> Trace {
    distributed(voters.map(|voter| voter.records(10)))
}

/// What speaks against a trace in which one of the sandboxes has recorded something else.
fn against(sandbox: usize, change: impl FnOnce(&mut Events)) -> String {
    let mut all = voters().map(|voter| voter.records(10));
    all[sandbox].sort_by_key(|(at, _)| *at);
    change(&mut all[sandbox]);
    refused(&distributed(all))
}

fn refused(trace: &Trace) -> String {
    SoundTrace::of(trace)
        .expect_err("a contradiction")
        .to_string()
}

/// The place of the only record of its kind in an epoch's sandbox.
fn find(events: &Events, wanted: impl Fn(&Event) -> bool) -> usize {
    let place = events.iter().position(|(_, event)| wanted(event));
    place.expect("it is there")
}

fn vote_of(wanted: u32) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Vote { epoch, .. } if *epoch == wanted)
}

#[test]
fn what_all_voters_record_is_one_vote_an_epoch() {
    let trace = trace_of(voters());
    let sound = sound(&trace);
    let summary = Summary::from_trace(&sound);
    assert_eq!(Conformance::of(&sound).violations(), 0);
    assert_eq!(summary.status(), Status::Well, "{:?}", summary.exceeded);
    let votes = &summary.votes;
    assert_eq!(votes.len(), 1);
    assert_eq!((votes[0].unanimous, votes[0].absent), (10, 0));
    assert_eq!(votes[0].ran_epochs.count(), 10);
    // Of epochs 1 to 10, by two voters.
    let inputs = &summary.inputs[0];
    assert_eq!((inputs.fresh, inputs.stale), (10, 0));
}

/// Beta is repaired in epochs 3 and 4, in each 32 ms after the release; the voters look so late after
/// the verdict deadline.
fn repaired(delays: [fn(u32) -> i64; 3]) -> Summary {
    let mut voters = voters().map(|voter| Voter {
        reads: reads_of_repair,
        ..voter
    });
    for (voter, delay) in voters.iter_mut().zip(delays) {
        voter.delay = delay;
    }
    let beta = Replica {
        is_repaired: true,
        ..Replica::default()
    };
    let [alpha, gamma] = [0, 2].map(|it| voters[it].records(10));
    let trace = distributed([alpha, voters[1].beside(beta.records(10), 10), gamma]);
    summary(&trace)
}

#[test]
fn a_vote_counts_from_when_the_first_has_recorded_it() {
    let summary = repaired([|_| 900, |_| 500, |_| 700]);
    let votes = &summary.votes[0];
    assert_eq!((votes.unanimous, votes.minority), (8, 2));
    assert_eq!(votes.disagreements.len(), 2);
    let first = (instant(3, VERDICTS) + 500 + 100) * 1_000;
    assert_eq!(votes.disagreements[0].at_ns, first);
    let [repair] = &summary.repairs[..] else {
        panic!("{:?}", summary.repairs);
    };
    assert_eq!(repair.detected_epoch, Some(3));
    assert_eq!(repair.detected_ns, Some(first));
    assert_eq!(repair.rounds, 2);
}

#[test]
fn a_repair_may_begin_before_any_voter_has_recorded_its_vote() {
    let summary = repaired([|_| 4_500, |_| 5_500, |_| 4_500]);
    let [repair] = &summary.repairs[..] else {
        panic!("{:?}", summary.repairs);
    };
    assert_eq!(repair.started_ns, instant(3, 32_000) * 1_000);
    assert_eq!(repair.detected_epoch, Some(3));
    assert_eq!(repair.detected_ns, Some(instant(3, 32_600) * 1_000));
}

#[test]
fn two_voters_that_record_different_votes_contradict_each_other() {
    let mut voters = voters();
    voters[2].reads = reads_of_repair;
    let reason = refused(&trace_of(voters));
    assert!(reason.contains("gamma"), "{reason}");
    let expected = "another vote in epoch 3 than record ";
    assert!(reason.contains(expected), "{reason}");
    assert!(reason.contains("of sandbox alpha"), "{reason}");

    // From when the next ballots are due others may have sealed what comes next, and the input that
    // one looks for beside the verdict may be gone.
    voters[2].reads = |epoch| match epoch {
        9 => Some(AGAINST_BETA),
        _ => (Voter::default().reads)(epoch),
    };
    let with_delay = |delay| {
        let mut voters = voters;
        voters[2].delay = delay;
        SoundTrace::of(&trace_of(voters)).is_ok()
    };
    assert!(!with_delay(|epoch| if epoch == 9 { 46_000 } else { 0 }));
    assert!(with_delay(|epoch| if epoch == 9 { 47_000 } else { 0 }));
}

#[test]
fn a_voter_that_looks_in_time_finds_what_the_others_do() {
    let mut voters = voters();
    voters[1].reads = |epoch| {
        (epoch != 6)
            .then_some(AGAINST_BETA)
            .and((Voter::default().reads)(epoch))
    };
    let reason = refused(&trace_of(voters));
    let expected = "a vote in epoch 6, in which sandbox beta found none";
    assert!(
        reason.contains(expected) && reason.contains("alpha"),
        "{reason}"
    );

    // Where nobody found one there is none.
    let none = voters.map(|voter| Voter {
        reads: voters[1].reads,
        ..voter
    });
    assert_eq!(summary(&trace_of(none)).votes[0].absent, 1);
}

#[test]
fn a_repair_rests_on_a_vote_that_some_voter_has_found() {
    let beta = Replica {
        is_repaired: true,
        ..Replica::default()
    };
    let repaired = |reads| {
        let voters = voters().map(|voter| Voter { reads, ..voter });
        let [alpha, gamma] = [0, 2].map(|it| voters[it].records(10));
        distributed([alpha, voters[1].beside(beta.records(10), 10), gamma])
    };
    drop(sound(&repaired(reads_of_repair)));
    let reason = refused(&repaired(|epoch| {
        (epoch != 4).then(|| reads_of_repair(epoch)).flatten()
    }));
    assert!(
        reason.contains("a repair, and its epoch's vote asks for none of this replica"),
        "{reason}"
    );
}

#[test]
fn a_voter_waits_for_the_others_before_it_records_a_vote() {
    let early = against(1, |events| {
        let vote = events.remove(find(events, vote_of(4))).1;
        let at = instant(4, BALLOTS) + 600;
        let sleeps = events.partition_point(|(time, _)| *time < at);
        events.insert(sleeps + 1, (at, vote));
    });
    assert!(early.contains("whose verdicts are due at"), "{early}");

    // Within its job, which it has not ended by then.
    let within = against(1, |events| {
        let thread = Voter::THREAD;
        let from = instant(4, BALLOTS);
        events.retain(|(at, event)| {
            let is_own = match event {
                Event::Vote { .. } => false,
                Event::Release { thread, .. } => *thread == Voter::THREAD && *at > from,
                _ => *at >= from,
            };
            !is_own
        });
        let (set, epoch) = (0, 4);
        let (outcome, parties) = (VoteOutcome::Unanimous, VoteParties::UNANIMOUS);
        events.push((
            from,
            Event::Switch {
                thread: Some(thread),
            },
        ));
        events.push((
            instant(4, VERDICTS),
            Event::Vote {
                set,
                epoch,
                outcome,
                parties,
            },
        ));
    });
    assert!(
        within.contains("a vote within the voter's job 4"),
        "{within}"
    );

    // Before its time.
    let until = |micros: i64| {
        against(1, move |events| {
            let at = instant(4, BALLOTS) + 600;
            let sleep = |it: &(i64, Event)| {
                it.0 == at
                    && matches!(
                        it.1,
                        Event::Block {
                            thread: Voter::THREAD,
                            ..
                        }
                    )
            };
            let place = events.iter().position(sleep).expect("it sleeps");
            let until = Some(tern_trace::SleepEnd::of(common::instant(micros)));
            events[place].1 = Event::Block {
                thread: Voter::THREAD,
                until,
            };
        })
    };
    for micros in [instant(4, VERDICTS) - 1, instant(5, 0) + 1] {
        let reason = until(micros);
        assert!(reason.contains("not until its next release"), "{reason}");
    }
}

#[test]
fn a_vote_is_of_a_voter_and_an_input_too() {
    let input = Event::Input {
        set: 0,
        epoch: 1,
        fresh: true,
    };
    let mut events = replica(10);
    events.push((4_100, input));
    let mut trace = healthy();
    trace.cores[0] = Core::from_words("alpha", &ring(events, Mode::Stream, 1 << 14), &[40]);
    let reason = refused(&trace);
    assert!(
        reason.contains("no voter of controller is here"),
        "{reason}"
    );

    // Beside a voter it is not the replica that records one.
    let reason = against(2, |events| {
        let ballot = find(events, |event| matches!(event, Event::Ballot { .. }));
        let at = events[ballot].0;
        events.insert(ballot, (at, input));
    });
    assert!(
        reason.contains("voter acts, and controller has the core"),
        "{reason}"
    );
}

#[test]
fn who_is_too_late_with_its_own_verdict_still_records_what_the_others_say() {
    let mut voters = voters();
    voters[2].seals = |epoch| epoch != 4;
    let summary = summary(&trace_of(voters));
    assert_eq!((summary.votes[0].unanimous, summary.misses()), (10, 1));
    assert_eq!(summary.inputs[0].stale, 0);
}

#[test]
fn an_input_beside_a_verdict_that_came_too_late_is_nobodys() {
    let mut voters = voters();
    voters[0].seals = |epoch| epoch != 4;
    let inputs = summary(&trace_of(voters)).inputs;
    assert_eq!((inputs[0].fresh, inputs[0].stale), (9, 1));
    assert!(inputs[0].stale_epochs.contains(5));

    // Where a second one took the device for its own, it heard nothing.
    let mut all = voters.map(|voter| {
        Voter {
            seals: |_| true,
            ..voter
        }
        .records(10)
    });
    let (set, epoch, fresh) = (0, 3, false);
    all[2].push((
        instant(2, BALLOTS) + 100,
        Event::Input { set, epoch, fresh },
    ));
    let inputs = summary(&distributed(all)).inputs;
    assert_eq!((inputs[0].fresh, inputs[0].stale), (10, 0));
}

#[test]
fn the_voter_and_the_replica_beside_it_may_both_say_that_the_set_stops() {
    let stop = Event::Stop { set: 0, epoch: 9 };
    let stopped = |by_voter: usize| {
        let mut voters = voters();
        for voter in &mut voters {
            voter.reads = |epoch| match epoch {
                9 => Some(NO_MAJORITY),
                _ => (Voter::default().reads)(epoch),
            };
        }
        let mut all = voters.map(|voter| voter.records(10));
        for _ in 0..by_voter {
            all[0].push((instant(9, VERDICTS) + 150, stop));
        }
        // The replica wakes and looks, and sleeps on.
        let at = instant(9, 32_000);
        let (thread, server) = (0, 0);
        let until = Some(tern_trace::SleepEnd::of(common::instant(instant(10, 0))));
        let (amount, returns) = (
            tern_units::Duration::from_micros(100),
            common::instant(instant(10, 32_000)),
        );
        all[0].extend([
            (
                at,
                Event::Switch {
                    thread: Some(thread),
                },
            ),
            (at + 50, stop),
            (at + 100, Event::Block { thread, until }),
            (
                at + 100,
                Event::ReplenishPosted {
                    server,
                    amount,
                    at: returns,
                },
            ),
            (at + 100, Event::Switch { thread: None }),
        ]);
        // Its job has let it sleep until then.
        let own = |it: &&mut (i64, Event)| {
            it.0 == instant(9, 4_000) && matches!(it.1, Event::Block { thread: 0, .. })
        };
        let sleep = all[0].iter_mut().find(own).expect("it sleeps");
        let until = Some(tern_trace::SleepEnd::of(common::instant(at)));
        sleep.1 = Event::Block { thread, until };
        distributed(all)
    };
    let summary = summary(&stopped(1));
    assert_eq!(summary.stops.len(), 1, "{:?}", summary.stops);
    assert_eq!(summary.votes[0].no_majority, 1);
    let reason = refused(&stopped(2));
    assert!(
        reason.contains("the set stops a second time in epoch 9"),
        "{reason}"
    );
}

/// Where a majority decides nobody goes back, and two that repair a third are two.
#[test]
fn what_two_in_lockstep_record_is_a_contradiction_of_three() {
    for event in [
        Event::Checkpoint { set: 0, pages: 3 },
        Event::RollBack { set: 0, pages: 3 },
    ] {
        let reason = against(0, |events| {
            let ballot = |event: &Event| matches!(event, Event::Ballot { epoch: 4, .. });
            let at = find(events, ballot);
            let (when, _) = events[at];
            events.insert(at, (when, event));
        });
        assert!(
            reason.contains("a checkpoint of a set that keeps none"),
            "{reason}"
        );
    }
    let mut voters = voters();
    for voter in &mut voters {
        voter.reads = |epoch| match epoch {
            4 => Some((
                VoteOutcome::NoMajority,
                VoteParties {
                    faulty: 0b010,
                    donor: 0,
                    witness: 0,
                },
            )),
            _ => (Voter::default().reads)(epoch),
        };
    }
    let reason = refused(&trace_of(voters));
    assert!(reason.contains("no pair of the majority"), "{reason}");
}
