//! A core for tests: threads with jobs at given times, run by the real scheduler.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod reference;
pub mod tokens;

use std::collections::VecDeque;
use tern_sched::{
    Observer, Posted, Replenishment, Scheduler, ServerId, ServerParameters, ThreadId,
};
use tern_units::{Duration, Instant};

pub fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

pub fn span(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// A small, seeded generator (SplitMix64), so that every failure can be replayed.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `low..=high`.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }
}

/// A thread with jobs: (release, work), in order of release.
#[derive(Clone)]
pub struct Jobs {
    pub server: usize,
    pub jobs: Vec<(u64, u64)>,
}

/// What happened.
#[derive(Default)]
pub struct Outcome {
    /// For each server, the intervals in which it ran, joined where they touch.
    pub runs: Vec<Vec<(u64, u64)>>,
    /// For each server, the entries of its list in order of posting: (time, amount).
    pub replenishments: Vec<Vec<(u64, u64)>>,
    /// For each thread, when each of its jobs finished.
    pub finished: Vec<Vec<u64>>,
    /// How often dispatch was called.
    pub dispatches: usize,
    /// How often a server with work ran out of budget.
    pub exhausted: usize,
}

struct Recorder<'a>(&'a mut Outcome);

impl Observer for Recorder<'_> {
    fn exhausted(&mut self, server: ServerId, posted: Posted) {
        self.0.exhausted += 1;
        self.replenish_posted(server, posted);
    }

    fn replenish_posted(&mut self, server: ServerId, posted: Posted) {
        let list = &mut self.0.replenishments[server.index()];
        let Replenishment { time, amount } = posted.entry;
        if amount > posted.amount {
            list.pop();
        }
        list.push((time.as_nanos(), amount.as_nanos()));
    }
}

/// Runs `threads` in `servers` until `end` with timers that fire exactly when asked.
pub fn simulate(servers: &[ServerParameters], threads: &[Jobs], end: u64) -> Outcome {
    let mut scheduler = Box::new(Scheduler::<16, 64>::new());
    let mut outcome = Outcome {
        runs: vec![Vec::new(); servers.len()],
        replenishments: vec![Vec::new(); servers.len()],
        finished: vec![Vec::new(); threads.len()],
        ..Outcome::default()
    };
    let ids: Vec<_> = servers
        .iter()
        .map(|server| scheduler.add_server(server.with_room(64)).unwrap())
        .collect();
    let mut queues: Vec<(ThreadId, VecDeque<(u64, u64)>)> = threads
        .iter()
        .map(|jobs| {
            let queue = jobs.jobs.iter().copied().collect();
            (scheduler.add_thread(ids[jobs.server]).unwrap(), queue)
        })
        .collect();
    for (thread, queue) in &queues {
        if let Some((release, _)) = queue.front() {
            scheduler.sleep_until(*thread, at(*release), &mut Recorder(&mut outcome));
        }
    }
    let mut now = 0;
    while now < end {
        let decision = scheduler.dispatch(at(now), &mut Recorder(&mut outcome));
        outcome.dispatches += 1;
        assert!(decision.timer > at(now), "a timer in the past at {now}");
        let mut next = decision.timer.as_nanos().min(end);
        let Some(thread) = decision.thread else {
            now = next;
            continue;
        };
        let (_, queue) = &mut queues[thread.index()];
        let (_, work) = queue
            .front_mut()
            .expect("only threads with work are runnable");
        let ran = (next - now).min(*work);
        next = now + ran;
        *work -= ran;
        let server = threads[thread.index()].server;
        match outcome.runs[server].last_mut() {
            Some((_, until)) if *until == now => *until = next,
            _ => outcome.runs[server].push((now, next)),
        }
        if *work == 0 {
            queue.pop_front();
            outcome.finished[thread.index()].push(next);
            match queue.front() {
                Some((release, _)) => {
                    scheduler.sleep_until(thread, at(*release), &mut Recorder(&mut outcome))
                }
                None => scheduler.block(thread, &mut Recorder(&mut outcome)),
            }
        }
        now = next;
    }
    outcome
}
