//! What is judged to have broken a promise, by a thread's numbers, and what of a trace is counted.
use super::*;
use trace_viewer::ranges::Ranges;
use trace_viewer::summary::Responses;

/// A thread all of whose jobs took 60 us but one, its second, which took `longest`.
fn thread(longest: i64) -> ThreadSummary {
    ThreadSummary {
        thread: "t0".into(),
        server: "v0".into(),
        released: 3,
        completed: 3,
        unfinished: 0,
        response: Some(Responses {
            min_ns: 60_000,
            median_ns: 60_000,
            max_ns: longest,
            max_job: 1,
        }),
        deadline_ns: Some(100_000),
        bound_ns: None,
        above_bound: 0,
        longest_above: None,
        misses: 0,
        absent: 0,
        recorded_misses: 0,
        missed_jobs: Ranges::default(),
        misses_while_out: 0,
        misses_while_held: 0,
        nominal: true,
        closest_ns: None,
        too_close: 0,
    }
}

const BOUND: Duration = Duration::from_micros(80);

#[test]
fn a_response_up_to_its_bound_is_right_and_a_nanosecond_more_is_told_with_its_job() {
    assert_eq!(late("s0/v0/t0", &thread(80_000), BOUND), [""; 0]);
    assert_eq!(
        late("s0/v0/t0", &thread(80_001), BOUND),
        ["s0/v0/t0: job 1 took 80001ns, its bound is 80000ns"]
    );
}

#[test]
fn a_missed_deadline_is_told_whatever_the_responses() {
    let missed = ThreadSummary {
        misses: 2,
        ..thread(60_000)
    };
    let told = late("s0/v0/t0", &missed, BOUND);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("s0/v0/t0: 2 deadlines missed, jobs"),
        "{told:?}"
    );
}

#[test]
fn interrupts_are_the_timers_a_doorbells_or_a_devices() {
    let mut met = Met::default();
    for vector in [TIMER_VECTOR, DOORBELL_VECTOR, DOORBELL_VECTOR, 0x40] {
        count(Event::InterruptIn { vector }, &mut met);
        count(Event::InterruptOut { vector }, &mut met);
    }
    let expected = Met {
        interrupts: 1,
        doorbells: 2,
        ..Met::default()
    };
    assert_eq!(met, expected);
}
