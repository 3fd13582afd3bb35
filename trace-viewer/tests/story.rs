//! Stories of hand-made jobs.
mod common;

use common::{core, healthy, trace_of};
use tern_trace::Event;
use tern_units::{Duration, Instant};
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
    let story = Story::of(&healthy(), 1, 0, 2).unwrap();
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

#[test]
fn a_late_job_is_explained_by_its_lack_of_budget_and_its_waits() {
    let trace = trace_of(vec![core(
        "alpha",
        vec![
            (0, Event::Switch { thread: Some(0) }),
            // Attitude's release at 20 ms is noticed 1 ms late.
            (21_000, Event::Release { thread: 1, job: 1 }),
            (21_000, Event::Switch { thread: Some(1) }),
            (22_000, Event::Block { thread: 1 }),
            (22_000, Event::Switch { thread: None }),
            (25_000, Event::Switch { thread: Some(1) }),
            (
                26_000,
                Event::Exhaust {
                    server: 1,
                    amount: Duration::from_millis(2),
                    at: Instant::from_nanos(41_000_000),
                },
            ),
            (26_000, Event::Switch { thread: Some(0) }),
            (30_000, Event::Switch { thread: None }),
            (41_000, Event::Switch { thread: Some(1) }),
            (42_000, Event::Complete { thread: 1, job: 1 }),
        ],
        &[],
    )]);
    let story = Story::of(&trace, 0, 1, 1).unwrap();
    assert_eq!(
        (story.released_ns, story.noticed_ns),
        (20_000_000, Some(21_000_000))
    );
    assert_eq!(
        spans(&story),
        [
            (20_000, 21_000, Some("controller"), Why::Preempted),
            (21_000, 22_000, Some("attitude"), Why::Running),
            (22_000, 25_000, None, Why::Blocked),
            (25_000, 26_000, Some("attitude"), Why::Running),
            (26_000, 30_000, Some("controller"), Why::NoBudget),
            (30_000, 41_000, None, Why::NoBudget),
            (41_000, 42_000, Some("attitude"), Why::Running),
        ]
    );
    let times = [Why::Running, Why::NoBudget, Why::Blocked, Why::Preempted];
    assert_eq!(
        times.map(|why| story.time(why)),
        [3_000_000, 15_000_000, 3_000_000, 1_000_000]
    );
    assert_eq!(story.others(), [("controller".to_string(), 5_000_000)]);
}

/// Attitude has blocked until 20 ms. The controller has the core then, and nobody from 21 ms
/// to when the kernel notices the release.
#[test]
fn a_release_that_is_noticed_late_finds_the_job_wanting_the_core_and_not_blocked() {
    let trace = trace_of(vec![core(
        "alpha",
        vec![
            (0, Event::Release { thread: 1, job: 0 }),
            (0, Event::Switch { thread: Some(1) }),
            (1_000, Event::Complete { thread: 1, job: 0 }),
            (1_000, Event::Block { thread: 1 }),
            (1_000, Event::Switch { thread: Some(0) }),
            (21_000, Event::Switch { thread: None }),
            (22_000, Event::Release { thread: 1, job: 1 }),
            (22_000, Event::Switch { thread: Some(1) }),
            (23_000, Event::Complete { thread: 1, job: 1 }),
        ],
        &[],
    )]);
    let story = Story::of(&trace, 0, 1, 1).unwrap();
    assert_eq!(
        spans(&story),
        [
            (20_000, 21_000, Some("controller"), Why::Preempted),
            (21_000, 22_000, None, Why::Waking),
            (22_000, 23_000, Some("attitude"), Why::Running),
        ]
    );
}

#[test]
fn a_job_that_the_trace_does_not_know_has_no_story() {
    assert!(Story::of(&healthy(), 0, 1, 25).is_none());
    assert!(Story::of(&healthy(), 0, 7, 0).is_none());
    assert!(Story::of(&healthy(), 9, 0, 0).is_none());
}
