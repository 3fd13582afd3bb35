//! The three defects of the POSIX sporadic server (Stanovich, Baker, Wang, Harbour, RTAS
//! 2010), each against a server that has it.
//!
//! A server on top of all others must not take more of the core from them than a periodic
//! task (C, T): in no window of length t more than C·⌈t/T⌉.
mod common;
use common::{at, span};
use tern_sched::{ServerParameters, SporadicServer};

/// What the four servers have in common, in ticks.
trait Budget {
    fn new(budget: u64, period: u64) -> Self;
    fn available(&mut self, now: u64) -> u64;
    fn charge(&mut self, used: u64);
    fn unblock(&mut self, now: u64);

    /// Whether it runs without budget where nothing else does.
    fn runs_in_background(&self) -> bool {
        false
    }
}

impl Budget for SporadicServer {
    fn new(budget: u64, period: u64) -> Self {
        Self::new(
            ServerParameters::sporadic(span(budget), span(period), 0).with_room(8),
            at(0),
        )
        .unwrap()
    }

    fn available(&mut self, now: u64) -> u64 {
        Self::available(self, at(now)).as_nanos()
    }

    fn charge(&mut self, used: u64) {
        Self::charge(self, span(used), |_| ());
    }

    fn unblock(&mut self, now: u64) {
        Self::unblock(self, at(now));
    }
}

/// Wrong: one pool of budget with one activation time, as in the standard. What is used
/// returns a period after the server became active, also what returned only since then.
struct ReplenishesPrematurely {
    period: u64,
    pool: u64,
    activation: u64,
    pending: Vec<(u64, u64)>,
}

impl Budget for ReplenishesPrematurely {
    fn new(budget: u64, period: u64) -> Self {
        Self {
            period,
            pool: budget,
            activation: 0,
            pending: Vec::new(),
        }
    }

    fn available(&mut self, now: u64) -> u64 {
        let before = self.pool;
        let due = |(time, _): &mut (u64, u64)| *time <= now;
        self.pool += self
            .pending
            .extract_if(.., due)
            .map(|(_, amount)| amount)
            .sum::<u64>();
        if before == 0 && self.pool > 0 {
            self.activation = now;
        }
        self.pool
    }

    fn charge(&mut self, used: u64) {
        self.pool -= used;
        self.pending.push((self.activation + self.period, used));
    }

    fn unblock(&mut self, now: u64) {
        self.activation = now;
    }
}

/// Wrong: an overrun is forgotten; no more is charged than there was.
struct ForgetsOverrun(SporadicServer);

impl Budget for ForgetsOverrun {
    fn new(budget: u64, period: u64) -> Self {
        Self(Budget::new(budget, period))
    }

    fn available(&mut self, now: u64) -> u64 {
        Budget::available(&mut self.0, now)
    }

    fn charge(&mut self, used: u64) {
        let there_was = self.0.head().amount.as_nanos();
        Budget::charge(&mut self.0, used.min(there_was));
    }

    fn unblock(&mut self, now: u64) {
        Budget::unblock(&mut self.0, now);
    }
}

/// Wrong: it goes on at low priority when its budget is used up.
struct RunsInBackground(SporadicServer);

impl Budget for RunsInBackground {
    fn new(budget: u64, period: u64) -> Self {
        Self(Budget::new(budget, period))
    }

    fn available(&mut self, now: u64) -> u64 {
        Budget::available(&mut self.0, now)
    }

    fn charge(&mut self, used: u64) {
        Budget::charge(&mut self.0, used);
    }

    fn unblock(&mut self, now: u64) {
        Budget::unblock(&mut self.0, now);
    }

    fn runs_in_background(&self) -> bool {
        true
    }
}

/// Budget that returns while the server is active must not return again a period after
/// the server became active, but a period after it returned.
#[test]
fn posix_defect_1_premature_replenishment() {
    // 2 units from 1 on return at 7. The third, and these, run from 6 to 9.
    let history = History {
        jobs: &[(1, 20)],
        preempted: 3..6,
        late: 0,
    };
    let ours = history.run::<SporadicServer>(3, 6);
    assert_eq!(ours.ticks[..9], [1, 2, 6, 7, 8, 9, 13, 14, 15]);
    assert_eq!(ours.excess(3, 6), None);
    // Returning at 1 + 6 once more, they run to 12: 8 units in a window of 11.
    let wrong = history.run::<ReplenishesPrematurely>(3, 6);
    assert_eq!(wrong.ticks[..9], [1, 2, 6, 7, 8, 9, 10, 11, 15]);
    assert_eq!(wrong.excess(3, 6), Some((0, 11)));
}

/// What a server runs beyond its budget, because the timer was late, must be taken from
/// its next replenishments.
#[test]
fn posix_defect_2_budget_amplification_by_overrun() {
    let history = History {
        jobs: &[(0, 100)],
        preempted: 0..0,
        late: 1,
    };
    let ours = history.run::<SporadicServer>(2, 10);
    assert_eq!(
        ours.ticks,
        [0, 1, 2, 11, 12, 21, 22, 31, 32, 41, 42, 51, 52]
    );
    let wrong = history.run::<ForgetsOverrun>(2, 10);
    assert_eq!(wrong.ticks.len(), 3 * 6);
}

/// Without budget a server does not run, even if nothing else does.
#[test]
fn posix_defect_3_incomplete_isolation() {
    let history = History {
        jobs: &[(0, 7)],
        preempted: 0..0,
        late: 0,
    };
    assert_eq!(
        history.run::<SporadicServer>(3, 10).ticks,
        [0, 1, 2, 10, 11, 12, 20]
    );
    assert_eq!(history.run::<SporadicServer>(3, 10).excess(3, 10), None);
    let wrong = history.run::<RunsInBackground>(3, 10);
    assert_eq!(wrong.ticks, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(wrong.excess(3, 10), Some((0, 4)));
}

#[test]
fn random_histories_show_the_first_defect_only_in_the_wrong_server() {
    let mut random = common::Random(1);
    let mut shown = 0;
    for _ in 0..20_000 {
        let (budget, period) = (random.within(1, 4), random.within(4, 8));
        let mut now = 0;
        let jobs: Vec<(u64, u64)> = (0..random.within(1, 4))
            .map(|_| {
                now += random.within(0, 6);
                (now, random.within(1, 9))
            })
            .collect();
        let from = random.within(0, 15);
        let preempted = from..from + random.within(0, 9);
        let history = History {
            jobs: &jobs,
            preempted,
            late: 0,
        };
        let ours = history.run::<SporadicServer>(budget, period);
        let window = ours.excess(budget, period);
        assert_eq!(
            window, None,
            "({budget}, {period}) {jobs:?} {:?}",
            history.preempted
        );
        let wrong = history.run::<ReplenishesPrematurely>(budget, period);
        shown += usize::from(wrong.excess(budget, period).is_some());
    }
    assert!(shown > 100, "shown {shown} times");
}

/// What happens to a server: jobs (release, work), the ticks in which a higher priority
/// has the core, and by how many ticks its timer is late.
struct History<'a> {
    jobs: &'a [(u64, u64)],
    preempted: std::ops::Range<u64>,
    late: u64,
}

/// What a server did.
struct Runs {
    /// The ticks in which it ran.
    ticks: Vec<u64>,
    /// The ticks before which neither it nor a higher priority had anything left to run.
    fresh: Vec<u64>,
}

impl History<'_> {
    fn run<B: Budget>(&self, budget: u64, period: u64) -> Runs {
        let mut server = B::new(budget, period);
        let (mut backlog, mut ran, mut limit, mut active) = (0, 0, 0, false);
        let mut runs = Runs {
            ticks: Vec::new(),
            fresh: Vec::new(),
        };
        for now in 0..60_u64 {
            let before = now.wrapping_sub(1);
            if runs.ticks.last() != Some(&before) && !self.preempted.contains(&before) {
                runs.fresh.push(now);
            }
            let preempted = self.preempted.contains(&now);
            backlog += self
                .jobs
                .iter()
                .filter(|job| job.0 == now)
                .map(|job| job.1)
                .sum::<u64>();
            if ran > 0 && backlog > 0 && !preempted {
                limit = limit.max(server.available(now) + self.late);
            }
            if ran > 0 && (backlog == 0 || ran >= limit || preempted) {
                server.charge(ran);
                ran = 0;
            }
            if backlog == 0 {
                active = false;
                limit = 0;
                continue;
            }
            if !active {
                active = true;
                server.unblock(now);
            }
            if ran == 0 {
                let available = server.available(now);
                limit = if available > 0 {
                    available + self.late
                } else {
                    0
                };
            }
            if preempted {
                continue;
            }
            if limit > 0 || server.runs_in_background() {
                ran += u64::from(limit > 0);
                backlog -= 1;
                runs.ticks.push(now);
            }
        }
        runs
    }
}

impl Runs {
    /// The first window in which more ran than a periodic task may.
    fn excess(&self, budget: u64, period: u64) -> Option<(u64, u64)> {
        for start in &self.fresh {
            let inside = self.ticks.iter().filter(|tick| *tick >= start);
            for (count, end) in (1..).zip(inside) {
                if count > budget * (end + 1 - start).div_ceil(period) {
                    return Some((*start, *end + 1));
                }
            }
        }
        None
    }
}
