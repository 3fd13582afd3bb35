//! Response times of threads in servers.
use super::{span, sporadic};
use tern_sched::analysis::{
    Bound, CostTable, ServerContext, ServerModel, Steps, ThreadModel, ThreadResponse,
    server_responses, thread_response, thread_responses,
};

/// Threads of the server at `index`: (response, bound).
fn thread_table(
    servers: &[ServerModel],
    index: usize,
    threads: &[ThreadModel],
) -> Vec<Option<(u64, Bound)>> {
    thread_table_with(&CostTable::NONE, servers, index, threads)
}

fn thread_table_with(
    costs: &CostTable,
    servers: &[ServerModel],
    index: usize,
    threads: &[ThreadModel],
) -> Vec<Option<(u64, Bound)>> {
    let response = server_responses(servers, costs)
        .nth(index)
        .unwrap()
        .response;
    let mut results = vec![ThreadResponse::default(); threads.len()];
    thread_responses(
        &ServerContext {
            servers,
            index,
            response,
            costs,
        },
        threads,
        &mut results,
    );
    results
        .iter()
        .map(|it| it.response.map(|(time, bound)| (time.as_nanos(), bound)))
        .collect()
}

fn periodic(wcet: u64, period: u64) -> ThreadModel {
    ThreadModel::periodic(span(wcet), span(period))
}

/// Two threads that together never ask for more than 10 in any 50: as at the level.
#[test]
fn threads_that_cannot_exhaust_their_server_are_as_good_as_its_level() {
    let threads = [periodic(2, 50), periodic(3, 50)];
    assert_eq!(
        thread_table(&[sporadic(10, 50)], 0, &threads),
        [
            Some((2, Bound::WithinBudget)),
            Some((5, Bound::WithinBudget))
        ]
    );
    // Of 4 they ask for too much, though not in the long run.
    let threads = [periodic(2, 70), periodic(3, 70)];
    let tight = thread_table(&[sporadic(4, 50)], 0, &threads);
    assert!(
        tight
            .iter()
            .all(|it| it.is_some_and(|(_, by)| by != Bound::WithinBudget))
    );
}

/// Sections of 5: whoever comes while the second thread is in one waits for its end, on the
/// lowest server too. Below it another server may be in one, but not both at once.
#[test]
fn a_thread_waits_for_a_section_of_one_below_it_in_its_server() {
    let costs = CostTable {
        longest_non_preemptible: span(5),
        ..CostTable::NONE
    };
    let threads = [periodic(2, 50), periodic(3, 50)];
    let within = |time| Some((time, Bound::WithinBudget));
    let alone = [sporadic(10, 50)];
    assert_eq!(
        thread_table_with(&costs, &alone, 0, &threads),
        [within(5 + 2), within(2 + 3)]
    );
    let above = [sporadic(10, 50), sporadic(1, 100)];
    assert_eq!(
        thread_table_with(&costs, &above, 0, &threads),
        [within(5 + 2), within(5 + 2 + 3)]
    );
}

/// Also where that exceeds the server's period: 62 in any 100 below (26, 70). The first:
/// 30 + 26. The second: 30 + 32 are done after 114, so a second job of the first comes between,
/// 92 + 3 · 26.
#[test]
fn a_server_that_cannot_be_exhausted_may_be_later_than_its_period() {
    let servers = [sporadic(26, 70), sporadic(62, 100)];
    let threads = [periodic(30, 100), periodic(32, 100)];
    assert_eq!(
        thread_table(&servers, 1, &threads),
        [
            Some((56, Bound::WithinBudget)),
            Some((170, Bound::WithinBudget))
        ]
    );
}

/// (7, 33), threads (2, 17) up to 28 late and (3, 46) up to 21 late. As if on time they ask for
/// 4 + 3 in any 33; late for 8 + 6: then the second takes 43 in a simulation, where 5 + 21 would
/// be its bound at the level.
#[test]
fn jitter_counts_in_what_threads_ask_for() {
    let late = |thread, jitter| ThreadModel {
        jitter: span(jitter),
        ..thread
    };
    let server = [sporadic(7, 33)];
    let on_time = thread_table(&server, 0, &[periodic(2, 17), periodic(3, 46)]);
    assert_eq!(on_time[1], Some((5, Bound::WithinBudget)));
    let threads = [late(periodic(2, 17), 28), late(periodic(3, 46), 21)];
    let (time, by) = thread_table(&server, 0, &threads)[1].unwrap();
    assert_eq!(by, Bound::BusyWindow);
    assert!((43..100).contains(&time), "{time}");
}

/// The jitter of the server is that of each of its threads, by whichever theorem they have their
/// bound.
#[test]
fn the_jitter_of_a_server_reaches_the_bounds_of_its_threads() {
    let table = |jitter| {
        let late = |server| ServerModel {
            jitter: span(jitter),
            ..server
        };
        let io = ServerModel::io(span(10), span(50));
        [
            // 2 + 3, and the whole 12 of 50 in between are enough with 5 of jitter, too.
            thread_table(
                &[late(sporadic(12, 50))],
                0,
                &[periodic(2, 60), periodic(3, 60)],
            )[1],
            // The budget is back after 4 · 5 = 20.
            thread_table(&[late(io)], 0, &[periodic(4, 60)])[0],
            // 40 until there is budget, and 4.
            thread_table(&[late(io)], 0, &[periodic(4, 100), periodic(5, 100)])[0],
            // As below, with and without.
            thread_table(
                &[sporadic(2, 8), late(sporadic(3, 10))],
                1,
                &[periodic(2, 40), periodic(4, 60)],
            )[0],
            thread_table(
                &[sporadic(2, 8), late(sporadic(3, 10))],
                1,
                &[periodic(2, 40), periodic(4, 60)],
            )[1],
        ]
        .map(|it| it.unwrap())
    };
    assert_eq!(
        table(0),
        [
            (5, Bound::WithinBudget),
            (4, Bound::InStep),
            (44, Bound::DavisBurns),
            (11, Bound::DavisBurns),
            (15, Bound::BusyWindow),
        ]
    );
    let later = table(0).map(|(time, by)| (time + 5, by));
    assert_eq!(table(5), later);
}

/// One thread, top server (10, 30): 10, and 4 in the next period.
#[test]
fn a_job_longer_than_the_budget_waits_for_the_next() {
    assert_eq!(
        thread_table(&[sporadic(10, 30)], 0, &[periodic(14, 60)]),
        [Some((34, Bound::BusyWindow))]
    );
}

/// Server (3, 10) below (2, 8), threads (2, 40) and (4, 60): absence 7.
///
/// First, by Davis and Burns: w = 2 + 2 = 4, R = 11. By the busy window as much: the second's
/// job runs for 2 before it comes, 10 + (1 + 2) − 2. Second: 4 + 2 from when the server begins,
/// 10 + 3 + 2; by Davis and Burns 7 more.
#[test]
fn the_least_of_davis_burns_and_the_busy_window_is_reported() {
    let servers = [sporadic(2, 8), sporadic(3, 10)];
    let threads = [periodic(2, 40), periodic(4, 60)];
    assert_eq!(
        thread_table(&servers, 1, &threads),
        [Some((11, Bound::DavisBurns)), Some((15, Bound::BusyWindow))]
    );
}

/// A section of 5 in the server (10, 100). The second thread's job of 15 begins at 0 and is in
/// such a section at 10, so it ends at 15, on what is taken of the next budget. The first's job
/// of 8 comes then: it has 5 at 100, which follow the 5 that are paid back, and 3 at 200; its
/// response is 188. By the bound: 90 until there is budget, 8 + 5 of it, which is 3 in the
/// second period. The second waits for the first: 15 + 8 from 0 on, 3 at 200.
#[test]
fn a_thread_pays_for_what_its_server_took_of_the_next_budget() {
    let costs = CostTable {
        longest_non_preemptible: span(5),
        ..CostTable::NONE
    };
    let table = thread_table_with(
        &costs,
        &[sporadic(10, 100)],
        0,
        &[periodic(8, 1000), periodic(15, 1000)],
    );
    assert_eq!(
        table,
        [
            Some((90 + 100 + 3, Bound::DavisBurns)),
            Some((203, Bound::BusyWindow))
        ]
    );
}

/// I/O server (4, 57), sections of 3, threads (1, 171) and (10, 202). The second begins at 0 and
/// is in a section at 4, so it ends at 7: the next budget comes at 7 · 57/4 = 99.75. The first's
/// job that came at 4 waits for that: 96, and 1. The second: 96, then 11 in three budgets, the
/// last of which comes up to 10 · 57/4 after the first, and two roundings, for 3: with one more
/// job of the first (within 96 + 148) 12, so 11 · 57/4 = 157, + 2, + 4.
#[test]
fn an_overrun_of_an_io_server_delays_its_next_budget_by_its_share() {
    let costs = CostTable {
        longest_non_preemptible: span(3),
        ..CostTable::NONE
    };
    let server = [ServerModel::io(span(4), span(57))];
    let threads = [periodic(1, 171), periodic(10, 202)];
    assert_eq!(
        thread_table_with(&costs, &server, 0, &threads),
        [
            Some((96 + 1, Bound::DavisBurns)),
            Some((96 + 157 + 2 + 4, Bound::DavisBurns))
        ]
    );
    // Without sections: 53 and 1; 53, two periods, 3 and 1.
    assert_eq!(
        thread_table(&server, 0, &threads),
        [
            Some((54, Bound::DavisBurns)),
            Some((53 + 114 + 3, Bound::DavisBurns))
        ]
    );
}

/// Below the I/O server (1, 5), server (4, 50) with threads (3, 50) and (2, 120). After Δ of the
/// second's 2 the first has 4 − Δ at once, and Δ − 1 at 50: 50 + 1 + 1.25 (Δ − 1) − Δ is the most
/// where Δ = 2. By Davis and Burns: absence 46, 3 + 1 + (w − 1)/5 = 4.75. In ns, as a search
/// that goes up by the I/O server's first million of ns one by one does not end.
#[test]
fn bounds_are_found_below_an_io_server_in_nanoseconds() {
    const MS: u64 = 1_000_000;
    let servers = [
        ServerModel::io(span(MS), span(5 * MS)),
        sporadic(4 * MS, 50 * MS),
    ];
    let threads = [periodic(3 * MS, 50 * MS), periodic(2 * MS, 120 * MS)];
    assert_eq!(
        thread_table(&servers, 1, &threads)[0],
        Some((50_250_000, Bound::BusyWindow))
    );
}

/// Where the server is late (118 of 100) the assumption of Davis and Burns fails. The first
/// thread: 53 of the second's before it, 1 in the second period: 100 + 27 − 53; or 54 + 34.
/// The third: load 20 + 10 + 90 = 120, one whole budget, so 58 at the end of the second period
/// from 38 on, 18 late: 38 + 100 + 38 + 58 + 18.
#[test]
fn the_supply_bound_holds_where_that_of_davis_and_burns_does_not() {
    let servers = [sporadic(26, 70), sporadic(62, 100)];
    let threads = [periodic(10, 500), periodic(90, 300), periodic(20, 300)];
    let table = thread_table(&servers, 1, &threads);
    assert_eq!(table[2], Some((252, Bound::Supply)));
    assert!(
        table
            .iter()
            .all(|it| it.is_some_and(|(_, by)| by != Bound::DavisBurns))
    );
}

/// Equal bounds are Davis and Burns'; a server that takes exactly its period is in time: 40
/// absent, then 10 + 2 × 5 + 10; or 40 of the second's before it, 80 + 30 − 40.
#[test]
fn davis_burns_is_named_where_bounds_are_equal_and_where_a_server_is_just_in_time() {
    let servers = [sporadic(5, 20), sporadic(10, 40), sporadic(40, 80)];
    let threads = [periodic(10, 200), periodic(40, 400)];
    assert_eq!(
        thread_table(&servers, 2, &threads)[0],
        Some((70, Bound::DavisBurns))
    );
}

#[test]
fn threads_may_ask_for_all_that_their_server_has() {
    let server = [sporadic(10, 10)];
    assert_eq!(
        thread_table(&server, 0, &[periodic(10, 10)]),
        [Some((10, Bound::WithinBudget))]
    );
    // The first job takes 11 of its 8, the second 8.
    let shared = thread_table(&server, 0, &[periodic(6, 16), periodic(5, 8)]);
    assert_eq!(shared[1].map(|(time, _)| time), Some(11));
    // (6, 10) up to 4 late, twice 3 in 10: the server never catches up, and what it is behind
    // with does not grow. First: 4 absent, and 3, and 4 late, or one less. Second: 3 + 2 · 3 from
    // when it begins, 10 + 3 and 4 late.
    let late = ServerModel {
        jitter: span(4),
        ..sporadic(6, 10)
    };
    let table = thread_table(&[late], 0, &[periodic(3, 10), periodic(3, 10)]);
    assert_eq!(
        table,
        [Some((10, Bound::BusyWindow)), Some((17, Bound::BusyWindow))]
    );
}

#[test]
fn a_thread_that_asks_for_more_than_its_server_has_is_unbounded() {
    let threads = [periodic(4, 20), periodic(6, 30), periodic(1, 0)];
    let table = thread_table(&[sporadic(10, 30)], 0, &threads);
    assert_eq!(table, [Some((24, Bound::DavisBurns)), None, None]);
}

/// A thread of 1 in 3, in a server that has half of the core: it takes some 3 · 60,000 jobs
/// until the server has caught up, and each takes a step. Of too few the closed form is told,
/// and that the search was given up. At worst the first's job comes when all of the budget was
/// just used.
#[test]
fn a_search_of_too_many_steps_is_given_up_for_a_closed_form() {
    let servers = [sporadic(60_000, 120_000)];
    let threads = [periodic(1, 3), periodic(70_000, 540_001)];
    let context = ServerContext {
        servers: &servers,
        index: 0,
        response: Some(span(60_000)),
        costs: &CostTable::NONE,
    };
    let found = |index, steps| {
        let result = thread_response(
            &context,
            &threads,
            index,
            &mut Steps::in_all(4 * steps, steps),
        );
        let (time, by) = result.response.unwrap();
        (time.as_nanos(), by, result.gave_up)
    };
    for index in [0, 1] {
        let (exact, by, gave_up) = found(index, 1 << 22);
        assert!(by != Bound::ClosedForm && !gave_up, "{by:?}");
        let (closed, by, gave_up) = found(index, 10);
        assert!(by == Bound::ClosedForm && gave_up, "{by:?}");
        assert!(
            exact <= closed && closed < 4 * exact,
            "{exact} and {closed}"
        );
    }
    assert_eq!(found(0, 1 << 22).0, 60_000 + 1);
}

/// No work is done as soon as it is there.
#[test]
fn a_thread_without_work_responds_after_its_jitter() {
    let idle = ThreadModel {
        jitter: span(70),
        ..periodic(0, 1)
    };
    let servers = [sporadic(1, 2_000_000)];
    assert_eq!(
        thread_table(&servers, 0, &[idle]),
        [Some((70, Bound::WithinBudget))]
    );
}
