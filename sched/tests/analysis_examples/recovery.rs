//! Bounds on repairs.
use super::span;
use tern_sched::analysis::{Copying, RecoveryObstacle, Supply, recovery_bound};

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
    // A bound by hand: R(D) ≤ 2(T − C) + ⌈D·c/C⌉·T on each side.
    assert!(bound.time <= span(2 * (2 * 10 + 2 * 20) + 4));
}

#[test]
fn pre_copy_ends_when_the_rest_fits_in_one_budget() {
    // 104 for the first round: two jobs dirty 6 pages; these fit: up to 100 to the next
    // release, then 6 + 20 a side, and 4.
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
        (span(104 + 100 + 26 + 4 + 26), 2, 26)
    );
}

/// It begins with a release: nothing to wait for.
#[test]
fn what_fits_in_one_budget_is_copied_at_once() {
    // 5 + 20 a side, and 4.
    let few = Copying {
        pages: 5,
        dirtied: 3,
        ..copying()
    };
    let bound = recovery_bound(&few, 10).unwrap();
    assert_eq!((bound.time, bound.rounds), (span(25 + 4 + 25), 1));
}

/// Only the last of several rounds waits for a release.
#[test]
fn rounds_that_leave_too_much_follow_one_another_at_once() {
    // 80 pages take 170 a side and 4: 344, 4 jobs dirty 40. These 90 a side: 184, 3 jobs (one
    // of them begun before) dirty 30. These 70 a side: 144, 3 jobs again.
    let slow = Copying {
        pages: 80,
        dirtied: 10,
        ..copying()
    };
    let error = recovery_bound(&slow, 10).unwrap_err();
    assert_eq!(
        error,
        RecoveryObstacle::Dirtied {
            dirtied: 30,
            copied: 30
        }
    );
    // With 3 a job: 344, 12 left; 42 + 4 + 42 = 88, 6 left; up to 100, and 26 + 4 + 26.
    let bound = recovery_bound(&Copying { dirtied: 3, ..slow }, 10).unwrap();
    assert_eq!(
        (bound.time, bound.rounds, bound.copied),
        (span(344 + 88 + 100 + 56), 3, 80 + 12 + 6)
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
    // One job in the first round, two that reach into the second.
    assert_eq!(
        rounds(roomy, 11),
        Err(RecoveryObstacle::Dirtied {
            dirtied: 22,
            copied: 11
        })
    );
    assert_eq!(
        rounds(tight, 2),
        Err(RecoveryObstacle::Dirtied {
            dirtied: 6,
            copied: 6
        })
    );
}
