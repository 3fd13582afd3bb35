//! The analysis on numbers that are known: the examples that the scheduling rules come
//! with, and tables computed by hand.
use tern_sched::ServerKind;
use tern_sched::analysis::{
    Bound, Copying, CostTable, Dependency, DependencyKind, Endpoint, RecoveryObstacle,
    ServerContext, ServerModel, Supply, ThreadModel, ThreadResponse, Threads, admissible,
    channel_latency, fixed_point, liu_layland_bound, pages_in, recovery_bound, recovery_epochs,
    server_responses, thread_responses,
};
use tern_units::Duration;

fn span(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

fn sporadic(budget: u64, period: u64) -> ServerModel {
    ServerModel::sporadic(span(budget), span(period))
}

fn responses(servers: &[ServerModel], costs: &CostTable) -> Vec<Option<u64>> {
    server_responses(servers, costs)
        .map(|time| time.map(Duration::as_nanos))
        .collect()
}

/// Threads of the server at `index`: (response, bound).
fn thread_table(
    servers: &[ServerModel],
    index: usize,
    threads: &[ThreadModel],
) -> Vec<(Option<u64>, Bound)> {
    let costs = CostTable::NONE;
    let response = server_responses(servers, &costs).nth(index).unwrap();
    let mut results = vec![ThreadResponse::default(); threads.len()];
    thread_responses(
        &ServerContext {
            servers,
            index,
            response,
            costs: &costs,
        },
        threads,
        &mut results,
    );
    results
        .iter()
        .map(|r| (r.response.map(Duration::as_nanos), r.bound))
        .collect()
}

#[test]
fn response_times_of_the_four_example_sets() {
    // (C, T, R), highest priority first.
    let table: [&[(u64, u64, u64)]; 4] = [
        &[(10, 30, 10), (10, 40, 20), (12, 50, 52)],
        &[(3, 7, 3), (3, 12, 6), (5, 20, 20)],
        &[(5, 20, 5), (10, 40, 15), (40, 80, 80)],
        &[(1, 4, 1), (1, 5, 2), (2, 6, 4), (1, 11, 10)],
    ];
    for set in table {
        let servers: Vec<_> = set.iter().map(|&(c, t, _)| sporadic(c, t)).collect();
        let expected: Vec<_> = set.iter().map(|&(_, _, response)| Some(response)).collect();
        assert_eq!(responses(&servers, &CostTable::NONE), expected, "{set:?}");
    }
}

/// Lehoczky 1990: with deadlines above periods the first job need not be the worst.
/// (26, 70), (62, 100): the jobs of the second take 114, 102, 116, 104, 118, 106, 94.
#[test]
fn the_worst_job_of_a_busy_window_need_not_be_the_first() {
    let servers = [sporadic(26, 70), sporadic(62, 100)];
    assert_eq!(responses(&servers, &CostTable::NONE), [Some(26), Some(118)]);
}

#[test]
fn overload_is_unbounded_for_the_server_it_reaches_and_all_below() {
    let servers = [
        sporadic(10, 30),
        sporadic(10, 40),
        sporadic(30, 50),
        sporadic(1, 1000),
    ];
    assert_eq!(
        responses(&servers, &CostTable::NONE),
        [Some(10), Some(20), None, None]
    );
    let mut iterator = server_responses(&servers, &CostTable::NONE);
    assert_eq!(
        (iterator.len(), iterator.nth(1).is_some(), iterator.len()),
        (4, true, 2)
    );
    let impossible = [sporadic(0, 10), sporadic(1, 10)];
    assert_eq!(responses(&impossible, &CostTable::NONE), [None, None]);
    assert_eq!(responses(&[sporadic(11, 10)], &CostTable::NONE), [None]);
    assert_eq!(responses(&[sporadic(1, 0)], &CostTable::NONE), [None]);
}

#[test]
fn jitter_above_and_blocking_delay_a_server_and_its_own_jitter_counts() {
    let late = ServerModel {
        jitter: span(5),
        ..sporadic(10, 30)
    };
    let blocked = ServerModel {
        blocking: span(3),
        ..sporadic(10, 40)
    };
    // 3 + 10 + ceil((23 + 5) / 30) × 10.
    assert_eq!(
        responses(&[late, blocked], &CostTable::NONE),
        [Some(15), Some(23)]
    );
    let later = ServerModel {
        jitter: span(8),
        ..sporadic(10, 30)
    };
    // 33: ceil((23 + 8) / 30) = 2.
    assert_eq!(
        responses(&[later, blocked], &CostTable::NONE),
        [Some(18), Some(33)]
    );
}

#[test]
fn each_activation_and_the_longest_non_preemptible_section_cost_time() {
    let costs = CostTable {
        context_switch: span(1),
        timer_interrupt: span(2),
        replenishment: span(3),
        trace_record: span(1),
        longest_non_preemptible: span(7),
        ..CostTable::NONE
    };
    // 2 × (1 + 2) + 3 + 7 × 1.
    assert_eq!(costs.activation(), span(16));
    let twice = ServerModel {
        activations: 2,
        ..sporadic(100, 1000)
    };
    let servers = [twice, sporadic(100, 2000)];
    // The lower one is the last: no section of a lower one can hold it up.
    assert_eq!(
        responses(&servers, &costs),
        [Some(100 + 32 + 7), Some(132 + 116)]
    );
}

/// The search for one server starts where the one above was done only if it must be later.
#[test]
fn a_server_above_that_is_worse_off_does_not_make_the_next_one_late() {
    let blocked = ServerModel {
        blocking: span(50),
        ..sporadic(10, 100)
    };
    assert_eq!(
        responses(&[blocked, sporadic(5, 200)], &CostTable::NONE),
        [Some(60), Some(15)]
    );
    // The I/O server holds up those above it, not itself.
    let raised = ServerModel {
        raised_to: Some(0),
        ..ServerModel::io(span(30), span(100))
    };
    assert_eq!(
        responses(&[sporadic(10, 100), raised], &CostTable::NONE),
        [Some(45), Some(40)]
    );
    // The third job of the first responds last; the second server starts from its first.
    let servers = [sporadic(26, 70), sporadic(62, 100), sporadic(1, 5_000)];
    assert_eq!(responses(&servers, &CostTable::NONE)[2], Some(695));
}

/// Danish, Li, West 2011: an I/O server asks for min(t, C + U(t − C)), and U·J more.
#[test]
fn an_io_server_interferes_by_its_demand_bound_from_where_it_may_be_raised() {
    let io = ServerModel::io(span(2), span(10));
    // w = 5 + min(w, 2 + (w − 2)/5): 7 → 5 + 2 + 1 = 8 → 5 + 2 + 2 = 9 → 9.
    assert_eq!(
        responses(&[io, sporadic(5, 20)], &CostTable::NONE),
        [Some(2), Some(9)]
    );
    let late = ServerModel {
        jitter: span(10),
        ..io
    };
    assert_eq!(
        responses(&[late, sporadic(5, 20)], &CostTable::NONE),
        [Some(12), Some(11)]
    );
    let raised = ServerModel {
        raised_to: Some(1),
        ..io
    };
    let servers = [sporadic(1, 20), sporadic(5, 20), raised];
    assert_eq!(
        responses(&servers, &CostTable::NONE)[..2],
        [Some(1), Some(10)]
    );
}

#[test]
fn the_supply_of_3_in_5_over_15_instants() {
    let supply = Supply::new(span(3), span(5)).unwrap();
    let table: Vec<_> = (0..=15).map(|t| supply.bound(span(t)).as_nanos()).collect();
    assert_eq!(table, [0, 0, 0, 0, 0, 1, 2, 3, 3, 3, 4, 5, 6, 6, 6, 7]);
}

#[test]
fn the_time_for_some_work_is_the_inverse_of_the_supply() {
    for (budget, period) in [(3, 5), (1, 7), (5, 5), (4, 9)] {
        for response in [period, period + 6] {
            let supply = Supply::new(span(budget), span(period)).unwrap();
            let supply = supply.with_response(span(response));
            for work in 0..40 {
                let time = supply.time_for(span(work)).as_nanos();
                assert!(supply.bound(span(time)) >= span(work));
                assert!(time == 0 || supply.bound(span(time - 1)) < span(work));
            }
        }
    }
    assert_eq!(Supply::new(span(0), span(5)), None);
    assert_eq!(Supply::new(span(6), span(5)), None);
}

/// One thread, top server (10, 30): 20 until the budget is back, then 4.
#[test]
fn a_thread_of_the_top_server_waits_for_the_budget_once() {
    let threads = [ThreadModel::periodic(span(4), span(40))];
    assert_eq!(
        thread_table(&[sporadic(10, 30)], 0, &threads),
        [(Some(24), Bound::DavisBurns)]
    );
}

/// Davis and Burns by hand, server (3, 10) below (2, 8), threads (2, 40) and (4, 60):
/// absence 7. First: w = 2 + 2 = 4, R = 11. Second: load 4 + 2 = 6, one gap of 7,
/// w = 13 + ceil((w − 10)/8)·2 = 15, R = 22.
#[test]
fn davis_burns_counts_gaps_in_full_periods_and_interference_in_the_last() {
    let servers = [sporadic(2, 8), sporadic(3, 10)];
    let threads = [
        ThreadModel::periodic(span(2), span(40)),
        ThreadModel::periodic(span(4), span(60)),
    ];
    assert_eq!(
        thread_table(&servers, 1, &threads),
        [(Some(11), Bound::DavisBurns), (Some(22), Bound::DavisBurns)]
    );
}

/// Where the server is late (R > T) the assumption of Davis and Burns fails.
#[test]
fn the_supply_bound_is_used_where_davis_burns_is_not_valid() {
    let servers = [sporadic(26, 70), sporadic(62, 100)];
    let threads = [ThreadModel::periodic(span(10), span(500))];
    // 10 + (1 + 1)·38, and 118 − 100 for the late server.
    assert_eq!(
        thread_table(&servers, 1, &threads),
        [(Some(10 + 76 + 18), Bound::Supply)]
    );
}

/// Equal bounds are Davis and Burns'; a server that takes exactly its period is in time.
#[test]
fn davis_burns_is_named_where_bounds_are_equal_and_where_a_server_is_just_in_time() {
    let threads = [ThreadModel::periodic(span(10), span(100))];
    assert_eq!(
        thread_table(&[sporadic(50, 50)], 0, &threads),
        [(Some(10), Bound::DavisBurns)]
    );
    let servers = [sporadic(5, 20), sporadic(10, 40), sporadic(40, 80)];
    // 40 absent, then 10 + 2 × 5 + 10.
    let threads = [ThreadModel::periodic(span(10), span(200))];
    assert_eq!(
        thread_table(&servers, 2, &threads),
        [(Some(70), Bound::DavisBurns)]
    );
}

#[test]
fn threads_may_ask_for_all_that_their_server_has() {
    let server = [sporadic(10, 10)];
    let all = [ThreadModel::periodic(span(10), span(10))];
    assert_eq!(thread_table(&server, 0, &all)[0].0, Some(10));
    // The first job takes 11 of its 8, the second 8.
    let shared = [
        ThreadModel::periodic(span(6), span(16)),
        ThreadModel::periodic(span(5), span(8)),
    ];
    assert_eq!(thread_table(&server, 0, &shared)[1].0, Some(11));
}

/// A thread that is still suspended when its next job arrives breaks the assumptions of the
/// jitter form and of the blocking form.
#[test]
fn a_suspension_beyond_the_next_arrival_leaves_no_bound_below() {
    let long = ThreadModel {
        suspension: span(20),
        ..ThreadModel::periodic(span(5), span(10))
    };
    let below = ThreadModel::periodic(span(1), span(100));
    let table = thread_table(&[sporadic(100, 100)], 0, &[long, below]);
    assert_eq!(
        table.iter().map(|row| row.0).collect::<Vec<_>>(),
        [None, None]
    );
}

#[test]
fn a_thread_that_asks_for_more_than_its_server_has_is_unbounded() {
    let threads = [
        ThreadModel::periodic(span(4), span(20)),
        ThreadModel::periodic(span(6), span(30)),
        ThreadModel::periodic(span(1), span(0)),
    ];
    let table = thread_table(&[sporadic(10, 30)], 0, &threads);
    assert_eq!(table[0].0, Some(24));
    assert_eq!(table[1].0, None);
    assert_eq!(table[2].0, None);
}

/// Chen et al. 2019: jitter R − C of a suspending thread, or blocking min(C, S).
#[test]
fn a_suspension_counts_by_the_least_of_three_forms() {
    let server = [sporadic(100, 100)];
    let short = ThreadModel {
        suspension: span(1),
        ..ThreadModel::periodic(span(5), span(20))
    };
    let below = ThreadModel::periodic(span(10), span(100));
    // Above: 5 + 1. Below, as execution: 10 + 6 = 16; as jitter 1: 15; as blocking: 16.
    let table = thread_table(&server, 0, &[short, below]);
    assert_eq!(
        table.iter().map(|row| row.0).collect::<Vec<_>>(),
        [Some(6), Some(15)]
    );

    let long = ThreadModel {
        suspension: span(10),
        ..short
    };
    // 15 above. Below, as execution: 10 + 15 = 25 → 40 → 40; jitter 10: ceil(25/20) = 2: 20;
    // as blocking: 10 + 5 + 5 = 20.
    let table = thread_table(&server, 0, &[long, below]);
    assert_eq!(
        table.iter().map(|row| row.0).collect::<Vec<_>>(),
        [Some(15), Some(20)]
    );
}

/// It would give up the rest of its budget whenever it blocks.
#[test]
fn a_thread_that_suspends_itself_has_no_bound_in_an_io_server() {
    let servers = [ServerModel::io(span(10), span(30))];
    let plain = ThreadModel::periodic(span(4), span(100));
    let waits = ThreadModel {
        suspension: span(1),
        ..plain
    };
    let table = thread_table(&servers, 0, &[waits, plain]);
    assert_eq!(
        table,
        [(None, Bound::Supply), (Some(20 + 4 + 5), Bound::DavisBurns)]
    );
}

#[test]
fn overheads_are_taken_from_what_a_server_gives_its_threads() {
    let costs = CostTable {
        timer_interrupt: span(1),
        ..CostTable::NONE
    };
    let servers = [sporadic(5, 50), sporadic(20, 100)];
    let context = |index| ServerContext {
        servers: &servers,
        index,
        response: Some(span(30)),
        costs: &costs,
    };
    assert_eq!(context(0).supply(), Supply::new(span(5 - 2), span(50)));
    // Two activations of the one above, one of its own, 2 each.
    assert_eq!(context(1).supply(), Supply::new(span(20 - 6), span(100)));
    assert_eq!(context(2).supply(), None);
}

#[test]
fn admission_by_utilization() {
    assert_eq!(liu_layland_bound(1), 1 << 32);
    assert_eq!((liu_layland_bound(2) * 1_000_000) >> 32, 828_427);
    assert_eq!((liu_layland_bound(3) * 1_000_000) >> 32, 779_763);
    assert_eq!((liu_layland_bound(1000) * 1_000_000) >> 32, 693_147);
    assert!((1..40).all(|n| liu_layland_bound(n + 1) <= liu_layland_bound(n)));

    assert!(admissible(&[]));
    assert!(admissible(&[sporadic(1, 1)]));
    assert!(admissible(&[sporadic(41, 100), sporadic(41, 100)]));
    assert!(!admissible(&[sporadic(42, 100), sporadic(41, 100)]));
    // (2 − 0.1)·0.1 = 0.19 for the I/O server.
    let io = ServerModel::io(span(10), span(100));
    assert!(admissible(&[sporadic(80, 100), io]));
    assert!(!admissible(&[sporadic(82, 100), io]));
    assert!(admissible(&[ServerModel::io(span(100), span(100))]));
    for refused in [
        ServerModel {
            jitter: span(1),
            ..sporadic(1, 100)
        },
        ServerModel {
            blocking: span(1),
            ..sporadic(1, 100)
        },
        sporadic(1, 100).with_deadline(span(99)),
        sporadic(101, 100),
    ] {
        assert!(!admissible(&[refused]));
    }
    assert_eq!(io.kind, ServerKind::Io);
}

#[test]
fn a_message_takes_the_senders_supply_a_poll_and_the_receivers_supply() {
    let supply = Supply::new(span(3), span(5)).unwrap();
    let sender = Endpoint {
        supply,
        work: span(1),
        poll: None,
    };
    let receiver = Endpoint {
        supply,
        work: span(4),
        poll: Some(span(100)),
    };
    assert_eq!(channel_latency(&sender, &receiver), span(5 + 100 + 10));
}

/// Three replicas (4 in server (10, 20)), a voter (2 in server (5, 20)) released by the
/// last ballot, and in each replica's server a thread that waits for the verdict.
#[test]
fn replicas_and_voter_reach_a_fixed_point_across_cores() {
    let core = [sporadic(10, 20)];
    let voter_core = [sporadic(5, 20)];
    let costs = CostTable::NONE;
    let context = |servers, response| ServerContext {
        servers,
        index: 0,
        response: Some(span(response)),
        costs: &costs,
    };
    let contexts = [
        context(&core, 10),
        context(&core, 10),
        context(&core, 10),
        context(&voter_core, 5),
    ];
    let job = ThreadModel::periodic(span(4), span(200));
    let own = [
        job,
        job,
        job,
        job,
        job,
        job,
        ThreadModel::periodic(span(2), span(200)),
    ];
    let mut dependencies = Vec::new();
    for replica in 0..3 {
        let latency = span(3);
        let (ballot, waits) = (2 * replica, 2 * replica + 1);
        dependencies.push(Dependency {
            waits: 6,
            on: ballot,
            kind: DependencyKind::Release,
            latency,
        });
        dependencies.push(Dependency {
            waits,
            on: 6,
            kind: DependencyKind::Suspension,
            latency,
        });
    }
    let (mut models, mut responses) = (own, [ThreadResponse::default(); 7]);
    let mut threads = Threads {
        servers: &[0, 0, 1, 1, 2, 2, 3],
        own: &own,
        models: &mut models,
        responses: &mut responses,
    };
    assert!(fixed_point(
        &contexts,
        &mut threads,
        &dependencies,
        span(1000)
    ));
    // Ballot: 10 + 4 = 14. Voter: jitter 14 + 3, 15 + 2: 34. Verdict known at 37.
    // The waiting thread: load 4 + (4 + 37) = 45, four gaps of 10, 10 before: 95.
    let times: Vec<_> = responses
        .iter()
        .map(|r| r.response.unwrap().as_nanos())
        .collect();
    assert_eq!(times, [14, 95, 14, 95, 14, 95, 34]);
    assert_eq!(models[6].jitter, span(17));
    assert_eq!(models[1].suspension, span(37));

    let mut threads = Threads {
        servers: &[0, 0, 1, 1, 2, 2, 3],
        own: &own,
        models: &mut models,
        responses: &mut responses,
    };
    assert!(!fixed_point(
        &contexts,
        &mut threads,
        &dependencies,
        span(94)
    ));
}

/// Two threads that release each other are later in every round: no fixed point.
#[test]
fn a_circle_of_releases_has_no_fixed_point() {
    let servers = [sporadic(10, 20)];
    let costs = CostTable::NONE;
    let context = ServerContext {
        servers: &servers,
        index: 0,
        response: Some(span(10)),
        costs: &costs,
    };
    let own = [ThreadModel::periodic(span(1), span(100)); 2];
    let (mut models, mut responses) = (own, [ThreadResponse::default(); 2]);
    let edge = |waits, on| Dependency {
        waits,
        on,
        kind: DependencyKind::Release,
        latency: Duration::ZERO,
    };
    let mut threads = Threads {
        servers: &[0, 1],
        own: &own,
        models: &mut models,
        responses: &mut responses,
    };
    assert!(!fixed_point(
        &[context, context],
        &mut threads,
        &[edge(0, 1), edge(1, 0)],
        span(10_000)
    ));
}

#[test]
fn a_limit_is_the_last_response_allowed() {
    let servers = [sporadic(10, 20)];
    let costs = CostTable::NONE;
    let context = ServerContext {
        servers: &servers,
        index: 0,
        response: Some(span(10)),
        costs: &costs,
    };
    let own = [ThreadModel::periodic(span(4), span(200))];
    for (limit, within) in [(13, false), (14, true), (15, true)] {
        let (mut models, mut responses) = (own, [ThreadResponse::default()]);
        let mut threads = Threads {
            servers: &[0],
            own: &own,
            models: &mut models,
            responses: &mut responses,
        };
        assert_eq!(
            fixed_point(&[context], &mut threads, &[], span(limit)),
            within
        );
    }
}

#[test]
fn slices_and_dependencies_that_do_not_fit_are_no_fixed_point() {
    let servers = [sporadic(10, 20)];
    let costs = CostTable::NONE;
    let context = ServerContext {
        servers: &servers,
        index: 0,
        response: Some(span(10)),
        costs: &costs,
    };
    let own = [ThreadModel::periodic(span(1), span(100)); 2];
    let fits = |placement: &[usize], models: usize, responses: usize, waits, on| {
        let (mut models, mut responses) = (
            vec![own[0]; models],
            vec![ThreadResponse::default(); responses],
        );
        let mut threads = Threads {
            servers: placement,
            own: &own,
            models: &mut models,
            responses: &mut responses,
        };
        let edge = Dependency {
            waits,
            on,
            kind: DependencyKind::Release,
            latency: Duration::ZERO,
        };
        fixed_point(&[context], &mut threads, &[edge], span(10_000))
    };
    assert!(fits(&[0, 0], 2, 2, 1, 0));
    assert!(!fits(&[0], 2, 2, 1, 0));
    assert!(!fits(&[0, 0], 1, 2, 1, 0));
    assert!(!fits(&[0, 0], 3, 2, 1, 0));
    assert!(!fits(&[0, 0], 2, 1, 1, 0));
    assert!(!fits(&[0, 0], 2, 3, 1, 0));
    assert!(!fits(&[0, 0], 2, 2, 2, 0));
    assert!(!fits(&[0, 0], 2, 2, 1, 2));
    assert!(!fits(&[0, 1], 2, 2, 1, 0), "there is no second server");
}

/// At full load a server with jitter never catches up: no number of jobs shows an end.
#[test]
fn a_busy_window_without_end_is_given_up_in_bounded_time() {
    let late = ServerModel {
        jitter: span(1),
        ..sporadic(1, 2)
    };
    assert_eq!(
        responses(&[sporadic(1, 2), late], &CostTable::NONE),
        [Some(1), None]
    );
}

/// Jobs of 1 every 3 in a server that has half of the core, g in 2g, 1 late: the window is
/// over when 2n ≥ 3g + 1, after 1.5g + 1 jobs. The first responds last, after 1 + 2g + 1.
#[test]
fn a_window_of_many_jobs_is_searched_to_its_end_and_one_of_too_many_not() {
    for (gap, response) in [(20, Some(42)), (20_000, Some(40_002)), (60_000, None)] {
        let context = ServerContext {
            servers: &[sporadic(gap, 2 * gap)],
            index: 0,
            response: Some(span(2 * gap + 1)),
            costs: &CostTable::NONE,
        };
        let mut results = [ThreadResponse::default()];
        let thread = ThreadModel::periodic(span(1), span(3));
        thread_responses(&context, &[thread], &mut results);
        assert_eq!(results[0].response, response.map(span), "gap {gap}");
    }
}

/// Asking for all that a server has, a thread never catches up with what it missed in the
/// gap: there is no end of the window, and no bound.
#[test]
fn a_thread_that_asks_for_all_of_a_server_with_gaps_has_no_bound_below_others() {
    let servers = [sporadic(1, 10), sporadic(5, 20)];
    let threads = [ThreadModel::periodic(span(5), span(20))];
    assert_eq!(thread_table(&servers, 1, &threads)[0].0, None);
    // On top nothing is missed but the gap.
    assert_eq!(
        thread_table(&servers[1..], 0, &threads),
        [(Some(20), Bound::DavisBurns)]
    );
}

/// No work is done as soon as it is there.
#[test]
fn a_thread_without_work_responds_after_its_jitter() {
    let idle = ThreadModel {
        jitter: span(70),
        ..ThreadModel::periodic(span(0), span(1))
    };
    let servers = [sporadic(1, 2_000_000)];
    assert_eq!(thread_table(&servers, 0, &[idle])[0].0, Some(70));
}

fn copying() -> Copying {
    Copying {
        pages: 20,
        total: 100,
        donor: Supply::new(span(10), span(20)).unwrap(),
        target: Supply::new(span(10), span(20)).unwrap(),
        donor_cost: span(1),
        target_cost: span(1),
        latency: span(4),
        dirtied: 0,
        period: span(100),
    }
}

#[test]
fn a_repair_without_writes_takes_one_round() {
    // 20 + 3 gaps of 10 on each side, and the latency.
    let bound = recovery_bound(&copying(), 10).unwrap();
    assert_eq!(
        (bound.time, bound.rounds, bound.copied),
        (span(50 + 4 + 50), 1, 20)
    );
    // REDUNDANCY: R(D) ≤ 2(T − C) + ⌈D·c/C⌉·T on each side.
    assert!(bound.time <= span(2 * (2 * 10 + 2 * 20) + 4));
}

#[test]
fn pre_copy_ends_when_the_rest_fits_in_one_budget() {
    // 104 for the first round: two jobs dirty 6 pages; these fit: 6 + 20 a side, and 4.
    let bound = recovery_bound(
        &Copying {
            dirtied: 3,
            ..copying()
        },
        10,
    )
    .unwrap();
    assert_eq!(
        (bound.time, bound.rounds, bound.copied),
        (span(104 + 26 + 4 + 26), 2, 26)
    );
}

#[test]
fn a_donor_that_dirties_faster_than_is_copied_is_refused_by_name() {
    let error = recovery_bound(
        &Copying {
            dirtied: 15,
            ..copying()
        },
        10,
    )
    .unwrap_err();
    assert_eq!(
        error,
        RecoveryObstacle::Dirtied {
            dirtied: 30,
            copied: 20
        }
    );
    assert!(
        error
            .to_string()
            .contains("30 pages are dirtied while 20 are copied")
    );
    let slow = Copying {
        dirtied: 9,
        ..copying()
    };
    let error = recovery_bound(&Copying { dirtied: 9, ..slow }, 1).unwrap_err();
    assert_eq!(error, RecoveryObstacle::Rounds { cap: 1, left: 18 });
}

#[test]
fn a_repair_in_windows_takes_as_many_epochs_as_the_pages_need() {
    // In 74: 5 + 20 a side, and 4 = 54 … 10 + 20: 64 … 11 + 30: 86.
    assert_eq!(pages_in(&copying(), span(74)), 10);
    assert_eq!(pages_in(&copying(), span(45)), 0);
    assert_eq!(pages_in(&copying(), span(46)), 1);
    let bound = recovery_epochs(&copying(), span(74)).unwrap();
    assert_eq!((bound.time, bound.rounds, bound.copied), (span(200), 2, 20));
    // Of each 10 copied, 8 come back: 10 left after the first, 2 fewer in each.
    let dirty = Copying {
        dirtied: 8,
        ..copying()
    };
    let bound = recovery_epochs(&dirty, span(74)).unwrap();
    assert_eq!((bound.rounds, bound.copied), (6, 20 + 8 * 5));
    let error = recovery_epochs(
        &Copying {
            dirtied: 10,
            ..dirty
        },
        span(74),
    )
    .unwrap_err();
    assert_eq!(
        error,
        RecoveryObstacle::Dirtied {
            dirtied: 10,
            copied: 10
        }
    );
    let error = recovery_epochs(&copying(), span(40)).unwrap_err();
    assert_eq!(
        error,
        RecoveryObstacle::NoTime {
            window: span(40),
            needed: span(46)
        }
    );
}

#[test]
fn the_rest_must_fit_in_one_budget_on_both_sides() {
    // Of the donor's budget of 10 a page takes 1, of the target's 50 or 8 it takes 2.
    let roomy = Supply::new(span(50), span(100)).unwrap();
    let tight = Supply::new(span(8), span(100)).unwrap();
    let rounds = |target, dirtied| {
        let copying = Copying {
            target,
            target_cost: span(2),
            dirtied,
            period: span(300),
            ..copying()
        };
        recovery_bound(&copying, 2).map(|bound| bound.rounds)
    };
    assert_eq!(rounds(roomy, 8), Ok(2));
    assert_eq!(
        rounds(roomy, 11),
        Err(RecoveryObstacle::Dirtied {
            dirtied: 11,
            copied: 11
        })
    );
    assert_eq!(
        rounds(tight, 2),
        Err(RecoveryObstacle::Rounds { cap: 2, left: 4 })
    );
}

#[test]
fn what_fits_in_the_first_window_is_repaired_however_much_is_dirtied() {
    for (pages, dirtied) in [(10, 50), (10, 10), (3, 10), (0, 50)] {
        let copying = Copying {
            pages,
            dirtied,
            ..copying()
        };
        let bound = recovery_epochs(&copying, span(74)).unwrap();
        assert_eq!((bound.rounds, bound.copied), (1, pages));
    }
    // Nothing differs, and there is no time either.
    let idle = Copying {
        pages: 0,
        ..copying()
    };
    assert_eq!(recovery_epochs(&idle, span(1)).unwrap().copied, 0);
}
