//! The analysis against the `response-time-analysis` crate (Brandenburg), written by others
//! from other papers (Bozhko and Brandenburg, ECRTS 2020): equal results wherever it covers
//! the case.
mod common;
use common::{Random, span};
use response_time_analysis::arrival::Sporadic;
use response_time_analysis::demand::RBF;
use response_time_analysis::fixed_priority::{floating_nonpreemptive, fully_preemptive};
use response_time_analysis::supply::{Periodic, SupplyBound};
use response_time_analysis::time::{Duration, Service};
use response_time_analysis::wcet::Scalar;
use tern_sched::analysis::{CostTable, ServerModel, Supply, server_responses};

const SETS: u64 = if cfg!(debug_assertions) {
    2_000
} else {
    20_000
};

fn demand(server: &ServerModel) -> RBF<Sporadic, Scalar> {
    let period = Duration::from(server.period.as_nanos());
    let jitter = Duration::from(server.jitter.as_nanos());
    RBF::new(
        Sporadic::new(period, jitter),
        Scalar::new(Service::from(server.budget.as_nanos())),
    )
}

/// Random sets of two to six servers with a load of up to about 0.95; every second one with
/// jitter, every third with blocking.
fn random_set(seed: u64) -> Vec<ServerModel> {
    let mut random = Random(seed);
    let count = random.within(2, 6);
    (0..count)
        .map(|_| {
            let period = random.within(4, 200);
            let budget = random.within(1, (19 * period / (10 * count)).clamp(1, period));
            let mut server = ServerModel::sporadic(span(budget), span(period));
            if seed.is_multiple_of(2) {
                server.jitter = span(random.within(0, 2 * period));
            }
            if seed.is_multiple_of(3) {
                server.blocking = span(random.within(0, 30));
            }
            server
        })
        .collect()
}

#[test]
fn servers_with_jitter_and_blocking_have_equal_response_times() {
    let (mut compared, mut unbounded) = (0, 0);
    for seed in 0..SETS {
        let mut servers = random_set(seed);
        for index in 0..servers.len() {
            // There the response counts from the release, here from the arrival: equal
            // for a server without jitter of its own.
            let jitter = std::mem::take(&mut servers[index].jitter);
            let load: f64 = servers[..=index]
                .iter()
                .map(|s| s.budget.as_nanos() as f64 / s.period.as_nanos() as f64)
                .sum();
            let ours = server_responses(&servers, &CostTable::NONE)
                .nth(index)
                .unwrap()
                .response;
            if load > 1.0 + 1e-9 {
                assert_eq!(ours, None, "{index} of {servers:?}");
                unbounded += 1;
            } else if load < 0.98 {
                let above: Vec<_> = servers[..index].iter().map(demand).collect();
                let own = demand(&servers[index]);
                let limit = Duration::from(1_000_000);
                let blocking_bound = Service::from(servers[index].blocking.as_nanos());
                let theirs = if servers[index].blocking.is_zero() {
                    fully_preemptive::dedicated_uniproc_rta(&own, &above, limit)
                } else {
                    let own = floating_nonpreemptive::TaskUnderAnalysis {
                        rbf: &own,
                        blocking_bound,
                    };
                    floating_nonpreemptive::dedicated_uniproc_rta(&own, &above, limit)
                };
                let theirs = theirs.expect("bounded");
                let ours = Duration::from(ours.expect("bounded").as_nanos());
                assert_eq!(ours, theirs, "{index} of {servers:?}, seed {seed}");
                compared += 1;
            }
            servers[index].jitter = jitter;
        }
    }
    assert!(
        compared > SETS && unbounded > SETS / 10,
        "{compared}, {unbounded}"
    );
}

#[test]
fn supply_and_its_inverse_are_equal() {
    for period in 1..=12 {
        for budget in 1..=period {
            let ours = Supply::new(span(budget), span(period)).unwrap();
            let theirs = Periodic::new(Service::from(budget), Duration::from(period));
            for t in 0..100 {
                let service = Service::from(ours.bound(span(t)).as_nanos());
                assert_eq!(service, theirs.provided_service(Duration::from(t)));
                let time = Duration::from(ours.time_for(span(t)).as_nanos());
                assert_eq!(
                    time,
                    theirs.service_time(Service::from(t)),
                    "({budget}, {period}) {t}"
                );
            }
        }
    }
}

/// The tables of that crate's own tests: Lehoczky 1990, example 2, and a basic set.
#[test]
fn published_tables() {
    let table: [&[(u64, u64, u64)]; 3] = [
        &[(1, 4, 1), (1, 5, 2), (3, 9, 7), (3, 18, 18)],
        &[(52, 100, 52), (52, 140, 156)],
        &[(52, 140, 52), (52, 100, 108)],
    ];
    for set in table {
        let servers: Vec<_> = set
            .iter()
            .map(|&(c, t, _)| ServerModel::sporadic(span(c), span(t)))
            .collect();
        let responses = server_responses(&servers, &CostTable::NONE);
        let responses: Vec<_> = responses
            .map(|it| it.response.unwrap().as_nanos())
            .collect();
        assert_eq!(responses, set.iter().map(|row| row.2).collect::<Vec<_>>());
    }
}
