//! The rules of the sporadic server one by one, as tables: what is done, and the list of
//! replenishments (time, amount) after it.
mod common;
use common::{at, span};
use tern_sched::{ServerParameters, SporadicServer};

enum Step {
    Unblock(u64),
    Charge(u64),
}
use Step::{Charge, Unblock};

/// A server (10, 100).
fn play<const CHUNKS: u32>(minimum: u64, steps: &[(Step, &[(u64, u64)])]) {
    let parameters = ServerParameters::sporadic(span(10), span(100), 0);
    play_with::<CHUNKS>(parameters.with_minimum_budget(span(minimum)), steps);
}

fn play_with<const CHUNKS: u32>(parameters: ServerParameters, steps: &[(Step, &[(u64, u64)])]) {
    let mut server = SporadicServer::new(parameters.with_room(CHUNKS), at(0)).unwrap();
    for (number, (step, expected)) in steps.iter().enumerate() {
        match step {
            Unblock(now) => server.unblock(at(*now)),
            Charge(used) => server.charge(span(*used), |_| ()),
        }
        let list: Vec<_> = server
            .replenishments()
            .map(|chunk| (chunk.time.as_nanos(), chunk.amount.as_nanos()))
            .collect();
        assert_eq!(&list, expected, "after step {number}");
    }
    let (budget, period) = (parameters.budget, parameters.period);
    assert_eq!((server.budget(), server.period()), (budget, period));
}

#[test]
fn rule_3_each_chunk_returns_a_period_after_its_own_activation() {
    play::<8>(
        0,
        &[
            (Charge(3), &[(3, 7), (100, 3)]),
            (Unblock(6), &[(6, 7), (100, 3)]),
            (Charge(7), &[(100, 3), (106, 7)]),
            // An overrun: 3 from 100, and one of those from 106.
            (Charge(4), &[(107, 6), (200, 3), (206, 1)]),
            // Exactly the budget, and then one more.
            (Charge(10), &[(207, 6), (300, 3), (306, 1)]),
            (Charge(11), &[(308, 5), (400, 3), (406, 2)]),
            // Several budgets and a part of the first chunk.
            (Charge(42), &[(710, 3), (800, 3), (806, 4)]),
        ],
    );
}

#[test]
fn rule_4_budget_that_waited_starts_now_and_takes_in_what_it_touches() {
    play::<8>(
        0,
        &[
            (Charge(2), &[(2, 8), (100, 2)]),
            (Unblock(1), &[(2, 8), (100, 2)]),
            (Unblock(2), &[(2, 8), (100, 2)]),
            (Unblock(91), &[(91, 8), (100, 2)]),
            (Unblock(92), &[(92, 10)]),
        ],
    );
}

#[test]
fn rule_5_a_full_list_delays_its_last_entry() {
    play::<2>(
        0,
        &[
            (Charge(2), &[(2, 8), (100, 2)]),
            (Unblock(20), &[(20, 8), (100, 2)]),
            (Charge(3), &[(23, 5), (120, 5)]),
            (Unblock(40), &[(40, 5), (120, 5)]),
            // The whole first chunk: that makes room.
            (Charge(5), &[(120, 5), (140, 5)]),
        ],
    );
    play::<1>(0, &[(Charge(2), &[(100, 10)]), (Charge(10), &[(200, 10)])]);
}

#[test]
fn rule_6_a_chunk_below_the_minimum_waits_for_the_next() {
    play::<8>(3, &[(Charge(7), &[(7, 3), (100, 7)])]);
    play::<8>(3, &[(Charge(8), &[(100, 10)])]);
    play::<8>(
        3,
        &[
            (Charge(1), &[(1, 9), (100, 1)]),
            (Unblock(20), &[(20, 9), (100, 1)]),
            (Charge(2), &[(22, 7), (120, 3)]),
            (Unblock(40), &[(40, 7), (120, 3)]),
            (Charge(4), &[(44, 3), (120, 3), (140, 4)]),
            // What is delayed reaches what comes after, and takes it in.
            (Charge(1), &[(120, 5), (140, 5)]),
            (Charge(4), &[(140, 6), (220, 4)]),
        ],
    );
    play::<8>(
        2,
        &[
            (Charge(5), &[(5, 5), (100, 5)]),
            (Unblock(12), &[(12, 5), (100, 5)]),
            (Charge(4), &[(100, 6), (112, 4)]),
        ],
    );
    play::<8>(
        2,
        &[
            (Charge(5), &[(5, 5), (100, 5)]),
            (Unblock(7), &[(7, 5), (100, 5)]),
            // The rest of 1 makes the entry at 100 reach the one at 107 only at 106.
            (Charge(4), &[(100, 6), (107, 4)]),
            (Charge(5), &[(107, 5), (200, 5)]),
        ],
    );
}

#[test]
fn rule_6_holds_in_an_overrun_of_several_budgets() {
    play::<8>(
        3,
        &[
            (Charge(1), &[(1, 9), (100, 1)]),
            (Unblock(50), &[(50, 9), (100, 1)]),
            // 9 from 50 delay the 1 of 100 to 150; then twice all ten, from 150 on.
            (Charge(29), &[(350, 10)]),
        ],
    );
}

/// Rounds count one after the other where entries merge: here the delayed 5 from 120 on
/// take in the 5 of 123, and only then is a round a move by the period.
#[test]
fn rule_5_holds_in_an_overrun_of_several_budgets() {
    play::<2>(
        0,
        &[
            (Charge(2), &[(2, 8), (100, 2)]),
            (Unblock(20), &[(20, 8), (100, 2)]),
            (Charge(3), &[(23, 5), (120, 5)]),
            (Charge(20), &[(225, 5), (320, 5)]),
        ],
    );
    play::<8>(
        3,
        &[
            (Charge(1), &[(1, 9), (100, 1)]),
            (Unblock(50), &[(50, 9), (100, 1)]),
            (Charge(20), &[(251, 9), (350, 1)]),
        ],
    );
    // Four entries far apart do not merge, however often they are used.
    play::<4>(
        0,
        &[
            (Charge(1), &[(1, 9), (100, 1)]),
            (Unblock(10), &[(10, 9), (100, 1)]),
            (Charge(2), &[(12, 7), (100, 1), (110, 2)]),
            (Unblock(20), &[(20, 7), (100, 1), (110, 2)]),
            (Charge(3), &[(23, 4), (100, 1), (110, 2), (120, 3)]),
            (
                Charge(1_000_000_000),
                &[
                    (10_000_000_023, 4),
                    (10_000_000_100, 1),
                    (10_000_000_110, 2),
                    (10_000_000_120, 3),
                ],
            ),
        ],
    );
}

/// Also where exactly one budget is left when entries still merge.
#[test]
fn rule_5_holds_in_an_overrun_that_ends_with_a_whole_budget() {
    play_with::<3>(
        ServerParameters::sporadic(span(16), span(31), 0),
        &[
            (Charge(8), &[(8, 8), (31, 8)]),
            (Unblock(13), &[(13, 8), (31, 8)]),
            (Charge(4), &[(17, 4), (31, 8), (44, 4)]),
            (Unblock(24), &[(24, 4), (31, 8), (44, 4)]),
            // The list is full: the 4 from 44 on wait for the 2 until 55.
            (Charge(2), &[(26, 2), (31, 8), (55, 6)]),
            // The 2 of 26 merge into those, then the 8 of 31, and 8 of 55 are used.
            (Charge(18), &[(63, 8), (86, 8)]),
        ],
    );
}

/// However many there are: the steps do not grow with the overrun, nor does what is told.
#[test]
fn of_an_overrun_of_several_budgets_the_last_round_and_the_rest_are_told() {
    let parameters = ServerParameters::sporadic(span(10), span(100), 0);
    let parameters = parameters.with_minimum_budget(span(3));
    let mut server = SporadicServer::new(parameters.with_room(8), at(0)).unwrap();
    server.charge(span(3), |_| ());
    server.unblock(at(20));
    // 7 from 20 on and 3, which is enough of an entry, from 100 on: twice, and 1 of the 7.
    let mut told = Vec::new();
    server.charge(span(21), |posted| {
        told.push((posted.time.as_nanos(), posted.amount.as_nanos()));
    });
    assert_eq!(told, [(220, 7), (300, 3), (320, 1)]);
}

#[test]
fn a_server_with_the_whole_core_is_charged_centuries_in_a_few_steps() {
    let parameters = ServerParameters::sporadic(span(10), span(10), 0);
    let mut server = SporadicServer::new(parameters.with_room(4), at(0)).unwrap();
    server.charge(span(1_000_000_000_000_000_003), |_| ());
    assert_eq!(server.head().time, at(1_000_000_000_000_000_003));
    assert_eq!(server.replenishments().count(), 1);
}
