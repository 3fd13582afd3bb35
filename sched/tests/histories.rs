//! Random histories of one sporadic server: a million in a release build.
//!
//! After every step: the budget is conserved, the list is in order and within its
//! capacity, no unit returns earlier than its activation plus the period, and over the
//! whole history the server took no more from lower priorities than a periodic task.
mod common;
use common::tokens::Tokens;
use common::{Random, at, span};
use tern_sched::{Replenishment, ServerParameters, SporadicServer};

const HISTORIES: u64 = if cfg!(debug_assertions) {
    40_000
} else {
    1_000_000
};
const STEPS: usize = 24;

/// A server in the middle of a history.
struct History {
    server: SporadicServer,
    room: u32,
    budget: u64,
    period: u64,
    now: u64,
    active: bool,
    /// Whether lower priorities ran last.
    idle: bool,
    /// When the server or a higher priority took the core from lower ones.
    busy_since: Vec<u64>,
    runs: Vec<(u64, u64)>,
}

fn units(server: &SporadicServer) -> Vec<u64> {
    let ticks = |chunk: Replenishment| {
        let time = chunk.time.as_nanos();
        time..time + chunk.amount.as_nanos()
    };
    server.replenishments().flat_map(ticks).collect()
}

impl History {
    fn new(random: &mut Random, room: u32) -> Self {
        let period = random.within(1, 20);
        let budget = random.within(1, period.min(10));
        let minimum = if random.within(0, 3) == 0 {
            random.within(0, budget)
        } else {
            0
        };
        let parameters = ServerParameters::sporadic(span(budget), span(period), 0)
            .with_minimum_budget(span(minimum))
            .with_room(room);
        Self {
            server: SporadicServer::new(parameters, at(0)).unwrap(),
            room,
            budget,
            period,
            now: 0,
            active: false,
            idle: true,
            busy_since: Vec::new(),
            runs: Vec::new(),
        }
    }

    fn step(&mut self, random: &mut Random, overruns: bool) {
        match random.within(0, 9) {
            0 | 1 => self.idle_for(random.within(1, self.period + 3)),
            2 | 3 => {
                if random.within(0, 1) == 0 {
                    self.wake();
                }
                self.take_core();
                self.now += random.within(1, self.period);
            }
            _ => self.run(random, overruns),
        }
        self.check_list();
    }

    fn wake(&mut self) {
        if !self.active {
            self.active = true;
            let before = units(&self.server);
            self.server.unblock(at(self.now));
            assert!(
                units(&self.server)
                    .iter()
                    .zip(&before)
                    .all(|(after, before)| after >= before)
            );
        }
    }

    fn idle_for(&mut self, span: u64) {
        self.active = false;
        self.idle = true;
        self.now += span;
    }

    fn take_core(&mut self) {
        if self.idle {
            self.idle = false;
            self.busy_since.push(self.now);
        }
    }

    fn run(&mut self, random: &mut Random, overruns: bool) {
        self.wake();
        let available = self.server.available(at(self.now)).as_nanos();
        if available == 0 {
            // It waits, and lower priorities run.
            self.idle = true;
            self.now = self.server.head().time.as_nanos();
            return;
        }
        self.take_core();
        let late = if overruns && random.within(0, 3) == 0 {
            random.within(1, 30)
        } else {
            0
        };
        let used = if late > 0 {
            available + late
        } else {
            random.within(1, available)
        };
        self.charge(used);
        self.runs.push((self.now, self.now + used));
        self.now += used;
    }

    /// Each unit returns no earlier than in the model with single units and no limits.
    fn charge(&mut self, used: u64) {
        let before = units(&self.server);
        let mut model = Tokens {
            period: self.period,
            groups: usize::MAX,
            ticks: before.clone(),
        };
        model.charge(used);
        let budget = self.budget;
        let activation = self.server.head().time.as_nanos();
        let period = self.period;
        self.server.charge(span(used), |posted| {
            assert!(posted.time.as_nanos() >= activation + period);
            assert!(posted.amount.as_nanos() <= budget);
            assert!(posted.entry.amount >= posted.amount);
        });
        let ours = units(&self.server);
        let later = ours
            .iter()
            .zip(&model.ticks)
            .all(|(ours, least)| ours >= least);
        assert!(
            later,
            "{used} of {before:?}: {ours:?}, not {:?}",
            model.ticks
        );
    }

    fn check_list(&self) {
        let list: Vec<_> = self.server.replenishments().collect();
        let amounts = list.iter().map(|chunk| chunk.amount.as_nanos());
        assert_eq!(amounts.sum::<u64>(), self.budget, "conservation: {list:?}");
        assert!(list.len() <= self.room as usize);
        assert!(
            list.windows(2)
                .all(|pair| pair[0].time + pair[0].amount < pair[1].time),
            "order: {list:?}"
        );
    }

    fn check_interference(&self) {
        for since in &self.busy_since {
            let mut ran = 0;
            for (start, end) in self.runs.iter().filter(|run| run.0 >= *since) {
                ran += end - start;
                let allowed = self.budget * (end - since).div_ceil(self.period);
                assert!(
                    ran <= allowed,
                    "{ran} from {since} to {end}: {:?}",
                    self.runs
                );
            }
        }
    }
}

fn play(room: u32, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut random = Random(seed);
        let overruns = random.within(0, 2) == 0;
        let mut history = History::new(&mut random, room);
        for _ in 0..STEPS {
            history.step(&mut random, overruns);
        }
        if !overruns {
            history.check_interference();
        }
    }
}

#[test]
fn no_random_history_breaks_a_rule() {
    let quarter = HISTORIES / 4;
    play(1, 0..quarter);
    play(2, quarter..2 * quarter);
    play(4, 2 * quarter..3 * quarter);
    play(16, 3 * quarter..HISTORIES);
}
