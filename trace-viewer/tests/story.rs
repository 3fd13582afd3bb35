//! Stories of hand-made jobs.
mod common;

use common::{Events, core, healthy, instant, replica, simulated, sound, with_alpha};
use tern_trace::Event;
use trace_viewer::story::{Span, Story, Why};

fn spans(story: &Story) -> Vec<(i64, i64, Option<&str>, Why)> {
    let micros = |span: &Span| (span.from_ns / 1_000, span.to_ns / 1_000);
    story
        .spans
        .iter()
        .map(|span| {
            (
                micros(span).0,
                micros(span).1,
                span.thread.as_deref(),
                span.why,
            )
        })
        .collect()
}

#[test]
fn a_job_that_waits_for_another_says_for_which_and_how_long() {
    // Controller job 2 is released at 100 ms, as attitude is, which goes first for 1 ms.
    let story = Story::of(&sound(&healthy()), 1, 0, 2).unwrap();
    assert_eq!(
        spans(&story),
        [
            (100_000, 101_000, Some("attitude"), Why::Preempted),
            (101_000, 105_000, Some("controller"), Why::Running),
        ]
    );
    assert_eq!(story.released_ns, 100_000_000);
    assert_eq!(story.completed_ns, Some(105_000_000));
    assert_eq!(story.deadline_ns, Some(150_000_000));
    assert_eq!(story.others(), [("attitude".to_string(), 1_000_000)]);
}

/// Control has 10 ms of 50; its thread is released at 0 and, with a job of 4 ms, at 30 ms.
/// Attitude, above it, uses up 2 ms of budget from 20 ms on, and takes 3.
#[test]
fn a_late_job_is_explained_by_its_lack_of_budget_and_its_waits() {
    let text = r#"
        [system]
        name = "late"
        [[sandbox]]
        name = "alpha"
        core = 0
          [[sandbox.server]]
          name = "attitude"
          budget = "2ms"
          period = "20ms"
            [[sandbox.server.thread]]
            name = "attitude"
            jobs = [{ at = "20ms", work = "3ms" }]
          [[sandbox.server]]
          name = "control"
          budget = "10ms"
          period = "50ms"
            [[sandbox.server.thread]]
            name = "controller"
            jobs = [{ at = "0ms", work = "5ms" }, { at = "19ms", work = "8ms" }]
    "#;
    let trace = simulated(text, 70);
    let trace = sound(&trace);
    // Its second job: 1 ms from 19 ms on, then attitude's 2 ms, then the 4 ms that are left of
    // 10; the rest when the 5 that the first job used come back, at 50 ms.
    let story = Story::of(&trace, 0, 1, 1).unwrap();
    assert_eq!(
        (story.released_ns, story.noticed_ns),
        (19_000_000, Some(19_000_000))
    );
    assert_eq!(
        spans(&story),
        [
            (19_000, 20_000, Some("controller"), Why::Running),
            (20_000, 22_000, Some("attitude"), Why::Preempted),
            (22_000, 26_000, Some("controller"), Why::Running),
            (26_000, 40_000, None, Why::NoBudget),
            (40_000, 41_000, Some("attitude"), Why::NoBudget),
            (41_000, 50_000, None, Why::NoBudget),
            (50_000, 53_000, Some("controller"), Why::Running),
        ]
    );
    let times = [Why::Running, Why::NoBudget, Why::Preempted];
    assert_eq!(
        times.map(|why| story.time(why)),
        [8_000_000, 24_000_000, 2_000_000]
    );
    assert_eq!(story.others(), [("attitude".to_string(), 3_000_000)]);
}

/// The controller has the core from 50 to 54 ms; attitude's timer fires a millisecond late, at
/// 61 ms.
#[test]
fn a_release_that_is_noticed_late_finds_the_job_wanting_the_core_and_not_blocked() {
    let late = |(at, event): (i64, Event)| match (60_000..61_001).contains(&at) {
        true => (at + 1_000, event),
        false => (at, event),
    };
    let mut events: Events = replica(10).into_iter().map(late).collect();
    for (at, event) in &mut events {
        // What was used returns after its activation, which was on time.
        if let (62_000, Event::ReplenishPosted { at, .. }) = (*at, event) {
            assert_eq!(*at, instant(80_000));
        }
    }
    let trace = with_alpha(core("alpha", events, &[40]));
    let story = Story::of(&sound(&trace), 0, 1, 3).unwrap();
    assert_eq!(
        spans(&story),
        [
            (60_000, 61_000, None, Why::Waking),
            (61_000, 62_000, Some("attitude"), Why::Running),
        ]
    );
}

#[test]
fn a_job_that_the_trace_does_not_know_has_no_story() {
    let trace = healthy();
    let trace = sound(&trace);
    assert!(Story::of(&trace, 0, 1, 25).is_none());
    assert!(Story::of(&trace, 0, 7, 0).is_none());
    assert!(Story::of(&trace, 9, 0, 0).is_none());
}
