//! The two ways to a decision agree: for any reason, and where the timer has fired.
mod common;
use common::{Random, at, span};
use tern_sched::{
    Dispatch, Observer, Posted, Scheduler, ServerId, ServerParameters, Silent, ThreadId,
};
use tern_units::{Duration, Instant};

const SYSTEMS: u64 = if cfg!(debug_assertions) { 300 } else { 6_000 };
const STEPS: usize = 100;

/// All that is told, in order.
#[derive(Debug, Default, PartialEq)]
struct Log(Vec<String>);

impl Observer for Log {
    fn switched(&mut self, thread: Option<ThreadId>) {
        self.0.push(format!("{thread:?} runs"));
    }

    fn woken(&mut self, thread: ThreadId, at: Instant) {
        self.0.push(format!("{thread:?} woken at {at:?}"));
    }

    fn exhausted(&mut self, server: ServerId, posted: Posted) {
        self.0.push(format!("{server:?} exhausted, {posted:?}"));
    }

    fn replenish_posted(&mut self, server: ServerId, posted: Posted) {
        self.0.push(format!("{server:?} posted, {posted:?}"));
    }

    fn replenish_applied(&mut self, server: ServerId, amount: Duration) {
        self.0.push(format!("{server:?} applied, {amount:?}"));
    }
}

type Wide = Scheduler<64, 64>;

/// A decision and all that was told of it.
fn both_ways(scheduler: &mut Wide, now: Instant) -> Dispatch {
    let mut other = scheduler.clone();
    let (mut told, mut told_other) = (Log::default(), Log::default());
    let decision = scheduler.dispatch(now, &mut told);
    assert_eq!(other.dispatch_fired(now, &mut told_other), decision);
    assert_eq!(told_other, told);
    decision
}

#[test]
fn a_decision_is_the_same_where_the_timer_has_fired() {
    let mut at_timers = 0;
    for seed in 0..SYSTEMS {
        let mut random = Random(seed);
        let mut scheduler = Wide::new();
        let threads: Vec<_> = (0..random.within(1, 64))
            .map(|_| {
                let period = random.within(20, 400);
                let budget = span(random.within(1, 20));
                let level = random.within(0, 63) as u32;
                let parameters =
                    ServerParameters::sporadic(budget, span(period), level).with_room(4);
                let server = scheduler.add_server(parameters).unwrap();
                let thread = scheduler.add_thread(server).unwrap();
                scheduler.sleep_until(thread, at(random.within(0, 100)), &mut Silent);
                thread
            })
            .collect();
        let mut now = 0;
        for _ in 0..STEPS {
            let decision = both_ways(&mut scheduler, at(now));
            let soon = now + random.within(1, 30);
            let timer = decision.timer.as_nanos();
            at_timers += u32::from(timer <= soon);
            now = timer.min(soon);
            match (decision.thread, random.within(0, 3)) {
                (Some(thread), 0) => {
                    let until = at(now + random.within(0, 100));
                    scheduler.sleep_until(thread, until, &mut Silent);
                }
                (Some(thread), 1) if timer > now => scheduler.block(thread, &mut Silent),
                (_, 2) => {
                    let woken = random.within(0, threads.len() as u64 - 1) as usize;
                    scheduler.wake(threads[woken], at(now));
                }
                _ => {}
            }
        }
    }
    assert!(at_timers as u64 > SYSTEMS * 10);
}
