//! What a server supplies, and what a message takes.
use super::{span, sporadic};
use tern_sched::analysis::{
    CostTable, Endpoint, ServerContext, ServerModel, Supply, channel_latency,
};

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
            let supply = supply.late_by(span(response - period));
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

    // Late by 30 of 20, of which 4 are its jitter.
    let late = ServerModel {
        jitter: span(4),
        ..sporadic(5, 20)
    };
    let context = ServerContext {
        servers: &[late],
        index: 0,
        response: Some(span(30)),
        costs: &CostTable::NONE,
    };
    let expected = Supply::new(span(5), span(20)).map(|it| it.late_by(span(6)));
    assert_eq!(context.supply(), expected);
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
