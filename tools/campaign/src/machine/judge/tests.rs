//! Runs of one thread, recorded by hand: what is judged to have broken a promise.
use super::*;
use std::sync::atomic::AtomicU64;
use tern_config::{Server, System, Thread};
use tern_trace::{Core, HEADER_WORDS, Mode, Origin, Ring, Trace};
use tern_units::TscFrequency;
use xtask::boot::Booted;
use xtask::emulator::bochs::Stop;

/// The period of the thread, and its deadline.
const PERIOD: u64 = 1_000;

/// A run of a thread that is released each [`PERIOD`] microseconds, and whose jobs take
/// `responses`, in microseconds; it met a doorbell, a device's interrupt and a budget's end.
fn ran(responses: &[u64]) -> Ran {
    let thread = Thread {
        name: "t0".into(),
        wcet: 100_000,
        period: PERIOD * 1_000,
        deadline: PERIOD * 1_000,
        ..Thread::default()
    };
    let server = Server {
        name: "v0".into(),
        budget: 100_000,
        period: PERIOD * 1_000,
        deadline: PERIOD * 1_000,
        threads: vec![thread],
        ..Server::default()
    };
    let sandbox = Sandbox {
        name: "s0".into(),
        servers: vec![server],
        ..Sandbox::default()
    };
    let system = System {
        sandboxes: vec![sandbox],
        ..System::default()
    };

    let memory: Vec<_> = (0..HEADER_WORDS + 512).map(|_| AtomicU64::new(0)).collect();
    let mut ring = Ring::format(&memory, Mode::Stream).unwrap();
    for (job, response) in (0..).zip(responses) {
        let (release, thread) = (u64::from(job) * PERIOD, 0);
        ring.push_event(release, Event::Release { thread, job });
        for vector in [DOORBELL_VECTOR, TIMER_VECTOR, 0x40] {
            ring.push_event(release, Event::InterruptIn { vector });
        }
        ring.push_event(release + response, Event::Complete { thread, job });
    }
    let words: Vec<_> = memory.into_iter().map(AtomicU64::into_inner).collect();
    let trace = Trace {
        origin: Origin::Machine,
        promises: None,
        tsc: TscFrequency::from_hertz(1_000_000).unwrap(),
        epoch_tsc: 0,
        build: "test".into(),
        system: postcard::to_allocvec(&system).unwrap(),
        exit_reasons: Vec::new(),
        cores: vec![Core::from_words("s0", &words, &[])],
        notes: Vec::new(),
    };
    Ran {
        system,
        booted: Booted {
            stop: Stop { ticks: 0 },
            console: Vec::new(),
            trace,
            exits: Vec::new(),
            violations: vec![None],
        },
    }
}

fn judged(responses: &[u64], bound: u64) -> (Vec<String>, Met) {
    judge(&ran(responses), &vec![vec![Duration::from_micros(bound)]])
}

#[test]
fn a_response_up_to_its_bound_is_right_and_all_that_was_met_is_counted() {
    let (broken, met) = judged(&[10, 60, 20], 60);
    assert_eq!(broken, [""; 0]);
    let expected = Met {
        systems: 1,
        jobs: 3,
        interrupts: 3,
        doorbells: 3,
        near: 1,
        nearest: 100,
        ..Met::default()
    };
    assert_eq!(met, expected);
}

#[test]
fn a_response_above_its_bound_is_told_with_its_job() {
    let (broken, met) = judged(&[10, 61, 20], 60);
    assert_eq!(broken, ["s0/v0/t0: job 1 took 61us, its bound is 60us"]);
    assert_eq!(met.nearest, 101);
}

#[test]
fn a_deadline_that_was_missed_is_told_whatever_the_bound() {
    let (broken, _) = judged(&[10, 1_200, 20], 2_000);
    assert_eq!(broken, ["s0/v0/t0: 1 deadlines missed, jobs 1"]);
}

#[test]
fn a_thread_without_a_job_is_told() {
    let (broken, met) = judged(&[], 60);
    assert_eq!(broken, ["s0/v0/t0: not one job was released"]);
    assert_eq!(met.jobs, 0);
}
