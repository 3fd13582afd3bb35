//! Response times of servers.
use super::{responses, span, sporadic};
use tern_sched::analysis::{CostTable, ServerModel, server_responses};

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
    // The lower one is the last: no section of a lower one can hold it up. But in one the
    // higher one may overrun.
    assert_eq!(
        responses(&servers, &costs),
        [Some(100 + 32 + 7), Some(132 + 7 + 116)]
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
