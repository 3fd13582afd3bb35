//! What an observer is told of charges: what a server used is told when it is on its way
//! back, and as exhausted only where the server has to wait for it.
mod common;
use common::{at, span};
use tern_sched::{Observer, Posted, Scheduler, ServerId, ServerParameters, Silent, ThreadId};

/// (server, activation, amount) of what is on its way back.
type Entry = (usize, u64, u64);

fn entry(server: ServerId, posted: Posted) -> Entry {
    let (time, amount) = (posted.time.as_nanos(), posted.amount.as_nanos());
    (server.index(), time, amount)
}

/// Tells exhausted servers from others.
#[derive(Default)]
struct Told {
    posted: Vec<Entry>,
    exhausted: Vec<Entry>,
}

impl Observer for Told {
    fn exhausted(&mut self, server: ServerId, posted: Posted) {
        self.exhausted.push(entry(server, posted));
    }

    fn replenish_posted(&mut self, server: ServerId, posted: Posted) {
        self.posted.push(entry(server, posted));
    }
}

fn add(scheduler: &mut Scheduler<4, 4>, parameters: ServerParameters) -> ThreadId {
    let server = scheduler.add_server(parameters).unwrap();
    scheduler.add_thread(server).unwrap()
}

#[test]
fn who_does_not_ask_for_exhausted_servers_is_told_what_returns_to_them_as_of_the_others() {
    struct Posts(Vec<Entry>);
    impl Observer for Posts {
        fn replenish_posted(&mut self, server: ServerId, posted: Posted) {
            self.0.push(entry(server, posted));
        }
    }
    let mut scheduler = Scheduler::new();
    let parameters = ServerParameters::sporadic(span(10), span(100), 0);
    let thread = add(&mut scheduler, parameters);
    scheduler.wake(thread, at(0));
    let mut told = Posts(Vec::new());
    scheduler.dispatch(at(0), &mut told);
    assert_eq!(scheduler.dispatch(at(10), &mut told).thread, None);
    assert_eq!(told.0, [(0, 100, 10)]);
}

/// Its next budget begins at the instant at which this one ends.
#[test]
fn a_server_with_the_whole_core_is_never_exhausted() {
    let mut scheduler = Scheduler::new();
    let parameters = ServerParameters::sporadic(span(10), span(10), 0);
    let threads = [0, 1].map(|_| add(&mut scheduler, parameters));
    let mut told = Told::default();
    for thread in threads {
        scheduler.wake(thread, at(0));
    }
    for now in [0, 10, 20] {
        // Nor does another of its level get a turn.
        let decision = scheduler.dispatch(at(now), &mut told);
        assert_eq!(decision.thread, Some(threads[0]));
        assert_eq!(decision.timer, at(now + 10));
    }
    assert_eq!(told.posted, [(0, 10, 10), (0, 20, 10)]);
    assert_eq!(told.exhausted, []);
}

#[test]
fn a_late_timer_may_use_up_several_chunks_and_exhausts_no_server_that_has_more() {
    let mut scheduler = Scheduler::new();
    let above = ServerParameters::sporadic(span(300), span(1_000), 0);
    let [above, below] = [above, ServerParameters::sporadic(span(10), span(100), 1)]
        .map(|parameters| add(&mut scheduler, parameters));
    // 3 from 0 on, 2 from 20 on: the list is then (30, 5), (100, 3), (120, 2).
    for (from, until) in [(0, 3), (20, 22)] {
        scheduler.wake(below, at(from));
        scheduler.dispatch(at(from), &mut Silent);
        scheduler.block(below, &mut Silent);
        scheduler.dispatch(at(until), &mut Silent);
    }
    scheduler.wake(above, at(30));
    scheduler.wake(below, at(30));
    scheduler.dispatch(at(30), &mut Silent);
    scheduler.block(above, &mut Silent);
    // Everything is active. The timer is for the end of the first chunk, and 4 late.
    assert_eq!(scheduler.dispatch(at(230), &mut Silent).timer, at(235));
    let mut told = Told::default();
    let decision = scheduler.dispatch(at(239), &mut told);
    assert_eq!((decision.thread, decision.timer), (Some(below), at(240)));
    assert_eq!(told.posted, [(1, 130, 5), (1, 200, 3)]);
    assert_eq!(told.exhausted, []);
    scheduler.dispatch(at(240), &mut told);
    assert_eq!(told.posted[2..], [(1, 220, 2)]);
}

#[test]
fn a_preempted_server_keeps_its_chunk_if_the_minimum_is_left_of_it() {
    // What it is charged for at the preemption, and when it is to stop after that.
    let preempted_at = |now: u64| {
        let mut scheduler = Scheduler::new();
        let above = ServerParameters::sporadic(span(20), span(1_000), 0);
        let below = ServerParameters::sporadic(span(10), span(100), 1);
        let [above, below] = [above, below.with_minimum_budget(span(3))]
            .map(|parameters| add(&mut scheduler, parameters));
        let mut told = Told::default();
        scheduler.wake(below, at(0));
        scheduler.dispatch(at(0), &mut told);
        scheduler.wake(above, at(now));
        scheduler.dispatch(at(now), &mut told);
        scheduler.block(above, &mut Silent);
        let next = scheduler.dispatch(at(12), &mut Told::default());
        (told.posted, next.thread == Some(below), next.timer)
    };
    assert_eq!(preempted_at(7), (vec![], true, at(15)));
    assert_eq!(preempted_at(8), (vec![(1, 100, 8)], false, at(100)));
}
