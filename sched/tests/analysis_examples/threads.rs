//! Response times of threads in servers.
use super::{span, sporadic};
use tern_sched::analysis::{
    Bound, CostTable, ServerContext, ServerModel, ThreadModel, ThreadResponse, server_responses,
    thread_responses,
};
use tern_units::Duration;

/// Threads of the server at `index`: (response, bound).
fn thread_table(
    servers: &[ServerModel],
    index: usize,
    threads: &[ThreadModel],
) -> Vec<(Option<u64>, Bound)> {
    thread_table_with(&CostTable::NONE, servers, index, threads)
}

fn thread_table_with(
    costs: &CostTable,
    servers: &[ServerModel],
    index: usize,
    threads: &[ThreadModel],
) -> Vec<(Option<u64>, Bound)> {
    let response = server_responses(servers, costs).nth(index).unwrap();
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
        .map(|r| (r.response.map(Duration::as_nanos), r.bound))
        .collect()
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

/// A section of 5 in the server (10, 100). The second thread's job of 15 begins at 0 and is in
/// such a section at 10, so it ends at 15, on what is taken of the next budget. The first's job
/// of 8 comes then: it has 5 at 100, which follow the 5 that are paid back, and 3 at 200; its
/// response is 188. By the bound: 90 until there is budget, 8 + 5 of it, which is 3 in the
/// second period.
#[test]
fn a_thread_pays_for_what_its_server_took_of_the_next_budget() {
    let costs = CostTable {
        longest_non_preemptible: span(5),
        ..CostTable::NONE
    };
    let threads = [(8, 1000), (15, 1000)].map(|(e, t)| ThreadModel::periodic(span(e), span(t)));
    let table = thread_table_with(&costs, &[sporadic(10, 100)], 0, &threads);
    assert_eq!(table[0], (Some(90 + 100 + 3), Bound::DavisBurns));
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

/// Below the I/O server (1, 5), server (4, 50) with a thread (3, 50): absence 46. The first
/// job: w = 3 + 1 + (w − 1)/5 = 4.75. It is late, so a second one counts: 6 of work, of which
/// 2 are in the second period, w = 50 + 3.5 and 49.5 after its arrival. In ns, as a search
/// that goes up by the I/O server's first million of ns one by one does not end.
#[test]
fn davis_burns_is_found_below_an_io_server_in_nanoseconds() {
    const MS: u64 = 1_000_000;
    let servers = [
        ServerModel::io(span(MS), span(5 * MS)),
        sporadic(4 * MS, 50 * MS),
    ];
    let threads = [ThreadModel::periodic(span(3 * MS), span(50 * MS))];
    assert_eq!(
        thread_table(&servers, 1, &threads),
        [(Some(50_750_000), Bound::DavisBurns)]
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

/// Shares of the core that differ by less than can be told apart: 1 in 2³³ + 1 offered, 1 in
/// 2³³ + 2 asked. Twice held up for 1, the thread is done in its second job's time.
#[test]
fn a_spare_share_that_is_rounded_to_nothing_is_still_one() {
    let period = (1 << 33) + 1;
    let servers = [
        sporadic(1, 1 << 60),
        sporadic(1, 1 << 60),
        sporadic(1, period),
    ];
    let threads = [ThreadModel::periodic(span(1), span(period + 1))];
    assert_eq!(
        thread_table(&servers, 2, &threads),
        [(Some(period + 2), Bound::DavisBurns)]
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
