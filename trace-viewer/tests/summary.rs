//! The summary of hand-made traces, every number checked by hand.
mod common;

use common::{Replica, arbitrator, core, healthy, repaired, replica, ring, sound, with_alpha};
use tern_trace::{Core, Event, InjectedFault, Mode, Note, Trace, VoteOutcome, VoteParties};
use tern_units::Duration;
use trace_viewer::read::SoundTrace;
use trace_viewer::status::Status;
use trace_viewer::summary::{Responses, Summary, ThreadSummary};

fn thread<'a>(summary: &'a Summary, sandbox: &str, thread: &str) -> &'a ThreadSummary {
    let found = summary
        .threads()
        .find(|(s, t)| s.sandbox == sandbox && t.thread == thread);
    found.expect("the thread is in the summary").1
}

#[test]
fn a_healthy_run_is_well_and_its_numbers_are_these() {
    let summary = Summary::from_trace(&sound(&healthy()));
    assert_eq!(summary.status(), Status::Well);
    assert_eq!(summary.unsound, [""; 0]);
    assert_eq!(summary.warnings, [""; 0]);
    assert_eq!(summary.system.as_deref(), Some("pendulum"));
    // From the first program at -0.95 ms to attitude's last end at 481 ms.
    assert_eq!((summary.from_ns, summary.to_ns), (-950_000, 481_000_000));

    let attitude = thread(&summary, "beta", "attitude");
    assert_eq!(
        (attitude.released, attitude.completed, attitude.misses),
        (25, 25, 0)
    );
    let always = Responses {
        min_ns: 1_000_000,
        median_ns: 1_000_000,
        max_ns: 1_000_000,
        max_job: 24,
    };
    assert_eq!(attitude.response, Some(always));
    // Every second controller waits 1 ms for attitude.
    let controller = thread(&summary, "beta", "controller");
    let response = Responses {
        min_ns: 4_000_000,
        median_ns: 4_500_000,
        max_ns: 5_000_000,
        max_job: 8,
    };
    assert_eq!(controller.response, Some(response));
    assert_eq!(
        (controller.deadline_ns, controller.nominal),
        (Some(50_000_000), true)
    );
    assert_eq!(controller.server, "control");

    let votes = &summary.votes[0];
    assert_eq!(
        (votes.set.as_str(), votes.first_epoch, votes.last_epoch),
        ("controller", 0, 9)
    );
    assert_eq!(
        (votes.unanimous, votes.minority, votes.timeout, votes.absent),
        (10, 0, 0, 0)
    );
    assert_eq!(votes.ran_epochs.count(), 10);
    let inputs = &summary.inputs[0];
    assert_eq!((inputs.fresh, inputs.stale), (9, 1));
    assert_eq!(inputs.stale_epochs.to_string(), "2");
    assert_eq!(summary.steady_exits(), Some(0));
    assert_eq!(summary.sandboxes[0].exits.total, 40);
    assert_eq!(summary.sandboxes[0].pages_hashed, 10);
}

/// It is frozen before the first command, which asks for the input of epoch 2.
#[test]
fn the_input_of_epoch_1_is_not_stale_for_nobody_has_asked_for_one() {
    let mut voter = arbitrator(10, &[]);
    for (_, event) in &mut voter {
        if let Event::Input { epoch, fresh, .. } = event {
            *fresh = *epoch > 2;
        }
    }
    let mut trace = healthy();
    trace.cores[3] = core("arbitrator", voter, &[30]);
    let inputs = &Summary::from_trace(&sound(&trace)).inputs[0];
    assert_eq!((inputs.fresh, inputs.stale), (8, 1));
    assert_eq!(inputs.stale_epochs.to_string(), "2");
}

#[test]
fn bounds_stand_beside_what_was_measured() {
    // Neither exhausts its server: the job, and what is above it. Controller: 4 + 2 ms;
    // attitude, on top: 1 ms.
    let summary = Summary::from_trace(&sound(&healthy()));
    let controller = thread(&summary, "beta", "controller");
    assert_eq!(
        (controller.bound_ns, controller.above_bound),
        (Some(6_000_000), 0)
    );
    let attitude = thread(&summary, "beta", "attitude");
    assert_eq!(
        (attitude.bound_ns, attitude.above_bound),
        (Some(1_000_000), 0)
    );

    assert_eq!(
        (&summary.exceeded[..], &summary.not_judged[..]),
        (&[][..], &[][..])
    );
}

/// Attitude is promised 1.5 ms here, and takes 2 ms in jobs 3 and 7.
#[test]
fn a_response_above_its_bound_is_judged_and_named() {
    let alpha = Replica {
        length: |job| if job == 3 || job == 7 { 2_000 } else { 1_000 },
        ..Replica::default()
    };
    let mut trace = with_alpha(core("alpha", alpha.records(10), &[40]));
    let bound = |trace: &mut Trace, micros| {
        let promises = trace.promises.as_mut().unwrap();
        promises.sandboxes[0].threads[1] = Some(Duration::from_micros(micros));
    };
    bound(&mut trace, 1_500);
    let summary = Summary::from_trace(&sound(&trace));
    assert_eq!(thread(&summary, "alpha", "attitude").above_bound, 2);
    assert_eq!(summary.status(), Status::Late);
    let text = summary.to_string();
    let line =
        "\nabove its bound: alpha attitude job 7 took 2ms, its bound is 1.5ms (2 such jobs)\n";
    assert!(text.contains(line), "{text}");
    let end = "verdict: no deadline missed, 2 responses above their bounds\n";
    assert!(text.ends_with(end), "{text}");

    // To the nanosecond.
    for (micros, above) in [(2_000, 0), (1_999, 2)] {
        bound(&mut trace, micros);
        let summary = Summary::from_trace(&sound(&trace));
        assert_eq!(thread(&summary, "alpha", "attitude").above_bound, above);
    }
}

/// What no bound in the trace is one on is said, not judged: bounds without a machine's costs,
/// or none at all.
#[test]
fn bounds_that_do_not_count_here_are_not_judged_and_that_is_said() {
    let mut trace = healthy();
    let promises = trace.promises.as_mut().unwrap();
    promises.sandboxes[0].threads[1] = Some(Duration::from_micros(10));
    assert_eq!(Summary::from_trace(&sound(&trace)).status(), Status::Late);

    trace.promises.as_mut().unwrap().platform = None;
    let summary = Summary::from_trace(&sound(&trace));
    assert_eq!(summary.status(), Status::Well);
    let without = "bounds: they are without costs, which a machine's kernel has";
    assert_eq!(summary.not_judged, [without]);
    let text = summary.to_string();
    assert!(text.contains(&format!("not judged: {without}\n")), "{text}");
    assert!(
        text.ends_with("no deadline missed; not all bounds are judged\n"),
        "{text}"
    );

    trace.promises = None;
    let summary = Summary::from_trace(&sound(&trace));
    assert_eq!(summary.not_judged, ["bounds: the trace carries none"]);
    assert_eq!(thread(&summary, "alpha", "attitude").bound_ns, None);
}

#[test]
fn servers_are_charged_with_what_their_threads_ran() {
    let summary = Summary::from_trace(&sound(&healthy()));
    let [control, attitude] = &summary.sandboxes[0].servers[..] else {
        panic!("two servers")
    };
    assert_eq!((control.runs, control.busy_ns), (10, 40_000_000));
    assert_eq!((control.posted, control.posted_ns), (10, 40_000_000));
    // 40 ms of 10 ms in each of the 10 periods that have begun by 481 ms.
    assert_eq!(control.budget_use_per_mille, 400);
    assert_eq!((attitude.runs, attitude.busy_ns), (25, 25_000_000));
    // 25 ms of 2 ms in each of 25 periods.
    assert_eq!(attitude.budget_use_per_mille, 500);
    assert_eq!(attitude.exhaustions, 0);
}

#[test]
fn a_repair_is_told_from_the_vote_to_the_return() {
    let summary = Summary::from_trace(&sound(&repaired()));
    assert_eq!(summary.status(), Status::Well);
    let votes = &summary.votes[0];
    assert_eq!((votes.unanimous, votes.minority), (8, 2));
    let first = &votes.disagreements[0];
    assert_eq!((first.epoch, first.outcome), (3, "minority"));
    assert_eq!(first.faulty, ["beta"]);
    assert_eq!(
        (first.donor.as_deref(), first.witness.as_deref()),
        (Some("alpha"), Some("gamma"))
    );

    let [repair] = &summary.repairs[..] else {
        panic!("one repair")
    };
    assert_eq!(
        (repair.set.as_str(), repair.sandbox.as_str()),
        ("controller", "beta")
    );
    assert_eq!(repair.detected_epoch, Some(3));
    assert_eq!(repair.detected_ns, Some(170_500_000));
    assert_eq!(repair.started_ns, 182_000_000);
    assert_eq!(repair.duration_ns, Some(50_400_000));
    assert_eq!((repair.rounds, repair.differing, repair.copied), (2, 3, 3));
    assert_eq!(repair.pages, [4, 9, 70]);
    assert_eq!((repair.result, repair.rejoined_epoch), ("done", Some(5)));

    let text = summary.to_string();
    let line = "controller in beta: from 182.000ms, 3 pages differing, 3 copied in 2 rounds, \
                done after 50.4ms; detected in epoch 3; rejoined in epoch 5";
    assert!(text.contains(line), "{text}");
    assert!(
        text.contains("epoch 3 at 170.500ms: minority, against beta, donor alpha"),
        "{text}"
    );
    assert!(
        text.ends_with("verdict: no deadline missed, every bound held\n"),
        "{text}"
    );
}

/// Beta's controller stops after three jobs; from epoch 3 on the others outvote it.
fn stopped() -> Trace {
    let timeout = VoteParties {
        faulty: 0b010,
        donor: 0,
        witness: 2,
    };
    let others = [3, 4, 5, 6, 7, 8, 9].map(|epoch| (epoch, VoteOutcome::Timeout, timeout));
    let beta = Replica {
        jobs: 3,
        ..Replica::default()
    };
    let mut trace = healthy();
    trace.cores[1] = core("beta", beta.records(10), &[40]);
    trace.cores[3] = core("arbitrator", arbitrator(10, &others), &[30]);
    trace
}

#[test]
fn a_replica_that_stops_is_late_from_its_first_absent_job_on() {
    let summary = Summary::from_trace(&sound(&stopped()));
    assert_eq!(summary.votes[0].timeout, 7);
    // Jobs 3 to 8; job 9, due at 500 ms, is past the end at 481 ms.
    let controller = thread(&summary, "beta", "controller");
    assert_eq!((controller.absent, controller.misses), (6, 6));
    assert_eq!(controller.missed_jobs.to_string(), "3 to 8");
    let text = summary.to_string();
    let line = "  missed: beta controller in job 3 to 8 (6 of them were never released)\n";
    assert!(text.contains(line), "{text}");
    assert_eq!(thread(&summary, "beta", "attitude").misses, 0);
    assert_eq!(summary.status(), Status::Late);
}

/// The same after a fault that was injected into it: what it misses until it is back is told
/// apart, if a vote found it. What others miss, and it before, counts.
#[test]
fn what_a_replica_misses_while_a_fault_keeps_it_out_is_counted_apart() {
    let misses = |first_epoch: u32, sandbox: u16| {
        let mut trace = stopped();
        trace.notes.push(Note {
            tsc: Some(common::at(140_000)),
            sandbox: Some(sandbox),
            text: "its program was stopped".to_string(),
            fault: Some(InjectedFault {
                class: "silent".to_string(),
                thread: 0,
                epoch: first_epoch,
                held: None,
            }),
        });
        let summary = Summary::from_trace(&sound(&trace));
        let controller = thread(&summary, "beta", "controller");
        (
            controller.misses,
            controller.misses_while_out,
            summary.status(),
        )
    };
    assert_eq!(misses(3, 1), (0, 6, Status::Well));
    assert_eq!(misses(5, 1), (2, 4, Status::Late));
    assert_eq!(
        misses(3, 0),
        (6, 0, Status::Late),
        "another replica was hit"
    );
}

#[test]
fn exits_from_the_first_reading_to_the_last_epoch_are_in_the_steady_state() {
    let mut events = replica(10);
    events.push((
        60_000,
        Event::Exit {
            reason: 3,
            count: 2,
        },
    ));
    events.push((
        480_500,
        Event::Exit {
            reason: 0,
            count: 1,
        },
    ));
    let trace = with_alpha(core("alpha", events, &[42, 0, 0, 2]));
    let summary = Summary::from_trace(&sound(&trace));
    let exits = &summary.sandboxes[0].exits;
    // The last ballot is at 453.5 ms: the reading at 480.5 ms is after the last epoch, and
    // the hypervisor counted one more that the kernel never read.
    assert_eq!((exits.total, exits.steady), (44, Some(2)));
    let reasons: Vec<_> = exits
        .by_reason
        .iter()
        .map(|e| (e.reason.as_str(), e.total, e.steady))
        .collect();
    assert_eq!(reasons, [("hypercall", 42, Some(0)), ("msr", 2, Some(2))]);
}

/// Where each reason looks through all readings this takes a minute.
#[test]
fn as_many_reasons_to_exit_as_there_are_numbers_are_counted_in_one_go() {
    let reasons = 0..=u16::MAX;
    let reading = |reason| (60_000, Event::Exit { reason, count: 2 });
    let words = ring(reasons.map(reading).collect(), Mode::Stream, 1 << 16);
    let mut trace = with_alpha(Core::from_words("alpha", &words, &[2; 1 << 16]));
    trace.exit_reasons = vec!["other".to_string(); 1 << 16];
    let summary = Summary::from_trace(&sound(&trace));
    let exits = &summary.sandboxes[0].exits;
    assert_eq!((exits.by_reason.len(), exits.total), (1 << 16, 1 << 17));
}

#[test]
fn exits_that_no_record_dates_are_not_called_zero() {
    let mut events = replica(10);
    events.retain(|(_, event)| !matches!(event, Event::Exit { .. }));
    let with_exits = |count| {
        let trace = with_alpha(core("alpha", events.clone(), &[count]));
        let summary = Summary::from_trace(&sound(&trace));
        (summary.sandboxes[0].exits.steady, summary.to_string())
    };
    let (steady, text) = with_exits(40);
    assert_eq!(steady, None);
    assert!(text.contains("not recorded"));
    assert_eq!(with_exits(0).0, Some(0));
}

#[test]
fn a_trace_with_losses_or_damage_is_never_a_pass() {
    let small = |mode| Core::from_words("alpha", &ring(replica(10), mode, 128), &[40]);
    let dropped = small(Mode::Stream);
    let overwritten = small(Mode::Overwrite);
    let damaged = Core::from_words("alpha", &[], &[]);
    for (case, core, reason) in [
        ("dropped", dropped, "records dropped"),
        ("overwritten", overwritten, "records overwritten"),
        ("damaged", damaged, "trace ring truncated"),
    ] {
        let trace = with_alpha(core);
        let summary = Summary::from_trace(&sound(&trace));
        assert_eq!(summary.status(), Status::Unsound, "{case}");
        assert!(
            summary.unsound.iter().any(|line| line.contains(reason)),
            "{:?}",
            summary.unsound
        );
    }
}

/// Without a description nothing is known of threads, but that time does not run backwards.
#[test]
fn a_trace_without_its_description_still_has_numbers() {
    let mut trace = healthy();
    trace.system = Vec::new();
    trace.promises = None;
    let summary = Summary::from_trace(&sound(&trace));
    assert_eq!(summary.system, None);
    assert_eq!(summary.warnings.len(), 1);
    assert_eq!(thread(&summary, "alpha", "thread 0").completed, 10);
    assert_eq!(summary.votes[0].unanimous, 10);

    trace.cores[1].records.last_mut().unwrap().tsc = common::EPOCH;
    let contradiction = SoundTrace::of(&trace).unwrap_err();
    assert!(
        contradiction.reason.contains("backwards"),
        "{contradiction}"
    );
}

#[test]
fn remarks_from_outside_are_shown_with_their_time_and_place() {
    let mut trace = healthy();
    trace.notes.push(Note {
        tsc: Some(common::at(1_500)),
        sandbox: Some(2),
        text: "flipped bit 3 of page 7".to_string(),
        fault: None,
    });
    let text = Summary::from_trace(&sound(&trace)).to_string();
    assert!(
        text.contains("from outside\n  1.500ms gamma flipped bit 3 of page 7"),
        "{text}"
    );
}
