//! The I/O server: its demand never passes min(t, C + U(t − C)), and it inherits priority
//! and period of whom it serves, for as long as it serves them.
mod common;
use common::{Jobs, Random, at, simulate, span};
use tern_sched::{
    Dispatch, IoServer, Observer, Posted, Scheduler, ServerId, ServerParameters, Silent, ThreadId,
};
use tern_units::Instant;

fn io(budget: u64, period: u64, priority: u32) -> ServerParameters {
    ServerParameters::io(span(budget), span(period), priority)
}

fn sporadic(budget: u64, period: u64, priority: u32) -> ServerParameters {
    ServerParameters::sporadic(span(budget), span(period), priority)
}

fn head(server: &IoServer) -> (u64, u64) {
    (
        server.head().time.as_nanos(),
        server.head().amount.as_nanos(),
    )
}

#[test]
fn what_is_used_moves_eligibility_by_used_over_utilization() {
    let mut server = IoServer::new(io(2, 10, 0), at(0)).unwrap();
    assert_eq!(server.available(at(0)), span(2));
    server.unblock(at(3));
    assert_eq!(head(&server), (3, 2));
    // Preempted after 1: goes on with the rest.
    server.charge(span(1), |_| panic!("nothing is posted at a preemption"));
    assert_eq!(head(&server), (3, 1));
    // Blocked: 1 / 0.2 = 5, and the whole capacity from then on.
    let mut posts = Vec::new();
    server.block(|posted: Posted| posts.push((posted.time.as_nanos(), posted.amount.as_nanos())));
    assert_eq!((head(&server), posts), ((8, 2), vec![(8, 1)]));
    assert_eq!(server.available(at(7)), span(0));
    // Woken before that: it waits. Used up, and one more by overrun: 3 / 0.2 = 15.
    server.unblock(at(5));
    assert_eq!(head(&server), (8, 2));
    server.charge(span(3), |_| ());
    assert_eq!(head(&server), (23, 2));
    // Still runnable: being dispatched late does not move it.
    server.unblock(at(100));
    assert_eq!(head(&server), (23, 2));
    server.block(|_| panic!("nothing was used"));
    server.unblock(at(100));
    assert_eq!(head(&server), (100, 2));
}

#[test]
fn a_shorter_period_shrinks_the_capacity_at_once_and_a_longer_one_later() {
    let mut server = IoServer::new(io(20, 100, 0), at(0)).unwrap();
    server.adopt(span(50), |_| ());
    assert_eq!((server.capacity(), server.period()), (span(10), span(50)));
    assert_eq!(head(&server), (0, 10));
    server.adopt(span(200), |_| ());
    assert_eq!(
        head(&server),
        (0, 40),
        "at once also a longer one, while it is idle"
    );
    server.adopt(span(50), |_| ());
    server.unblock(at(0));
    server.charge(span(4), |_| ());
    server.adopt(span(100), |_| ());
    assert_eq!(
        head(&server),
        (0, 6),
        "a longer period adds nothing before the next replenishment"
    );
    server.adopt(span(30), |_| ());
    assert_eq!(head(&server), (0, 2));
    // 4 of 4 are used: 4 / 0.2 later there are 4 more.
    let mut posts = 0;
    server.adopt(span(20), |_| posts += 1);
    assert_eq!((head(&server), posts), ((20, 4), 1));
    server.charge(span(4), |_| ());
    server.adopt(span(100), |_| ());
    server.charge(span(4), |_| ());
    assert_eq!(head(&server), (60, 20));
    server.adopt(span(1), |_| ());
    assert_eq!(server.capacity(), span(1), "rounded down, but at least 1");
}

#[test]
fn no_window_holds_more_than_the_demand_bound() {
    for seed in 0..if cfg!(debug_assertions) {
        2_000
    } else {
        20_000
    } {
        let mut random = Random(seed);
        let period = random.within(2, 20);
        let budget = random.within(1, period);
        let mut release = 0;
        let jobs = (0..random.within(1, 20))
            .map(|_| {
                release += random.within(0, period);
                (release, random.within(1, budget + 2))
            })
            .collect();
        let outcome = simulate(&[io(budget, period, 0)], &[Jobs { server: 0, jobs }], 300);
        let ticks: Vec<u64> = outcome.runs[0]
            .iter()
            .flat_map(|run| run.0..run.1)
            .collect();
        for (first, start) in ticks.iter().enumerate() {
            for (count, end) in (1..).zip(&ticks[first..]) {
                let window = end + 1 - start;
                let steady = ((window.saturating_sub(budget)) * budget).div_ceil(period);
                assert!(
                    count <= window.min(budget + steady),
                    "{count} in {window}: ({budget}, {period}), seed {seed}, {:?}",
                    outcome.runs[0]
                );
            }
        }
    }
}

/// A driver in an I/O server (10, 100) of priority 5, a worker of priority 3, two clients of
/// priorities 1 and 2.
struct Machine {
    scheduler: Box<Scheduler<8, 8>>,
    io: ServerId,
    driver: ThreadId,
    worker: ThreadId,
    urgent: ThreadId,
    modest: ThreadId,
}

impl Machine {
    fn new() -> Self {
        let mut scheduler = Box::new(Scheduler::new());
        let mut add = |parameters| {
            let server = scheduler.add_server(parameters).unwrap();
            (server, scheduler.add_thread(server).unwrap())
        };
        let (io, driver) = add(io(10, 100, 5));
        let (_, worker) = add(sporadic(90, 100, 3));
        let (_, urgent) = add(sporadic(5, 20, 1));
        let (_, modest) = add(sporadic(5, 50, 2));
        Self {
            scheduler,
            io,
            driver,
            worker,
            urgent,
            modest,
        }
    }

    fn dispatch(&mut self, now: u64) -> Dispatch {
        self.scheduler.dispatch(at(now), &mut Silent)
    }

    fn budget(&self) -> u64 {
        self.scheduler.head(self.io).unwrap().amount.as_nanos()
    }

    fn priority(&self) -> u32 {
        self.scheduler.priority(self.io).unwrap()
    }
}

#[test]
fn an_io_server_has_its_requesters_priority_until_that_one_is_served() {
    let mut machine = Machine::new();
    machine.scheduler.wake(machine.worker, at(0));
    machine.scheduler.wake(machine.driver, at(0));
    assert_eq!(machine.dispatch(0).thread, Some(machine.worker));

    machine
        .scheduler
        .request(machine.modest, machine.io, &mut Silent);
    assert_eq!((machine.priority(), machine.budget()), (2, 5));
    let decision = machine.dispatch(1);
    assert_eq!(
        decision,
        Dispatch {
            thread: Some(machine.driver),
            timer: at(6)
        }
    );

    machine
        .scheduler
        .request(machine.urgent, machine.io, &mut Silent);
    assert_eq!((machine.priority(), machine.budget()), (1, 2));
    assert_eq!(machine.dispatch(2).timer, at(3));

    machine.scheduler.served(machine.urgent, &mut Silent);
    assert_eq!(machine.priority(), 2);
    machine.scheduler.served(machine.urgent, &mut Silent);
    assert_eq!(machine.priority(), 2);
    assert_eq!(machine.dispatch(2).thread, Some(machine.driver));

    machine.scheduler.served(machine.modest, &mut Silent);
    assert_eq!(machine.priority(), 5);
    assert_eq!(machine.dispatch(3).thread, Some(machine.worker));
}

#[test]
fn a_requester_that_leaves_from_the_middle_takes_only_its_own_priority() {
    let mut machine = Machine::new();
    for thread in [machine.worker, machine.urgent, machine.modest] {
        machine.scheduler.request(thread, machine.io, &mut Silent);
    }
    assert_eq!(machine.priority(), 1);
    machine.scheduler.served(machine.urgent, &mut Silent);
    assert_eq!(machine.priority(), 2);
    machine.scheduler.served(machine.worker, &mut Silent);
    assert_eq!(machine.priority(), 2);
    machine
        .scheduler
        .request(machine.modest, machine.io, &mut Silent);
    machine.scheduler.served(machine.modest, &mut Silent);
    assert_eq!(machine.priority(), 5);
}

#[test]
fn a_request_of_lower_priority_does_not_lower_it() {
    let mut machine = Machine::new();
    let server = machine
        .scheduler
        .add_server(sporadic(1, 1_000, 60))
        .unwrap();
    let thread = machine.scheduler.add_thread(server).unwrap();
    machine.scheduler.request(thread, machine.io, &mut Silent);
    assert_eq!((machine.priority(), machine.budget()), (5, 10));
}

#[test]
fn requests_that_make_no_sense_change_nothing() {
    let mut machine = Machine::new();
    let own = machine.scheduler.server_of(machine.urgent).unwrap();
    machine.scheduler.request(machine.modest, own, &mut Silent);
    machine
        .scheduler
        .request(machine.driver, machine.io, &mut Silent);
    machine
        .scheduler
        .request(ThreadId::new(99), machine.io, &mut Silent);
    machine
        .scheduler
        .request(machine.urgent, ServerId::new(99), &mut Silent);
    machine.scheduler.served(ThreadId::new(99), &mut Silent);
    assert_eq!(machine.priority(), 5);
    assert_eq!(machine.scheduler.priority(own), Some(1));
    assert_eq!(machine.scheduler.priority(ServerId::new(99)), None);
    assert_eq!(machine.scheduler.head(ServerId::new(4)), None);
}

/// Driver and client with the same priority, by inheritance: who is ready first goes first,
/// and neither preempts the other.
#[test]
fn servers_of_the_same_level_do_not_preempt_one_another() {
    let mut machine = Machine::new();
    machine
        .scheduler
        .request(machine.modest, machine.io, &mut Silent);
    machine.scheduler.wake(machine.modest, at(0));
    assert_eq!(machine.dispatch(0).thread, Some(machine.modest));
    machine
        .scheduler
        .sleep_until(machine.driver, at(2), &mut Silent);
    assert_eq!(
        machine.dispatch(1).timer,
        at(5),
        "nor does the timer fire for the other"
    );
    assert_eq!(machine.dispatch(3).thread, Some(machine.modest));
    assert_eq!(machine.dispatch(5).thread, Some(machine.driver));
    // The driver was awake from 2 on, and has 5 ticks.
    assert_eq!(
        machine.dispatch(6),
        Dispatch {
            thread: Some(machine.driver),
            timer: at(10)
        }
    );
}

#[derive(Default)]
struct Log(Vec<String>);

impl Observer for Log {
    fn switched(&mut self, thread: Option<ThreadId>) {
        self.0
            .push(format!("switch {:?}", thread.map(ThreadId::index)));
    }

    fn woken(&mut self, thread: ThreadId, at: Instant) {
        self.0.push(format!("woken {} {at:?}", thread.index()));
    }

    fn exhausted(&mut self, server: ServerId, posted: Posted) {
        self.replenish_posted(server, posted);
        self.0.push(format!("exhausted {}", server.index()));
    }

    fn replenish_posted(&mut self, server: ServerId, posted: Posted) {
        self.0.push(format!(
            "posted {} {:?} at {:?}",
            server.index(),
            posted.amount,
            posted.time
        ));
    }

    fn replenish_applied(&mut self, server: ServerId, amount: tern_units::Duration) {
        self.0
            .push(format!("applied {} {amount:?}", server.index()));
    }
}

/// The charge first: it is for what ran before.
#[test]
fn a_sleeper_that_is_due_when_its_server_is_used_up_is_heard_of_after_the_charge() {
    let mut scheduler = Scheduler::<2, 2>::new();
    let server = scheduler.add_server(sporadic(5, 50, 0)).unwrap();
    let [sleeper, works] = [0, 1].map(|_| scheduler.add_thread(server).unwrap());
    scheduler.sleep_until(sleeper, at(5), &mut Silent);
    scheduler.wake(works, at(0));
    let mut log = Log::default();
    for now in [0, 5] {
        scheduler.dispatch(at(now), &mut log);
    }
    let expected = [
        "switch Some(1)",
        "posted 0 5ns at @50ns",
        "exhausted 0",
        "woken 0 @5ns",
        "switch None",
    ];
    assert_eq!(log.0, expected);
}

/// There is no server behind the last, also where there is no place for one.
#[test]
fn a_request_to_a_server_that_is_not_there_changes_nothing() {
    let mut scheduler = Scheduler::<1, 1>::new();
    let server = scheduler.add_server(sporadic(5, 50, 3)).unwrap();
    let thread = scheduler.add_thread(server).unwrap();
    scheduler.request(thread, ServerId::new(1), &mut Silent);
    assert_eq!(scheduler.priority(server), Some(3));
}

#[test]
fn an_observer_hears_every_decision_in_order() {
    let mut machine = Machine::new();
    machine
        .scheduler
        .request(machine.modest, machine.io, &mut Silent);
    machine
        .scheduler
        .sleep_until(machine.driver, at(2), &mut Silent);
    let mut log = Log::default();
    for now in [0, 2, 7, 52] {
        machine.scheduler.dispatch(at(now), &mut log);
    }
    machine.scheduler.block(machine.driver, &mut Silent);
    assert_eq!(machine.scheduler.dispatch(at(53), &mut log).thread, None);
    let expected = [
        "woken 0 @2ns",
        "switch Some(0)",
        "posted 0 5ns at @52ns",
        "exhausted 0",
        "switch None",
        "applied 0 5ns",
        "switch Some(0)",
        "posted 0 1ns at @62ns",
        "switch None",
    ];
    assert_eq!(log.0, expected);
}
