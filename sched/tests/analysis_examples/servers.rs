//! Response times of servers.
use super::{responses, span, sporadic};
use tern_sched::analysis::{CostTable, Raised, ServerModel, note_raised, server_responses};

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
    let raised = raised(ServerModel::io(span(30), span(100)), 0, 0);
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
    let servers = [sporadic(1, 20), sporadic(5, 20), raised(io, 1, 0)];
    assert_eq!(
        responses(&servers, &CostTable::NONE)[..2],
        [Some(1), Some(10)]
    );
}

fn raised(server: ServerModel, to: usize, late: u64) -> ServerModel {
    let late = Some(span(late));
    ServerModel {
        raised: Some(Raised { to, late }),
        ..server
    }
}

/// An I/O server (6, 16) below (9, 33), which it is raised past: 15 at its own place, so 9 late.
/// Its driver's jobs of 3 come at 0, 8 and 16, and the one between takes [0, 9): so the first
/// has [9, 12), the second [12, 15), and if the third is raised it goes on to 18: 9 in 9, where
/// the demand bound alone is 6 + 3 · 6/16 = 8.
#[test]
fn a_raised_io_server_makes_up_for_what_it_is_late_with() {
    let to_the_top = |late| raised(ServerModel::io(span(6), span(16)), 0, late);
    let mut servers = [sporadic(1, 100), sporadic(9, 33), to_the_top(0)];
    note_raised(&mut servers, &CostTable::NONE);
    // 6 + 9 + 1.
    assert_eq!(servers[2], to_the_top(16 - 6));
    // w = 1 + min(w, 6) + ⌈(w − 6)·6/16⌉ + ⌈10·6/16⌉ = 1 + 6 + ⌈7.2 …⌉ + 4.
    let top = |servers: &[ServerModel]| responses(servers, &CostTable::NONE)[0];
    assert_eq!(top(&servers), Some(14));
    assert_eq!(top(&[servers[0], servers[1], to_the_top(0)]), Some(8));
}

/// Who is later than its period would make up for more than a budget where it is raised.
#[test]
fn an_io_server_that_is_later_than_its_period_leaves_those_it_is_raised_past_without_bound() {
    let io = raised(ServerModel::io(span(6), span(16)), 1, 0);
    let mut servers = [sporadic(1, 100), sporadic(9, 33), sporadic(2, 60), io];
    let noted = |servers: &mut [ServerModel]| {
        note_raised(servers, &CostTable::NONE);
        servers[3].raised.unwrap().late
    };
    assert_eq!(noted(&mut servers), None, "18 of 16");
    let found = responses(&servers, &CostTable::NONE);
    assert_eq!(found, [Some(1), None, None, Some(18)]);
    servers[2].budget = span(0);
    assert_eq!(noted(&mut servers), None, "one that makes no sense above");
}

/// At full load a server with jitter never catches up: no number of jobs shows an end. The closed
/// form is 1 + (1 + ½) / ½, with ½ rounded up and one for rounded shares.
#[test]
fn a_busy_window_without_end_is_given_up_for_the_closed_form() {
    let late = ServerModel {
        jitter: span(1),
        ..sporadic(1, 2)
    };
    let servers = [sporadic(1, 2), late];
    let found: Vec<_> = server_responses(&servers, &CostTable::NONE).collect();
    assert_eq!(found[0].response, Some(span(1)));
    assert!(!found[0].gave_up && found[1].gave_up);
    assert_eq!(found[1].response, Some(span(1 + 4 + 1)));
}
