//! What is due below the server that runs is noticed when it could run, and counts from
//! its own instant all the same.
mod common;
use common::{at, span};
use tern_sched::{Observer, Scheduler, ServerId, ServerParameters, Silent, ThreadId, ThreadState};
use tern_units::{Duration, Instant};

/// What it was told, and in which order.
#[derive(Default)]
struct Told(Vec<String>);

impl Observer for Told {
    fn woken(&mut self, thread: ThreadId, at: Instant) {
        self.0.push(format!("woken {} {at:?}", thread.index()));
    }

    fn replenish_applied(&mut self, server: ServerId, amount: Duration) {
        self.0
            .push(format!("applied {} {amount:?}", server.index()));
    }
}

/// Servers (budget, period, priority), each with a thread, which is blocked.
fn scheduler<const N: usize>(
    servers: [(u64, u64, u32); N],
) -> (Scheduler<8, 8>, [ServerId; N], [ThreadId; N]) {
    let mut scheduler = Scheduler::new();
    let ids = servers.map(|(budget, period, priority)| {
        let parameters = ServerParameters::sporadic(span(budget), span(period), priority);
        scheduler.add_server(parameters).unwrap()
    });
    let threads = ids.map(|server| scheduler.add_thread(server).unwrap());
    (scheduler, ids, threads)
}

#[test]
fn a_release_below_the_running_server_is_noticed_when_it_could_run() {
    let (mut scheduler, [_, low], [above, below]) = scheduler([(50, 100, 0), (10, 40, 1)]);
    scheduler.wake(above, at(0));
    scheduler.sleep_until(below, at(5), &mut Silent);
    assert_eq!(scheduler.dispatch(at(0), &mut Silent).timer, at(50));
    let mut told = Told::default();
    // An interrupt at 20 changes nothing.
    assert_eq!(scheduler.dispatch(at(20), &mut told).thread, Some(above));
    assert_eq!(told.0, [""; 0]);
    assert_eq!(
        scheduler.thread_state(below),
        Some(ThreadState::Sleeping(at(5)))
    );
    scheduler.block(above, &mut Silent);
    assert_eq!(scheduler.dispatch(at(30), &mut told).thread, Some(below));
    assert_eq!(told.0, ["woken 1 @5ns"]);
    // Its budget is active since its release: so it returns a period after that.
    assert_eq!(scheduler.head(low).unwrap().time, at(5));
    scheduler.block(below, &mut Silent);
    scheduler.dispatch(at(40), &mut told);
    assert_eq!(scheduler.head(low).unwrap().time, at(45));
}

#[test]
fn servers_of_one_level_go_in_the_order_of_their_instants() {
    for (first, second) in [(5, 6), (6, 5)] {
        let (mut scheduler, _, [above, a, b]) =
            scheduler([(50, 100, 0), (10, 100, 1), (10, 100, 1)]);
        scheduler.wake(above, at(0));
        scheduler.sleep_until(a, at(first), &mut Silent);
        scheduler.sleep_until(b, at(second), &mut Silent);
        scheduler.dispatch(at(0), &mut Silent);
        scheduler.block(above, &mut Silent);
        let mut told = Told::default();
        let next = scheduler.dispatch(at(20), &mut told).thread;
        let order = if first < second {
            ["woken 1 @5ns", "woken 2 @6ns"]
        } else {
            ["woken 2 @5ns", "woken 1 @6ns"]
        };
        assert_eq!(told.0, order);
        assert_eq!(next, Some(if first < second { a } else { b }));
    }
}

#[test]
fn a_replenishment_below_the_running_server_is_applied_when_it_could_run() {
    let (mut scheduler, _, [above, below]) = scheduler([(50, 100, 0), (10, 40, 1)]);
    scheduler.wake(below, at(0));
    scheduler.dispatch(at(0), &mut Silent);
    // It uses up its budget at 10, and gets it back at 40, while the other runs.
    scheduler.dispatch(at(10), &mut Silent);
    scheduler.wake(above, at(30));
    scheduler.dispatch(at(30), &mut Silent);
    let mut told = Told::default();
    assert_eq!(scheduler.dispatch(at(60), &mut told).thread, Some(above));
    assert_eq!(told.0, [""; 0]);
    let next = scheduler.dispatch(at(80), &mut told);
    assert_eq!((next.thread, next.timer), (Some(below), at(90)));
    assert_eq!(told.0, ["applied 1 10ns"]);
}

#[test]
fn a_wake_finds_a_server_that_had_work_since_its_sleeper_was_due() {
    let (mut scheduler, [_, low], [above, first]) = scheduler([(50, 100, 0), (10, 40, 1)]);
    let second = scheduler.add_thread(low).unwrap();
    scheduler.wake(above, at(0));
    scheduler.sleep_until(first, at(5), &mut Silent);
    scheduler.dispatch(at(0), &mut Silent);
    scheduler.wake(second, at(20));
    assert_eq!(scheduler.head(low).unwrap().time, at(5));
    scheduler.block(above, &mut Silent);
    assert_eq!(scheduler.dispatch(at(30), &mut Silent).thread, Some(first));
}
