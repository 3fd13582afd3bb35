//! The numeric examples that the scheduling rules come with.
mod common;
use common::{Jobs, simulate, span};
use tern_sched::ServerParameters;

fn sporadic(budget: u64, period: u64, priority: u32) -> ServerParameters {
    ServerParameters::sporadic(span(budget), span(period), priority)
}

/// Sporadic server (5, 10) between tasks (1, 5) and (4, 15), requests of 2 at 4 and 8:
/// Sprunt, Sha, Lehoczky 1989.
#[test]
fn a_server_between_two_tasks_replenishes_2_at_14_and_2_at_18() {
    let periodic = |work, period| (0..6_u64).map(|job| (job * period, work)).collect();
    let outcome = simulate(
        &[sporadic(1, 5, 0), sporadic(5, 10, 1), sporadic(4, 15, 2)],
        &[
            Jobs {
                server: 0,
                jobs: periodic(1, 5),
            },
            Jobs {
                server: 1,
                jobs: vec![(4, 2), (8, 2)],
            },
            Jobs {
                server: 2,
                jobs: periodic(4, 15),
            },
        ],
        20,
    );
    assert_eq!(outcome.finished[1], [4 + 3, 8 + 2]);
    assert_eq!(outcome.replenishments[1], [(14, 2), (18, 2)]);
}

#[test]
fn a_server_on_top_that_blocks_at_3_and_is_ready_at_6_runs_in_two_chunks() {
    let outcome = simulate(
        &[sporadic(10, 40, 0)],
        &[Jobs {
            server: 0,
            jobs: vec![(0, 3), (6, 1_000_000)],
        }],
        83,
    );
    assert_eq!(
        outcome.runs[0],
        [(0, 3), (6, 13), (40, 43), (46, 53), (80, 83)]
    );
    assert_eq!(outcome.replenishments[0][..2], [(40, 3), (46, 7)]);
}

#[test]
fn threads_of_a_server_run_in_order_of_precedence() {
    let outcome = simulate(
        &[sporadic(10, 10, 0)],
        &[
            Jobs {
                server: 0,
                jobs: vec![(2, 2)],
            },
            Jobs {
                server: 0,
                jobs: vec![(0, 4)],
            },
            Jobs {
                server: 0,
                jobs: vec![(0, 1)],
            },
        ],
        20,
    );
    assert_eq!(outcome.finished, [[4], [6], [7]]);
}

#[test]
fn an_idle_core_does_not_run_a_server_without_budget() {
    let outcome = simulate(
        &[sporadic(2, 10, 0)],
        &[Jobs {
            server: 0,
            jobs: vec![(0, 5)],
        }],
        30,
    );
    assert_eq!(outcome.runs[0], [(0, 2), (10, 12), (20, 21)]);
    assert_eq!(outcome.exhausted, 2);
}

#[test]
fn the_timer_does_not_fire_for_what_cannot_preempt() {
    let outcome = simulate(
        &[sporadic(50, 100, 0), sporadic(1, 2, 1)],
        &[
            Jobs {
                server: 0,
                jobs: vec![(10, 50)],
            },
            Jobs {
                server: 1,
                jobs: vec![(0, 10), (30, 1), (40, 1)],
            },
        ],
        60,
    );
    // 0 to 10: each of five chunks starts and ends; then one run to 60.
    assert_eq!(outcome.runs[0], [(10, 60)]);
    assert_eq!(outcome.dispatches, 11);
}
