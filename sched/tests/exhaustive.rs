//! Exhaustive small scope: every history of arrivals, preemptions and late timers of
//! every small server, against an independent model that keeps single units of budget.
mod common;
use common::tokens::Tokens;
use common::{at, span};
use std::collections::HashSet;
use tern_sched::{ServerParameters, SporadicServer};

const HORIZON: u64 = 24;

/// What happens in a tick.
#[derive(Clone, Copy, PartialEq)]
enum Tick {
    /// The server has nothing to do.
    Idle,
    /// It has work, and a higher priority has the core.
    Preempted,
    /// It has work and the core, if it has budget.
    Free,
    /// The same, and it keeps the core although its budget is used up: a late timer.
    Overrun,
}

/// The server and the model in step, with the harness's part: when to charge.
#[derive(Clone)]
struct Both {
    server: SporadicServer,
    model: Tokens,
    active: bool,
    /// Ticks run since the last charge.
    ran: u64,
}

impl Both {
    fn new(budget: u64, period: u64, room: u32) -> Self {
        let parameters = ServerParameters::sporadic(span(budget), span(period), 0);
        Self {
            server: SporadicServer::new(parameters.with_room(room), at(0)).unwrap(),
            model: Tokens::new(budget, period, room as usize),
            active: false,
            ran: 0,
        }
    }

    fn charge(&mut self) {
        if self.ran > 0 {
            self.server.charge(span(self.ran), |_| ());
            self.model.charge(self.ran);
            self.ran = 0;
        }
    }

    /// Plays one tick; false if it is not different from another kind of tick.
    fn step(&mut self, now: u64, tick: Tick) -> bool {
        if self.ran > 0 && tick != Tick::Overrun && self.ran >= self.model.first_group() {
            self.charge();
        }
        if tick == Tick::Idle {
            self.charge();
            self.active = false;
            return true;
        }
        if !self.active {
            self.active = true;
            self.server.unblock(at(now));
            self.model.unblock(now);
        }
        if tick == Tick::Preempted {
            self.charge();
            return true;
        }
        let late = self.ran > 0 && self.ran >= self.model.first_group();
        if tick == Tick::Overrun && (!late || self.ran >= self.model.first_group() + 2) {
            return false;
        }
        let may_run = !self.server.available(at(now)).is_zero();
        assert_eq!(may_run, self.model.may_run(now), "whether it runs at {now}");
        if may_run {
            self.ran += 1;
        }
        true
    }

    fn chunks(&self) -> Vec<(u64, u64)> {
        self.server
            .replenishments()
            .map(|chunk| (chunk.time.as_nanos(), chunk.amount.as_nanos()))
            .collect()
    }
}

/// Plays every history, merging those that have led to the same state. Returns how many
/// states there were.
fn explore(budget: u64, period: u64, room: u32) -> usize {
    let mut states = vec![Both::new(budget, period, room)];
    let mut count = 0;
    for now in 0..HORIZON {
        let mut seen = HashSet::new();
        let mut next = Vec::new();
        for state in &states {
            for tick in [Tick::Idle, Tick::Preempted, Tick::Free, Tick::Overrun] {
                let mut after = state.clone();
                if !after.step(now, tick) {
                    continue;
                }
                let chunks = after.chunks();
                assert_eq!(
                    chunks,
                    after.model.chunks(),
                    "({budget}, {period}) after {now}"
                );
                assert_eq!(chunks.iter().map(|chunk| chunk.1).sum::<u64>(), budget);
                assert!(chunks.len() <= room as usize);
                if seen.insert((after.model.ticks.clone(), after.active, after.ran)) {
                    next.push(after);
                }
            }
        }
        count += next.len();
        states = next;
    }
    count
}

#[test]
fn every_history_of_every_small_server_agrees_with_the_model_of_single_units() {
    let mut count = 0;
    for budget in 1..=3 {
        for period in budget..=6 {
            count += explore(budget, period, 2);
            count += explore(budget, period, 3);
            count += explore(budget, period, 4);
        }
    }
    assert!(
        count > 10_000,
        "only {count} states: the histories are not all played"
    );
}
