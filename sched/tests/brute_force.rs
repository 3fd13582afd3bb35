//! The analysis against simulation by the scheduler itself, on random small systems: no
//! response above its bound, and the bound met at the critical instant.
mod common;
use common::{Jobs, Random, simulate, span};
use tern_sched::analysis::{
    Bound, CostTable, ServerContext, ServerModel, ThreadModel, ThreadResponse, server_responses,
    thread_responses,
};
use tern_sched::{ServerKind, ServerParameters};
use tern_units::Duration;

const SYSTEMS: u64 = if cfg!(debug_assertions) {
    2_000
} else {
    40_000
};

fn nanos(time: Option<Duration>) -> Option<u64> {
    time.map(Duration::as_nanos)
}

/// Servers (C, T) of moderate load, in order of priority.
fn random_servers(random: &mut Random, most: u64) -> Vec<(u64, u64)> {
    let count = random.within(1, most);
    (0..count)
        .map(|_| {
            let period = random.within(2, 24);
            (
                random.within(1, (period * 3 / (2 * count)).clamp(1, period)),
                period,
            )
        })
        .collect()
}

fn models(servers: &[(u64, u64)]) -> Vec<ServerModel> {
    servers
        .iter()
        .map(|&(c, t)| ServerModel::sporadic(span(c), span(t)))
        .collect()
}

fn parameters(servers: &[(u64, u64)]) -> Vec<ServerParameters> {
    (0..)
        .zip(servers)
        .map(|(priority, &(c, t))| ServerParameters::sporadic(span(c), span(t), priority))
        .collect()
}

fn worst_response(jobs: &[(u64, u64)], finished: &[u64]) -> u64 {
    jobs.iter()
        .zip(finished)
        .map(|(job, end)| end - job.0)
        .max()
        .unwrap_or(0)
}

/// Each server has one thread that asks for its whole budget every period, the first time
/// all together: the critical instant. Then the bound is met, neither more nor less,
/// also where responses exceed periods.
#[test]
fn at_the_critical_instant_each_server_meets_its_bound_exactly() {
    let (mut bounded, mut late) = (0, 0);
    for seed in 0..SYSTEMS {
        let servers = random_servers(&mut Random(seed), 5);
        let bounds: Vec<_> = server_responses(&models(&servers), &CostTable::NONE).collect();
        let threads: Vec<Jobs> = servers
            .iter()
            .enumerate()
            .map(|(server, &(c, t))| Jobs {
                server,
                jobs: (0..600 / t).map(|job| (job * t, c)).collect(),
            })
            .collect();
        let outcome = simulate(&parameters(&servers), &threads, 900);
        for (index, bound) in bounds.iter().enumerate() {
            let Some(bound) = nanos(bound.response) else {
                continue;
            };
            // At higher loads the busy window may be longer than the simulation.
            let load: u64 = servers[..=index].iter().map(|&(c, t)| 1000 * c / t).sum();
            if load > 900 {
                continue;
            }
            let simulated = worst_response(&threads[index].jobs, &outcome.finished[index]);
            assert_eq!(
                simulated, bound,
                "server {index} of {servers:?}, seed {seed}"
            );
            bounded += 1;
            late += u64::from(bound > servers[index].1);
        }
    }
    assert!(
        bounded > SYSTEMS && late > SYSTEMS / 100,
        "{bounded} bounded, {late} late"
    );
}

/// Any release pattern with at least a period between arrivals, any jitter, and servers of
/// both kinds.
#[test]
fn no_server_responds_later_than_its_bound() {
    for seed in 0..SYSTEMS {
        let mut random = Random(seed + 1_000_000);
        let servers = random_servers(&mut random, 4);
        let mut models = models(&servers);
        let mut parameters = parameters(&servers);
        for (model, parameters) in models.iter_mut().zip(&mut parameters) {
            if random.within(0, 2) == 0 {
                model.jitter = span(random.within(1, 10));
            }
            if random.within(0, 2) == 0 {
                model.kind = ServerKind::Io;
                parameters.kind = ServerKind::Io;
            }
        }
        let bounds: Vec<_> = server_responses(&models, &CostTable::NONE).collect();
        let mut arrivals = Vec::new();
        let threads: Vec<Jobs> = servers
            .iter()
            .enumerate()
            .map(|(server, &(c, t))| {
                let mut arrival = random.within(0, t);
                let most = models[server].jitter.as_nanos();
                let mut earliest = 0;
                let (mut jobs, mut times) = (Vec::new(), Vec::new());
                while arrival < 300 {
                    earliest = earliest.max(arrival + random.within(0, most));
                    jobs.push((earliest, random.within(1, c)));
                    times.push((arrival, 0));
                    arrival += t + random.within(0, 1) * random.within(0, t);
                }
                arrivals.push(times);
                Jobs { server, jobs }
            })
            .collect();
        let outcome = simulate(&parameters, &threads, 2_000);
        for (index, bound) in bounds.iter().enumerate() {
            let Some(bound) = nanos(bound.response) else {
                continue;
            };
            let simulated = worst_response(&arrivals[index], &outcome.finished[index]);
            assert!(
                simulated <= bound,
                "{simulated} > {bound}: {index} of {models:?}, seed {seed}"
            );
        }
    }
}

/// Several threads in each server, in order of precedence, at any offsets, with jitter of their
/// own and of their servers. Reports how tight the bounds are.
#[test]
fn no_thread_in_a_server_responds_later_than_its_bound() {
    let (mut by, mut met) = ([0; BOUNDS.len()], 0);
    for seed in 0..SYSTEMS {
        let mut random = Random(seed + 2_000_000);
        let servers = random_servers(&mut random, 3);
        let mut models = models(&servers);
        let mut parameters = parameters(&servers);
        for (model, parameters) in models.iter_mut().zip(&mut parameters) {
            if random.within(0, 3) == 0 {
                model.kind = ServerKind::Io;
                parameters.kind = ServerKind::Io;
            }
            if random.within(0, 3) == 0 {
                model.jitter = span(random.within(1, 10));
            }
        }
        let (mut threads, mut arrivals, mut bounds) = (Vec::new(), Vec::new(), Vec::new());
        for (index, response) in server_responses(&models, &CostTable::NONE).enumerate() {
            let (c, t) = servers[index];
            let group = random_threads(&mut random, c, t);
            let context = ServerContext {
                servers: &models,
                index,
                response: response.response,
                costs: &CostTable::NONE,
            };
            let mut results = vec![ThreadResponse::default(); group.len()];
            thread_responses(&context, &group, &mut results);
            bounds.extend(results);
            let greedy = random.within(0, 2) == 0;
            let together = random.within(0, t);
            for thread in group {
                let (work, period) = (thread.wcet.as_nanos(), thread.period.as_nanos());
                let most = (thread.jitter + models[index].jitter).as_nanos();
                let mut arrival = match random.within(0, 1) {
                    0 => together,
                    _ => random.within(0, period),
                };
                let (mut jobs, mut times, mut earliest) = (Vec::new(), Vec::new(), 0);
                while arrival < 400 {
                    let late = match random.within(0, 2) {
                        0 => most,
                        1 => 0,
                        _ => random.within(0, most),
                    };
                    let least = if greedy { work } else { 1 };
                    earliest = earliest.max(arrival + late);
                    jobs.push((earliest, random.within(least, work)));
                    times.push((arrival, 0));
                    arrival += period + if greedy { 0 } else { random.within(0, period) };
                }
                arrivals.push(times);
                threads.push(Jobs {
                    server: index,
                    jobs,
                });
            }
        }
        let outcome = simulate(&parameters, &threads, 4_000);
        for (index, result) in bounds.iter().enumerate() {
            let Some((limit, bound)) = result.response else {
                continue;
            };
            let limit = limit.as_nanos();
            let simulated = worst_response(&arrivals[index], &outcome.finished[index]);
            assert!(
                simulated <= limit,
                "{simulated} > {limit} by {bound:?}: thread {index} in {models:?}, seed {seed}"
            );
            met += u64::from(simulated == limit);
            by[BOUNDS.iter().position(|it| *it == bound).unwrap()] += 1;
        }
    }
    let least = [
        SYSTEMS / 2,
        SYSTEMS / 20,
        SYSTEMS / 2,
        SYSTEMS / 20,
        SYSTEMS / 100,
        0,
    ];
    eprintln!("{BOUNDS:?} gave {by:?}, {met} met");
    let enough = by.iter().zip(&least).all(|(found, least)| found > least);
    assert!(enough, "{BOUNDS:?} gave {by:?}");
    assert!(met > SYSTEMS / 10, "{met} met exactly");
}

const BOUNDS: [Bound; 6] = [
    Bound::WithinBudget,
    Bound::InStep,
    Bound::BusyWindow,
    Bound::DavisBurns,
    Bound::Supply,
    Bound::ClosedForm,
];

/// Threads that ask for half of a server (C, T) or so, often with jitter.
fn random_threads(random: &mut Random, c: u64, t: u64) -> Vec<ThreadModel> {
    let count = random.within(1, 4);
    let thread = |random: &mut Random| {
        let period = random.within(t / 2 + 1, 4 * t);
        let work = random.within(1, (2 * period * c / t / (3 * count)).max(1));
        let jitter = match random.within(0, 2) {
            0 => random.within(0, period / 2),
            _ => 0,
        };
        ThreadModel {
            jitter: span(jitter),
            ..ThreadModel::periodic(span(work), span(period))
        }
    };
    (0..count).map(|_| thread(random)).collect()
}

/// The budget of a server under any demand arrives at least as the supply bound says.
#[test]
fn a_server_with_endless_work_supplies_at_least_its_bound() {
    for seed in 0..SYSTEMS / 4 {
        let mut random = Random(seed + 4_000_000);
        let servers = random_servers(&mut random, 3);
        let models = models(&servers);
        let costs = CostTable::NONE;
        let index = servers.len() - 1;
        let response = server_responses(&models, &costs).nth(index).unwrap();
        let context = ServerContext {
            servers: &models,
            index,
            response: response.response,
            costs: &costs,
        };
        let Some(supply) = context.supply() else {
            continue;
        };
        let mut threads: Vec<Jobs> = (0..index)
            .map(|server| {
                let mut release = random.within(0, 20);
                let mut jobs = Vec::new();
                while release < 200 {
                    jobs.push((release, random.within(1, 2 * servers[server].0)));
                    release += random.within(1, 2 * servers[server].1);
                }
                Jobs { server, jobs }
            })
            .collect();
        // First it uses its budget in pieces, as badly as it may; then it works on.
        let mut jobs: Vec<_> = (0..random.within(0, 4))
            .map(|job| (job * random.within(1, 9), random.within(1, 3)))
            .collect();
        jobs.sort_unstable();
        let endless = random.within(30, 60);
        jobs.push((endless, 10_000));
        threads.push(Jobs {
            server: index,
            jobs,
        });
        let outcome = simulate(&parameters(&servers), &threads, 300);
        for end in endless..300 {
            let ran: u64 = outcome.runs[index]
                .iter()
                .map(|run| run.1.min(end).saturating_sub(run.0.max(endless)))
                .sum();
            let least = supply.bound(span(end - endless)).as_nanos();
            assert!(
                ran >= least,
                "{ran} < {least} until {end}: {servers:?}, seed {seed}"
            );
        }
    }
}
