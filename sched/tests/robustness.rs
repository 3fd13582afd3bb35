//! No input makes the scheduler panic or break a rule: unknown identifiers, time that runs
//! backwards, and instants at both ends of time.
mod common;
use common::{Random, at, span};
use tern_sched::analysis::{
    Copying, CostTable, Raised, Repair, RepairPlace, ServerContext, ServerModel, Supply,
    ThreadModel, ThreadResponse, Waking, activations, admissible, note_raised, recovery_bound,
    repair_bound, server_responses, thread_responses,
};
use tern_sched::{
    AddError, MOST_ROOM, Scheduler, ServerId, ServerKind, ServerParameters, Silent, SporadicServer,
    ThreadId, ThreadState,
};
use tern_units::{Duration, Instant};

const RUNS: u64 = if cfg!(debug_assertions) {
    3_000
} else {
    30_000
};

/// A duration or time of any magnitude.
fn any(random: &mut Random) -> u64 {
    match random.within(0, 9) {
        0 => u64::MAX - random.within(0, 20),
        1 => 0,
        _ => random.next() >> random.within(0, 63),
    }
}

fn parameters(random: &mut Random) -> ServerParameters {
    let period = any(random).max(1);
    let budget = if random.within(0, 1) == 0 {
        (any(random) % period).max(1)
    } else {
        period
    };
    ServerParameters {
        kind: if random.within(0, 3) == 0 {
            ServerKind::Io
        } else {
            ServerKind::Sporadic
        },
        budget: span(budget.min(period)),
        period: span(period),
        priority: random.within(0, 127) as u32,
        minimum_budget: span(any(random).min(budget.min(period))),
        room: 3,
    }
}

fn check<const S: usize, const T: usize, const W: usize>(
    scheduler: &Scheduler<S, T, W>,
    servers: &[ServerParameters],
) {
    for (number, parameters) in (0..).zip(servers) {
        let Some(server) = scheduler.sporadic(ServerId::new(number)) else {
            continue;
        };
        let amounts = server
            .replenishments()
            .map(|chunk| u128::from(chunk.amount.as_nanos()));
        assert_eq!(
            amounts.sum::<u128>(),
            u128::from(parameters.budget.as_nanos())
        );
        let list: Vec<_> = server.replenishments().collect();
        let ordered = list.windows(2).all(|pair| {
            pair[0]
                .time
                .checked_add(pair[0].amount)
                .is_some_and(|end| end < pair[1].time)
        });
        assert!(ordered, "{list:?}");
        assert!(list.len() <= parameters.room as usize);
    }
}

#[test]
fn any_sequence_of_calls_with_any_times_keeps_the_rules() {
    for seed in 0..RUNS {
        let mut random = Random(seed);
        let mut scheduler = Box::new(Scheduler::<5, 7, 2>::new());
        let mut servers = Vec::new();
        for _ in 0..random.within(1, 6) {
            let parameters = parameters(&mut random);
            if scheduler.add_server(parameters).is_ok() {
                servers.push(parameters);
            }
        }
        for _ in 0..random.within(0, 8) {
            let _ = scheduler.add_thread(ServerId::new(random.within(0, 5) as u16));
        }
        let small = random.within(0, 1) == 0;
        let mut now = 0;
        for _ in 0..60 {
            let thread = ThreadId::new(random.within(0, 8) as u16);
            let step = if small {
                random.within(0, 50)
            } else {
                any(&mut random)
            };
            let time = at(now).saturating_add(span(step));
            match random.within(0, 6) {
                0 => scheduler.wake(thread, if small { at(now) } else { time }),
                1 => scheduler.block(thread, &mut Silent),
                2 => scheduler.sleep_until(thread, time, &mut Silent),
                3 => {
                    let server = ServerId::new(random.within(0, 6) as u16);
                    scheduler.request(thread, server, &mut Silent);
                }
                4 => scheduler.served(thread, &mut Silent),
                _ => {
                    now = if random.within(0, 20) == 0 {
                        any(&mut random)
                    } else {
                        time.as_nanos()
                    };
                    let decision = scheduler.dispatch(at(now), &mut Silent);
                    assert!(decision.timer > at(now) || at(now) == Instant::NEVER);
                    assert_eq!(decision.thread, scheduler.running());
                    if let Some(thread) = decision.thread {
                        assert_eq!(scheduler.thread_state(thread), Some(ThreadState::Runnable));
                    }
                    check(&scheduler, &servers);
                }
            }
        }
    }
}

#[test]
fn any_numbers_are_analysed_without_panic_and_in_bounded_time() {
    for seed in 0..RUNS / 10 {
        let mut random = Random(seed);
        let duration = |random: &mut Random| span(any(random));
        let mut servers: Vec<_> = (0..random.within(1, 4))
            .map(|_| ServerModel {
                kind: if random.within(0, 3) == 0 {
                    ServerKind::Io
                } else {
                    ServerKind::Sporadic
                },
                budget: duration(&mut random),
                period: duration(&mut random),
                deadline: duration(&mut random),
                jitter: duration(&mut random),
                blocking: duration(&mut random),
                activations: any(&mut random) as u32,
                raised: (random.within(0, 4) == 0).then(|| Raised {
                    to: random.within(0, 5) as usize,
                    late: (random.within(0, 1) == 0).then(|| duration(&mut random)),
                }),
            })
            .collect();
        let mut costs = CostTable::NONE;
        if random.within(0, 1) == 0 {
            costs.context_switch = duration(&mut random);
            costs.longest_non_preemptible = duration(&mut random);
        }
        let threads: Vec<_> = (0..random.within(0, 4))
            .map(|_| ThreadModel {
                wcet: duration(&mut random),
                period: duration(&mut random),
                jitter: duration(&mut random),
                wakes: random.within(0, 3) as u32,
            })
            .collect();
        let mut results = vec![ThreadResponse::default(); threads.len()];
        if random.within(0, 1) == 0 {
            note_raised(&mut servers, &costs);
        }
        for (index, found) in server_responses(&servers, &costs).enumerate() {
            let response = found.response;
            assert!(response.is_none_or(|response| response >= servers[index].budget));
            for response in [response, Some(duration(&mut random))] {
                let context = ServerContext {
                    servers: &servers,
                    index,
                    response,
                    costs: &costs,
                };
                thread_responses(&context, &threads, &mut results);
                for (result, thread) in results.iter().zip(&threads) {
                    let time = result.time();
                    assert!(time.is_none_or(|response| response >= thread.wcet));
                }
            }
        }
        let _ = admissible(&servers);
        let Some(supply) = Supply::new(servers[0].budget, servers[0].period) else {
            continue;
        };
        let supply = supply.late_by(duration(&mut random));
        let time = supply.time_for(duration(&mut random));
        assert!(supply.bound(time) <= time);
        let copying = Copying {
            pages: any(&mut random),
            total: any(&mut random),
            donor: supply,
            target: supply,
            donor_cost: duration(&mut random),
            target_cost: duration(&mut random),
            latency: duration(&mut random),
            dirtied: any(&mut random),
            period: duration(&mut random),
        };
        let _ = recovery_bound(&copying, 20);
        let repair = Repair {
            pages: any(&mut random),
            page: duration(&mut random),
            look: duration(&mut random),
            last: duration(&mut random),
            slots: any(&mut random),
            window: duration(&mut random),
            looks: any(&mut random),
            epoch: duration(&mut random),
        };
        let context = ServerContext {
            servers: &servers,
            index: random.within(0, 8) as usize,
            response: None,
            costs: &costs,
        };
        let wcet = duration(&mut random);
        let _ = repair_bound(&repair, &[RepairPlace { context, wcet }]);
        let small = Repair {
            pages: repair.pages % 64,
            slots: repair.slots % 8,
            page: span(1),
            last: span(1),
            ..repair
        };
        let _ = repair_bound(&small, &[RepairPlace { context, wcet }]);
        let pieces = any(&mut random) as u32;
        for server in &servers {
            let clock = Waking::by_clock(server.budget, server.jitter, server.period);
            let any = Waking::at_any_time(server.budget, server.jitter);
            let _ = activations(server.kind, server.period, &[clock, any], || pieces);
        }
    }
}

#[test]
fn impossible_parameters_are_refused_by_name() {
    let mut scheduler = Scheduler::<1, 1, 1>::new();
    let good = ServerParameters::sporadic(span(1), span(2), 63);
    let cases = [
        (
            ServerParameters {
                budget: span(0),
                ..good
            },
            AddError::Budget,
        ),
        (
            ServerParameters {
                budget: span(3),
                ..good
            },
            AddError::Budget,
        ),
        (good.with_minimum_budget(span(2)), AddError::MinimumBudget),
        (good.with_room(0), AddError::Room),
        (good.with_room(MOST_ROOM + 1), AddError::Room),
        (
            ServerParameters {
                priority: 64,
                ..good
            },
            AddError::Priority,
        ),
        (
            ServerParameters {
                priority: u32::MAX,
                ..good
            },
            AddError::Priority,
        ),
    ];
    for (parameters, error) in cases {
        assert_eq!(scheduler.add_server(parameters), Err(error));
        assert!(!error.to_string().is_empty());
    }
    assert_eq!(
        scheduler.add_thread(ServerId::new(0)),
        Err(AddError::UnknownServer)
    );
    let server = scheduler
        .add_server(good.with_minimum_budget(span(1)))
        .unwrap();
    assert_eq!(scheduler.add_server(good), Err(AddError::Full));
    assert_eq!(scheduler.add_thread(server).map(ThreadId::index), Ok(0));
    assert_eq!(scheduler.add_thread(server), Err(AddError::Full));
    assert_eq!(scheduler.thread_state(ThreadId::new(1)), None);
    assert_eq!(scheduler.server_of(ThreadId::new(1)), None);
    assert_eq!(scheduler.server_of(ThreadId::new(0)), Some(server));
}

#[test]
fn an_overrun_of_centuries_is_charged_in_a_few_steps() {
    let parameters = ServerParameters::sporadic(span(10), span(100), 0);
    let mut server = SporadicServer::new(parameters.with_room(4), at(0)).unwrap();
    let mut posts = 0;
    server.charge(span(1_000_003), |_| posts += 1);
    // 100,000 rounds, and 3 units of the chunk that then comes.
    let list: Vec<_> = server
        .replenishments()
        .map(|c| (c.time, c.amount))
        .collect();
    assert_eq!(list, [(at(10_000_003), span(7)), (at(10_000_100), span(3))]);
    server.charge(Duration::MAX, |_| posts += 1);
    assert_eq!(server.replenishments().count(), 1);
    assert_eq!(server.head().time, Instant::NEVER);
    assert!(posts < 20);
}

#[test]
fn at_the_end_of_time_budget_comes_late_and_never_early() {
    let near = u64::MAX - 50;
    let parameters = ServerParameters::sporadic(span(10), span(40), 0);
    let mut server = SporadicServer::new(parameters.with_room(4), at(near)).unwrap();
    server.charge(span(10), |_| ());
    assert_eq!(server.head().time, at(near + 40));
    server.charge(span(4), |_| ());
    server.charge(span(6), |_| ());
    assert_eq!(server.replenishments().count(), 1);
    assert_eq!(
        (server.head().time, server.head().amount),
        (Instant::NEVER, span(10))
    );
    server.unblock(Instant::NEVER);
    assert_eq!(server.available(at(u64::MAX - 1)), Duration::ZERO);
}
