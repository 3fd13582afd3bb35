//! Threads of one server that give way to each other: the server's budget goes on as if
//! nothing had happened, and only the order of its own threads changes.
use tern_sched::{Scheduler, ServerParameters, Silent, ThreadId};
use tern_units::{Duration, Instant};

const fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

/// Two servers, (10, 100) above (10, 100); three threads in the first, one in the second.
fn scheduler() -> (Scheduler<4, 8>, [ThreadId; 4]) {
    let mut scheduler = Scheduler::new();
    let (budget, period) = (Duration::from_nanos(10), Duration::from_nanos(100));
    let mut servers = [0, 1].map(|priority| {
        scheduler
            .add_server(ServerParameters::sporadic(budget, period, priority))
            .unwrap()
    });
    servers.sort();
    let [high, low] = servers;
    let threads = [high, high, high, low].map(|server| scheduler.add_thread(server).unwrap());
    (scheduler, threads)
}

#[test]
fn runnable_threads_take_turns_and_the_budget_ends_when_it_would_have() {
    let (mut scheduler, threads) = scheduler();
    for thread in threads {
        scheduler.wake(thread, at(0));
    }
    let first = scheduler.dispatch(at(0), &mut Silent);
    assert_eq!((first.thread, first.timer), (Some(threads[0]), at(10)));
    for next in [1, 2, 0, 1] {
        assert_eq!(scheduler.give_way(), Some(threads[next]));
        assert_eq!(scheduler.running(), Some(threads[next]));
    }
    // The other server's thread runs only once the budget is used up.
    let same = scheduler.dispatch(at(9), &mut Silent);
    assert_eq!((same.thread, same.timer), (Some(threads[1]), at(10)));
    let other = scheduler.dispatch(at(10), &mut Silent);
    assert_eq!(other.thread, Some(threads[3]));
}

#[test]
fn who_is_alone_goes_on() {
    let (mut scheduler, threads) = scheduler();
    scheduler.wake(threads[1], at(0));
    scheduler.wake(threads[3], at(0));
    scheduler.dispatch(at(0), &mut Silent);
    assert_eq!(scheduler.give_way(), Some(threads[1]));
}

#[test]
fn with_a_sleeper_that_may_preempt_the_next_thread_dispatch_decides_and_sets_the_timer() {
    let (mut scheduler, threads) = scheduler();
    scheduler.sleep_until(threads[1], at(4), &mut Silent);
    scheduler.wake(threads[0], at(0));
    scheduler.wake(threads[2], at(0));
    // Thread 1 does not preempt thread 0, but it does thread 2.
    assert_eq!(scheduler.dispatch(at(0), &mut Silent).timer, at(10));
    assert_eq!(scheduler.give_way(), None);
    let decision = scheduler.dispatch(at(1), &mut Silent);
    assert_eq!((decision.thread, decision.timer), (Some(threads[2]), at(4)));
    let decision = scheduler.dispatch(at(4), &mut Silent);
    assert_eq!(decision.thread, Some(threads[1]));
}

#[test]
fn a_thread_that_has_just_become_first_waits_for_dispatch() {
    let (mut scheduler, threads) = scheduler();
    scheduler.wake(threads[1], at(0));
    scheduler.wake(threads[2], at(0));
    scheduler.dispatch(at(0), &mut Silent);
    scheduler.wake(threads[0], at(1));
    assert_eq!(scheduler.give_way(), None);
    assert_eq!(scheduler.running(), Some(threads[1]));
    let decision = scheduler.dispatch(at(1), &mut Silent);
    assert_eq!(decision.thread, Some(threads[0]));
}

#[test]
fn an_idle_core_has_nobody_to_give_way() {
    let (mut scheduler, _) = scheduler();
    assert_eq!(scheduler.give_way(), None);
    scheduler.dispatch(at(0), &mut Silent);
    assert_eq!(scheduler.give_way(), None);
}
