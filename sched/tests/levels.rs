//! Priority levels: more than one word of them, and several servers at one.
mod common;
use common::{at, span};
use tern_sched::{Scheduler, ServerId, ServerParameters, Silent, ThreadId};

type Wide = Scheduler<4, 4, 2>;

fn thread(scheduler: &mut Wide, priority: u32) -> (ServerId, ThreadId) {
    let parameters = ServerParameters::sporadic(span(10), span(100), priority).with_room(4);
    let server = scheduler.add_server(parameters).unwrap();
    (server, scheduler.add_thread(server).unwrap())
}

/// Who runs, and when to look again.
fn dispatch(scheduler: &mut Wide, now: u64) -> (Option<ThreadId>, u64) {
    let decision = scheduler.dispatch(at(now), &mut Silent);
    (decision.thread, decision.timer.as_nanos())
}

#[test]
fn levels_beyond_the_first_64_preempt_and_wait_like_the_others() {
    let mut scheduler = Wide::new();
    let [low, middle, high, highest] =
        [100, 65, 64, 3].map(|priority| thread(&mut scheduler, priority).1);
    scheduler.wake(low, at(0));
    scheduler.sleep_until(middle, at(4), &mut Silent);
    scheduler.sleep_until(high, at(6), &mut Silent);
    scheduler.sleep_until(highest, at(7), &mut Silent);
    assert_eq!(dispatch(&mut scheduler, 0), (Some(low), 4));
    assert_eq!(dispatch(&mut scheduler, 4), (Some(middle), 6));
    assert_eq!(dispatch(&mut scheduler, 6), (Some(high), 7));
    assert_eq!(dispatch(&mut scheduler, 7), (Some(highest), 17));
    scheduler.block(highest, &mut Silent);
    assert_eq!(dispatch(&mut scheduler, 8), (Some(high), 17));
    scheduler.block(high, &mut Silent);
    assert_eq!(dispatch(&mut scheduler, 9), (Some(middle), 17));
    // Used up until 104; then it is before the lowest again.
    assert_eq!(dispatch(&mut scheduler, 17), (Some(low), 23));
    assert_eq!(dispatch(&mut scheduler, 23), (None, 100));
    assert_eq!(dispatch(&mut scheduler, 100), (Some(low), 104));
    assert_eq!(dispatch(&mut scheduler, 104), (Some(middle), 114));
}

#[test]
fn the_timer_at_the_highest_level_is_for_the_budget_alone() {
    for below in [1, 7, 8, 63, 64, 127] {
        let mut scheduler = Wide::new();
        let [highest, below] = [0, below].map(|priority| thread(&mut scheduler, priority).1);
        scheduler.wake(highest, at(0));
        scheduler.sleep_until(below, at(4), &mut Silent);
        assert_eq!(dispatch(&mut scheduler, 0), (Some(highest), 10));
    }
}

/// Nothing says which goes first; but it is always the same one.
#[test]
fn of_servers_of_a_level_that_are_due_together_the_one_added_last_goes_first() {
    let mut scheduler = Wide::new();
    let threads = [70, 70, 70].map(|priority| thread(&mut scheduler, priority).1);
    for thread in threads {
        scheduler.sleep_until(thread, at(5), &mut Silent);
    }
    assert_eq!(dispatch(&mut scheduler, 0), (None, 5));
    for (now, thread) in [(5, threads[2]), (6, threads[1]), (7, threads[0])] {
        assert_eq!(dispatch(&mut scheduler, now).0, Some(thread));
        scheduler.block(thread, &mut Silent);
    }
}

/// Of what becomes due below the running server nothing is noticed; at its own level all is,
/// so that the next of them are in the order of their instants.
#[test]
fn what_is_due_at_the_level_of_the_running_server_is_next_in_line_from_its_instant_on() {
    let mut scheduler = Wide::new();
    let [running, late, due] = [70; 3].map(|priority| thread(&mut scheduler, priority).1);
    scheduler.wake(running, at(0));
    scheduler.sleep_until(due, at(4), &mut Silent);
    assert_eq!(dispatch(&mut scheduler, 0), (Some(running), 10));
    assert_eq!(dispatch(&mut scheduler, 4), (Some(running), 10));
    scheduler.wake(late, at(5));
    assert_eq!(dispatch(&mut scheduler, 5), (Some(running), 10));
    assert_eq!(dispatch(&mut scheduler, 10), (Some(due), 20));
    assert_eq!(dispatch(&mut scheduler, 20), (Some(late), 30));
}

/// In whatever order they are told, and wherever they stand in the level's list.
#[test]
fn the_timer_is_for_the_earliest_of_the_servers_of_a_level() {
    for (first, second) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
        let mut scheduler = Wide::new();
        let threads = [70, 70, 70].map(|priority| thread(&mut scheduler, priority).1);
        let third = 3 - first - second;
        scheduler.sleep_until(threads[first], at(5), &mut Silent);
        scheduler.sleep_until(threads[second], at(9), &mut Silent);
        scheduler.sleep_until(threads[third], at(12), &mut Silent);
        assert_eq!(dispatch(&mut scheduler, 0), (None, 5));
        assert_eq!(dispatch(&mut scheduler, 5).0, Some(threads[first]));
        scheduler.block(threads[first], &mut Silent);
        assert_eq!(dispatch(&mut scheduler, 6), (None, 9));
        // Later again than the one that is left.
        scheduler.sleep_until(threads[second], at(20), &mut Silent);
        assert_eq!(dispatch(&mut scheduler, 7), (None, 12));
        assert_eq!(dispatch(&mut scheduler, 12).0, Some(threads[third]));
        scheduler.block(threads[third], &mut Silent);
        assert_eq!(dispatch(&mut scheduler, 13), (None, 20));
    }
}

#[test]
fn a_new_server_has_its_whole_budget() {
    let mut scheduler = Wide::new();
    let (server, _) = thread(&mut scheduler, 1);
    let head = scheduler.head(server).unwrap();
    assert_eq!((head.time, head.amount), (at(0), span(10)));
}

#[test]
fn the_list_of_a_sporadic_server_can_be_read_and_an_io_server_has_none() {
    let mut scheduler = Wide::new();
    let (server, thread) = thread(&mut scheduler, 1);
    let io = scheduler.add_server(ServerParameters::io(span(1), span(9), 2));
    scheduler.wake(thread, at(3));
    scheduler.dispatch(at(3), &mut Silent);
    scheduler.block(thread, &mut Silent);
    scheduler.dispatch(at(7), &mut Silent);
    let list: Vec<_> = scheduler
        .sporadic(server)
        .expect("a sporadic server")
        .replenishments()
        .map(|entry| (entry.time.as_nanos(), entry.amount.as_nanos()))
        .collect();
    assert_eq!(list, [(7, 6), (103, 4)]);
    assert!(scheduler.sporadic(io.unwrap()).is_none());
    assert!(scheduler.sporadic(ServerId::new(2)).is_none());
}
