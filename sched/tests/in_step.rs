//! Threads that find their server's budget whole: the bound that this gives against
//! simulation, and how often a server becomes active whatever its jobs do.
mod common;
use common::{Jobs, Random, at, simulate, span};
use tern_sched::analysis::{
    Bound, CostTable, Room, ServerContext, ServerModel, Steps, ThreadModel, Waking, activations,
    server_responses, thread_response,
};
use tern_sched::{Observer, Posted, Scheduler, ServerId, ServerKind, ServerParameters, Silent};
use tern_units::Duration;

const SYSTEMS: u64 = if cfg!(debug_assertions) {
    3_000
} else {
    60_000
};

fn context(servers: &[ServerModel], index: usize) -> ServerContext<'_> {
    ServerContext {
        servers,
        index,
        response: server_responses(servers, &CostTable::NONE)
            .nth(index)
            .and_then(|it| it.response),
        costs: &CostTable::NONE,
    }
}

/// The bound of a server's only thread, if each of its jobs finds the budget whole.
fn bound_with_whole_budget(context: &ServerContext<'_>, thread: &ThreadModel) -> Option<Duration> {
    let mut steps = Steps::for_servers(context.servers.len());
    let found = thread_response(context, &[*thread], 0, &mut steps);
    let (time, bound) = found.response?;
    matches!(bound, Bound::WithinBudget | Bound::InStep).then_some(time)
}

/// Jobs of any size up to `wcet` that come no closer than `period`, mostly just so.
fn arrivals(random: &mut Random, wcet: u64, period: u64) -> Vec<(u64, u64)> {
    let (mut now, mut jobs) = (random.within(0, period), Vec::new());
    while now < 400 {
        let work = match random.within(0, 3) {
            0 => random.within(1, wcet),
            _ => wcet,
        };
        jobs.push((now, work));
        now += period + random.within(0, 1) * random.within(0, period);
    }
    jobs
}

/// Servers of both kinds, each with one thread whose jobs are smaller than the budget,
/// and others that take what they can get.
#[test]
fn no_thread_in_step_with_its_server_responds_later_than_its_bound() {
    let (mut sporadic, mut io, mut met) = (0, 0, 0);
    for seed in 0..SYSTEMS {
        let mut random = Random(seed);
        let count = random.within(1, 4);
        let servers: Vec<_> = (0..count)
            .map(|_| {
                let period = random.within(2, 30);
                let budget = random.within(1, (period * 3 / (2 * count)).clamp(1, period));
                match random.within(0, 1) {
                    0 => ServerModel::sporadic(span(budget), span(period)),
                    _ => ServerModel::io(span(budget), span(period)),
                }
            })
            .collect();
        let index = random.within(0, count - 1) as usize;
        let own = &servers[index];
        let (c, t) = (own.budget.as_nanos(), own.period.as_nanos());
        let wcet = random.within(1, c);
        // An I/O server has its budget back after wcet·T/C.
        let least = match own.kind {
            ServerKind::Sporadic => t,
            ServerKind::Io => (wcet * t).div_ceil(c),
        };
        let thread = ThreadModel::periodic(span(wcet), span(least + random.within(0, 20)));
        let context = context(&servers, index);
        let Some(bound) = bound_with_whole_budget(&context, &thread) else {
            continue;
        };
        let parameters = (0..).zip(&servers).map(|(priority, it)| ServerParameters {
            kind: it.kind,
            ..ServerParameters::sporadic(it.budget, it.period, priority)
        });
        let parameters: Vec<_> = parameters.collect();
        let threads: Vec<_> = (0..servers.len())
            .map(|server| {
                let (most, apart) = match server == index {
                    true => (wcet, thread.period.as_nanos()),
                    // Others come when they like, and ask for any amount.
                    false => (2 * t, random.within(1, 3 * t)),
                };
                let jobs = arrivals(&mut random, most, apart);
                Jobs { server, jobs }
            })
            .collect();
        let outcome = simulate(&parameters, &threads, 4_000);
        let own_jobs = threads[index].jobs.iter().zip(&outcome.finished[index]);
        let worst = own_jobs.map(|(job, end)| end - job.0).max().unwrap_or(0);
        assert!(
            worst <= bound.as_nanos(),
            "seed {seed}: {worst} > {bound}: {thread:?} in {index} of {servers:?}"
        );
        match own.kind {
            ServerKind::Sporadic => sporadic += 1,
            ServerKind::Io => io += 1,
        }
        met += u64::from(worst == bound.as_nanos());
    }
    let least = SYSTEMS / 10;
    assert!(
        sporadic > least && io > least && met > least,
        "{sporadic} in sporadic servers, {io} in I/O servers, {met} met"
    );
}

/// Each of the conditions matters: without it a job waits for budget.
#[test]
fn a_thread_that_asks_for_more_than_comes_back_in_time_has_no_bound() {
    let bound = |own: ServerModel, wcet, period| {
        let thread = ThreadModel::periodic(span(wcet), span(period));
        bound_with_whole_budget(&context(&[own], 0), &thread)
    };
    let sporadic = ServerModel::sporadic(span(4), span(10));
    assert_eq!(bound(sporadic, 4, 10), Some(span(4)));
    assert_eq!(bound(sporadic, 5, 20), None);
    assert_eq!(bound(sporadic, 4, 9), None);
    // Half of the budget is back after half of the period.
    let io = ServerModel::io(span(4), span(10));
    assert_eq!(bound(io, 2, 5), Some(span(2)));
    assert_eq!(bound(io, 2, 4), None);
    assert_eq!(bound(io, 5, 50), None);
}

/// Of the kernel's own work a server is charged for what comes while its job is there, not
/// for what comes in its whole period.
#[test]
fn interrupts_for_others_count_as_long_as_the_job_takes() {
    let costs = CostTable {
        context_switch: span(1),
        ..CostTable::NONE
    };
    let fast = ServerModel::sporadic(span(2), span(10));
    let response = |budget| {
        let servers = [fast, ServerModel::sporadic(span(budget), span(1000))];
        let context = ServerContext {
            servers: &servers,
            index: 1,
            response: None,
            costs: &costs,
        };
        bound_with_whole_budget(&context, &ThreadModel::periodic(span(7), span(1000)))
    };
    // An activation costs 2: R = 7 + 2 + 4·⌈R/10⌉ = 17, in which come two of the fast one's.
    assert_eq!(response(7 + 2 + 2 * 2), Some(span(17)));
    assert_eq!(response(7 + 2 + 2 * 2 - 1), None);
}

/// The least budget with which the lowest server, below these, has a bound, and the bound:
/// for a job of 30 where an activation costs 2.
fn least_budget_below(above: &[ServerModel], section: u64) -> Option<(u64, u64)> {
    let costs = CostTable {
        context_switch: span(1),
        longest_non_preemptible: span(section),
        ..CostTable::NONE
    };
    (1..1_000).find_map(|budget| {
        let mut servers = above.to_vec();
        servers.push(ServerModel::sporadic(span(budget), span(1000)));
        let context = ServerContext {
            servers: &servers,
            index: above.len(),
            response: None,
            costs: &costs,
        };
        let thread = ThreadModel::periodic(span(30), span(1000));
        let bound = bound_with_whole_budget(&context, &thread)?;
        Some((budget, bound.as_nanos()))
    })
}

/// Most of a fast server's activations find the slow ones running, which are charged then.
#[test]
fn an_interrupt_is_charged_to_one_server_only() {
    let slow = ServerModel::sporadic(span(25), span(1000));
    let below_fast = |fast| least_budget_below(&[fast, slow, slow], 0);
    let fast = ServerModel::sporadic(span(2), span(10));
    // R = 32 + 2·27 + 4·⌈R/10⌉ = 146, in which come 15 of the fast one and one of each of the
    // others. From one that finds it running to the next the job has 10 − 2 to itself, or
    // another is activated: x = 32 + 2·(1 + 1 + 1 + 2 + ⌊x/8⌋) = 54.
    assert_eq!(below_fast(fast), Some((54, 146)));
    // Released 2 later at most: R = 32 + 2·27 + 4·⌈(R + 2)/10⌉ = 146, in which come 15 as
    // well, 6 apart: x = 32 + 2·(5 + ⌊x/6⌋) = 62.
    let late = ServerModel {
        jitter: span(2),
        ..fast
    };
    assert_eq!(below_fast(late), Some((62, 146)));
    // Where nothing is known of what it leaves between two, all count: 15 + 1 + 1 of them.
    // R = 32 + 2·27 + 4 + ⌈(R − 4)·4/10⌉ = 148, x = 32 + 2·17.
    assert_eq!(
        below_fast(ServerModel::io(span(2), span(10))),
        Some((66, 148))
    );
    // R = 32 + 2·27 + 6·⌈R/10⌉ = 218, and two come in a period: x = 32 + 2·(44 + 2).
    let twice = ServerModel {
        activations: 2,
        ..fast
    };
    assert_eq!(below_fast(twice), Some((124, 218)));
}

/// By three sections it may leave less than its period without its budget: that is nothing
/// of 8 − 2 where each takes 2.
#[test]
fn a_server_that_leaves_nothing_between_two_activations_may_always_find_the_job_running() {
    let fast = ServerModel::sporadic(span(2), span(8));
    let slow = ServerModel::sporadic(span(25), span(1000));
    // R = 32 + 2·27 + 2·⌈R/8⌉ + 2·⌈(R + 4)/8⌉ + 3·2 = 188, each of the others overrunning
    // by one section; x = 32 + 2·(24 + 1 + 1).
    assert_eq!(least_budget_below(&[fast, slow, slow], 2), Some((84, 188)));
}

/// What the server is promised for its period, and how often it is activated in it, say
/// nothing about a job that comes more seldom.
#[test]
fn a_job_counts_as_often_as_it_comes() {
    let costs = CostTable {
        context_switch: span(1),
        ..CostTable::NONE
    };
    let bound = |above: ServerModel, own: ServerModel, costs, thread| {
        let context = ServerContext {
            servers: &[above, own],
            index: 1,
            response: None,
            costs,
        };
        bound_with_whole_budget(&context, &thread)
    };
    let half = ServerModel::sporadic(span(50), span(100));
    let own = ServerModel::sporadic(span(60), span(100));
    // 60 of 100 are more than the half that is left, 60 of 1000 are not: R = 60 + 50·⌈R/100⌉.
    let seldom = ThreadModel::periodic(span(60), span(1000));
    assert_eq!(
        bound(half, own, &CostTable::NONE, seldom),
        Some(span(60 + 2 * 50))
    );
    // It is activated once, for 2, whatever other jobs the server is made for.
    let twice = ServerModel {
        activations: 2,
        ..own
    };
    let short = ThreadModel::periodic(span(5), span(1000));
    assert_eq!(bound(half, twice, &costs, short), Some(span(5 + 2 + 52)));
    // A second wake for each job costs its budget as much.
    let awake = ThreadModel { wakes: 2, ..short };
    let tight = |budget| ServerModel {
        budget: span(budget),
        ..own
    };
    assert_eq!(
        bound(half, tight(10), &costs, short),
        Some(span(5 + 2 + 52))
    );
    assert_eq!(bound(half, tight(10), &costs, awake), None);
    assert_eq!(
        bound(half, tight(13), &costs, awake),
        Some(span(5 + 2 + 52))
    );
}

/// Tells when a server with work runs out of budget.
struct Exhausted(ServerId, u64);

impl Observer for Exhausted {
    fn exhausted(&mut self, server: ServerId, _: Posted) {
        self.1 += u64::from(server == self.0);
    }
}

/// A server below some others, of which one may be fast, has just the budget that the analysis
/// asks for. Every activation of another that finds it running costs it as much as the
/// analysis says; timers are late by any section, so others overrun, and so may one below be
/// in a section when its job comes.
#[test]
fn no_job_waits_for_budget_however_many_interrupts_find_it_running() {
    let (mut jobs, mut close, mut all_of_it) = (0, 0, 0);
    for seed in 0..SYSTEMS / 10 {
        let mut random = Random(seed);
        let each = 2 * random.within(1, 2);
        let section = random.within(0, 1) * random.within(1, 3);
        let costs = CostTable {
            context_switch: span(each / 2),
            longest_non_preemptible: span(section),
            ..CostTable::NONE
        };
        let count = random.within(1, 3);
        let (is_lowest, at_once) = (random.within(0, 1) == 0, random.within(0, 1) == 0);
        let fast = random.within(0, 2 * count);
        let mut servers: Vec<_> = (0..count)
            .map(|place| {
                let period = match fast {
                    fast if fast == place => random.within(8, 24) + 3 * section,
                    fast if fast < count => random.within(60, 1500),
                    _ => random.within(12, 60),
                };
                ServerModel::sporadic(span(random.within(1, period / 3)), span(period))
            })
            .collect();
        let thread = ThreadModel::periodic(span(random.within(1, 40)), span(2_000));
        let mut bound = |budget| {
            servers.truncate(count as usize);
            servers.push(ServerModel::sporadic(span(budget), span(2_000)));
            if !is_lowest {
                servers.push(ServerModel::sporadic(span(1_000), span(2_000)));
            }
            let context = ServerContext {
                servers: &servers,
                index: count as usize,
                response: None,
                costs: &costs,
            };
            bound_with_whole_budget(&context, &thread)
        };
        let Some(budget) = (1..1_000).find(|budget| bound(*budget).is_some()) else {
            continue;
        };
        let bound = bound(budget).unwrap().as_nanos();
        let thread_work = thread.wcet.as_nanos();
        let mut scheduler = Box::new(Scheduler::<8, 8>::new());
        let mut threads = Vec::new();
        let mut observer = Exhausted(ServerId::new(count as u16), 0);
        for (priority, it) in (0..).zip(&servers) {
            let parameters =
                ServerParameters::sporadic(it.budget, it.period, priority).with_room(32);
            let server = scheduler.add_server(parameters).unwrap();
            let first = match priority as u64 == count {
                true => random.within(0, 200),
                false if at_once => 0,
                false => random.within(0, it.period.as_nanos()),
            };
            let thread = scheduler.add_thread(server).unwrap();
            scheduler.sleep_until(thread, at(first), &mut observer);
            threads.push((thread, it.period.as_nanos(), first, 0));
        }
        let (mut now, mut before, mut taken) = (0, None, 0);
        while now < 9_000 {
            let decision = scheduler.dispatch(at(now), &mut observer);
            let runs = decision.thread.map(|thread| thread.index());
            let own = count as usize;
            if before == Some(own) && runs != Some(own) && threads[own].3 > 0 {
                threads[own].3 += each;
            }
            before = runs;
            let Some(running) = runs else {
                now = decision.timer.as_nanos();
                continue;
            };
            let timer = decision.timer.as_nanos() + random.within(0, section);
            let (thread, period, release, left) = &mut threads[running];
            if *left == 0 {
                *left = match running == own {
                    // Its work, and its own activation.
                    true => thread_work + each,
                    false => random.within(1, servers[running].budget.as_nanos() * 3 / 2),
                };
            }
            let ran = (*left).min(timer - now);
            (now, *left) = (now + ran, *left - ran);
            if running == own {
                taken += ran;
            }
            if *left == 0 {
                if running == own {
                    assert!(taken <= budget, "seed {seed}: {taken} > {budget}");
                    all_of_it += u64::from(taken == budget);
                    taken = 0;
                    let took = now - *release;
                    assert!(took <= bound, "seed {seed}: {took} > {bound}");
                    (jobs, close) = (jobs + 1, close + u64::from(4 * took > 3 * bound));
                }
                *release += *period;
                scheduler.sleep_until(*thread, at(*release), &mut observer);
            }
        }
        assert_eq!(observer.1, 0, "seed {seed}: {thread:?} in {servers:?}");
    }
    assert!(
        jobs > SYSTEMS / 10 && close > 0 && all_of_it > 0,
        "{jobs} jobs, {close} close, {all_of_it} take the budget"
    );
}

/// By hand: 4 every 10, with room for 3 entries, and 5 every 12 in place of what was promised. At 12
/// and at 24 a job finds what the one before has left, so that its budget returns in one piece
/// more; from 30 on it is back at 30, 32 and 34, and of the last piece 1 is left at 36.
#[test]
fn within_a_period_all_pieces_may_return_beside_a_wake() {
    let wakings = [Waking::by_clock(span(4), span(12), span(10))];
    let room = Room::new(&wakings, span(10), Some(1)).replenishments;
    let n = activations(ServerKind::Sporadic, span(10), &wakings, || room);
    assert_eq!((room, n), (3, 4));

    let mut scheduler = Box::new(Scheduler::<1, 1>::new());
    let parameters = ServerParameters::sporadic(span(4), span(10), 0).with_room(room);
    let server = scheduler.add_server(parameters).unwrap();
    let thread = scheduler.add_thread(server).unwrap();
    let (mut starts, mut running, mut now) = (Vec::new(), false, 0);
    for release in [0, 12, 24, 36] {
        scheduler.sleep_until(thread, at(release), &mut Silent);
        let mut left = 5;
        while left > 0 && now < 40 {
            let decision = scheduler.dispatch(at(now), &mut Silent);
            let timer = decision.timer.as_nanos();
            if decision.thread.is_some() && !running {
                starts.push(now);
            }
            running = decision.thread.is_some();
            let ran = match running {
                true => left.min(timer - now),
                false => 0,
            };
            left -= ran;
            now = if running { now + ran } else { timer };
        }
    }
    assert_eq!(starts, [0, 10, 12, 20, 22, 24, 30, 32, 34, 36]);
}

/// A server of either kind with up to three threads, by the clock, or at any time, or late: their
/// jobs take any time, more than the budget too, and every timer is late. In no window does it
/// become active more often than the analysis says; but more often than it is woken.
#[test]
fn a_server_becomes_active_as_often_as_the_analysis_says_even_when_jobs_overrun() {
    let (mut all, mut beyond_wakes, mut by_clocks, mut overruns) = (0, 0, 0, 0);
    for seed in 0..SYSTEMS / 10 {
        let mut random = Random(seed);
        let (late, period) = (random.within(0, 3), random.within(8, 30));
        let budget = random.within(1, period / 2);
        let jitter = random.within(0, 1) * random.within(1, period);
        let kind = match random.within(0, 3) {
            0 => ServerKind::Io,
            _ => ServerKind::Sporadic,
        };
        let apart: Vec<u64> = (0..random.within(1, 3))
            .map(|_| match random.within(0, 2) {
                0 => period * random.within(1, 3),
                1 => period * random.within(1, 3) / 2,
                _ => random.within(period / 4, 3 * period),
            })
            .collect();
        let by_clock = jitter == 0 && random.within(0, 1) == 0;
        let wakings: Vec<_> = apart
            .iter()
            .map(|apart| match by_clock {
                true => Waking::by_clock(span(1), span(*apart), span(period)),
                false => Waking {
                    jitter: span(jitter),
                    ..Waking::at_any_time(span(1), span(*apart))
                },
            })
            .collect();
        // Whether that is enough for what the threads promise or not.
        let room = Room::new(&wakings, span(period), Some(random.within(1, 3)));
        let room = room.replenishments;
        let n = u64::from(activations(kind, span(period), &wakings, || room));
        let arrivals = apart.iter().map(|it| (period + jitter).div_ceil(*it));
        let (wakes, instants): (u64, Option<u64>) = (
            arrivals.sum(),
            wakings.iter().map(|waking| waking.instants).sum(),
        );
        by_clocks += u64::from(instants == Some(n) && kind == ServerKind::Sporadic);

        let parameters = match kind {
            ServerKind::Sporadic => ServerParameters::sporadic(span(budget), span(period), 0),
            ServerKind::Io => ServerParameters::io(span(budget), span(period), 0),
        };
        let mut scheduler = Box::new(Scheduler::<4, 4>::new());
        let server = scheduler.add_server(parameters.with_room(room)).unwrap();
        let mut threads = Vec::new();
        for apart in apart {
            let thread = scheduler.add_thread(server).unwrap();
            let arrival = random.within(0, period);
            scheduler.sleep_until(thread, at(arrival), &mut Silent);
            // When its job arrived and was released, and what is left of it.
            threads.push((thread, apart, arrival, arrival, 0));
        }
        let (mut starts, mut running, mut now): (Vec<u64>, _, _) = (Vec::new(), false, 0);
        while now < 2_000 {
            let decision = scheduler.dispatch(at(now), &mut Silent);
            let timer = decision.timer.as_nanos() + random.within(0, late);
            let Some(thread) = decision.thread else {
                (running, now) = (false, decision.timer.as_nanos());
                continue;
            };
            let (thread, apart, arrival, release, left) = &mut threads[thread.index()];
            if *left == 0 {
                let most = 1 + random.within(0, 1) * 3 * budget;
                *left = random.within(1, most);
            }
            if !running {
                starts.push(now);
            }
            running = true;
            let ran = (*left).min(timer - now);
            (now, *left) = (now + ran, *left - ran);
            if *left == 0 {
                *arrival += *apart;
                if !by_clock {
                    *arrival += random.within(0, 1) * random.within(0, period);
                }
                *release = (*release).max(*arrival + random.within(0, jitter));
                scheduler.sleep_until(*thread, at(*release), &mut Silent);
            } else {
                overruns += 1;
            }
        }
        for (first, from) in starts.iter().enumerate() {
            for (count, to) in (1..).zip(&starts[first..]) {
                let window = to - from + 1;
                let most = n * (window + jitter + 2 * late).div_ceil(period);
                assert!(count <= most, "seed {seed}: {count} from {from} to {to}");
                beyond_wakes += u64::from(window <= period && count > wakes);
            }
        }
        all += starts.len() as u64;
    }
    assert!(
        all > SYSTEMS && beyond_wakes > 0 && by_clocks > 0 && overruns > SYSTEMS,
        "{all} activations, {beyond_wakes} beyond wakes, {by_clocks} by clocks, {overruns} overruns"
    );
}
