//! Bounds that reach across cores, against the simulator: on random small systems no
//! chain of threads and no repair takes longer than the analysis says.
use tern_config::{Job, Sandbox, Server, System, Thread};
use tern_sched::analysis::{
    Copying, CostTable, Dependency, ServerContext, ServerModel, ThreadModel, ThreadResponse,
    Threads, fixed_point, recovery_bound, server_responses,
};
use tern_sim::{JobHistory, simulate};
use tern_units::{Duration, Instant};

const SYSTEMS: u64 = if cfg!(debug_assertions) {
    1_000
} else {
    20_000
};

/// A small, seeded generator (SplitMix64), so that every failure can be replayed.
struct Random(u64);

impl Random {
    fn within(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        low + (mixed ^ (mixed >> 31)) % (high - low + 1)
    }
}

fn span(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// A core with up to three servers of moderate load, the highest priority first.
fn random_core(random: &mut Random) -> Sandbox {
    let count = random.within(1, 3);
    let servers = (0..count).map(|priority| {
        let period = random.within(2, 20);
        let budget = random.within(1, (period * 4 / (5 * count)).clamp(1, period));
        Server {
            budget,
            period,
            deadline: period,
            priority: priority as u32,
            ..Server::default()
        }
    });
    Sandbox {
        servers: servers.collect(),
        ..Sandbox::default()
    }
}

fn models(core: &Sandbox) -> Vec<ServerModel> {
    let servers = core.servers.iter();
    let model = |it: &Server| ServerModel::sporadic(span(it.budget), span(it.period));
    servers.map(model).collect()
}

/// A thread that works as told; a list without jobs would mean a periodic one.
fn told(mut jobs: Vec<Job>) -> Thread {
    jobs.push(Job {
        at: u64::MAX,
        work: 1,
    });
    Thread {
        jobs,
        ..Thread::default()
    }
}

/// When the jobs of a thread finish, as far as they do.
fn finished(jobs: &[JobHistory], sandbox: usize, server: usize, thread: usize) -> Vec<u64> {
    let place = (sandbox, server, thread);
    let own = jobs
        .iter()
        .filter(|job| (job.sandbox, job.server, job.thread) == place);
    own.map_while(|job| job.finish)
        .map(Instant::as_nanos)
        .collect()
}

/// Threads of one chain, each somewhere in the system; a later one may wait for up to two
/// earlier ones.
struct Chain {
    /// Sandbox, server, position in the server.
    places: Vec<(usize, usize, usize)>,
    wcet: Vec<u64>,
    /// Position of the first, of the second, and how long a message takes at most.
    edges: Vec<(usize, usize, u64)>,
    period: u64,
}

#[test]
fn no_thread_of_a_chain_across_cores_responds_later_than_at_the_fixed_point() {
    let (mut bounded, mut apart, mut waited) = (0, 0, 0);
    for seed in 0..SYSTEMS {
        let mut random = Random(seed);
        let mut system = System::default();
        for _ in 0..random.within(2, 3) {
            system.sandboxes.push(random_core(&mut random));
        }
        let mut chain = Chain {
            places: Vec::new(),
            wcet: Vec::new(),
            edges: Vec::new(),
            period: random.within(30, 90),
        };
        // In order of contexts, and of precedence.
        for (sandbox, core) in system.sandboxes.iter().enumerate() {
            for server in 0..core.servers.len() {
                for thread in 0..random.within(0, 2) as usize {
                    chain.places.push((sandbox, server, thread));
                    chain.wcet.push(random.within(1, 4));
                }
            }
        }
        // Who waits for whom, in an order that has nothing to do with the places.
        let count = chain.places.len();
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, random.within(0, last as u64) as usize);
        }
        for (second, waits) in order.iter().enumerate().skip(1) {
            for _ in 0..random.within(0, 2) {
                let on = order[random.within(0, second as u64 - 1) as usize];
                chain.edges.push((on, *waits, random.within(0, 5)));
            }
        }
        let Some(limits) = bounds(&system, &chain) else {
            continue;
        };
        bounded += 1;
        apart += u64::from(
            chain
                .edges
                .iter()
                .any(|(on, waits, _)| chain.places[*on].0 != chain.places[*waits].0),
        );
        let responses = worst_responses(&mut system, &chain, &mut random);
        for (thread, limit) in limits.iter().enumerate() {
            assert!(
                responses[thread] <= *limit,
                "seed {seed}: thread {thread} at {:?} responds after {}, not {limit}",
                chain.places[thread],
                responses[thread]
            );
        }
        // Waiting matters: many are later than they ever would be on their own.
        chain.edges.clear();
        let alone = bounds(&system, &chain).expect("less work is bounded too");
        waited += u64::from(
            responses
                .iter()
                .zip(&alone)
                .any(|(took, alone)| took > alone),
        );
    }
    assert!(
        bounded > SYSTEMS / 2 && apart > SYSTEMS / 3 && waited > SYSTEMS / 10,
        "{bounded} bounded, {apart} across cores, {waited} waited"
    );
}

/// The bounds of a chain, if there is a fixed point.
fn bounds(system: &System, chain: &Chain) -> Option<Vec<u64>> {
    let cores: Vec<_> = system.sandboxes.iter().map(models).collect();
    let mut contexts = Vec::new();
    let mut context_of = Vec::new();
    for servers in &cores {
        context_of.push(contexts.len());
        for (index, response) in server_responses(servers, &CostTable::NONE).enumerate() {
            contexts.push(ServerContext {
                servers,
                index,
                response: response.response,
                costs: &CostTable::NONE,
            });
        }
    }
    let servers: Vec<_> = chain
        .places
        .iter()
        .map(|(sandbox, server, _)| context_of[*sandbox] + server)
        .collect();
    let own: Vec<_> = chain
        .wcet
        .iter()
        .map(|wcet| ThreadModel::periodic(span(*wcet), span(chain.period)))
        .collect();
    let dependencies: Vec<_> = chain
        .edges
        .iter()
        .map(|(on, waits, latency)| Dependency {
            waits: *waits,
            on: *on,
            latency: span(*latency),
        })
        .collect();
    let mut models = own.clone();
    let mut responses = vec![ThreadResponse::default(); own.len()];
    let mut threads = Threads {
        servers: &servers,
        own: &own,
        models: &mut models,
        responses: &mut responses,
    };
    let limit = span(10 * chain.period);
    fixed_point(&contexts, &mut threads, &dependencies, limit).then(|| {
        let response = |it: &ThreadResponse| it.time().expect("bounded").as_nanos();
        responses.iter().map(response).collect()
    })
}

/// The longest response of each thread of the chain, from the arrival of the chain.
///
/// When a message arrives depends on when its sender is done, and that on what arrived
/// before: so the system is simulated until nothing changes.
fn worst_responses(system: &mut System, chain: &Chain, random: &mut Random) -> Vec<u64> {
    const JOBS: usize = 8;
    let until = Instant::from_nanos(chain.period * (JOBS as u64 + 12));
    let first = random.within(0, chain.period);
    let arrival = |job: usize| first + job as u64 * chain.period;
    let always = random.within(0, 1) == 0;
    let mut latency = |most: u64| random.within(if always { most } else { 0 }, most);
    let latencies: Vec<[u64; JOBS]> = chain
        .edges
        .iter()
        .map(|(_, _, most)| std::array::from_fn(|_| latency(*most)))
        .collect();
    // A server without a thread of the chain uses its whole budget every period.
    for core in &mut system.sandboxes {
        for server in &mut core.servers {
            server.threads.clear();
        }
    }
    for (sandbox, server, _) in &chain.places {
        system.sandboxes[*sandbox].servers[*server]
            .threads
            .push(Thread::default());
    }
    let mut done = vec![Vec::new(); chain.places.len()];
    loop {
        for (thread, (sandbox, server, position)) in chain.places.iter().enumerate() {
            let waits = |edge: &(usize, &(usize, usize, u64))| edge.1.1 == thread;
            let mut earliest = 0;
            let jobs = (0..JOBS).map_while(|job| {
                let edges = chain.edges.iter().enumerate().filter(waits);
                let mut at = arrival(job);
                for (edge, (on, _, _)) in edges {
                    let sent: &Vec<u64> = &done[*on];
                    at = at.max(sent.get(job)? + latencies[edge][job]);
                }
                earliest = at.max(earliest);
                Some(Job {
                    at: earliest,
                    work: chain.wcet[thread],
                })
            });
            let jobs = told(jobs.collect());
            system.sandboxes[*sandbox].servers[*server].threads[*position] = jobs;
        }
        let simulation = simulate(system, until).expect("small");
        let now: Vec<_> = chain
            .places
            .iter()
            .map(|place| finished(&simulation.jobs, place.0, place.1, place.2))
            .collect();
        if now == done {
            break;
        }
        done = now;
    }
    assert!(
        done.iter().all(|jobs| jobs.len() == JOBS),
        "all jobs are done"
    );
    let responses = done.iter().map(|jobs| {
        let responses = jobs.iter().enumerate().map(|(job, end)| end - arrival(job));
        responses.max().unwrap_or(0)
    });
    responses.collect()
}

/// A program that writes pages: the instants at which each page is written.
struct Writes {
    pages: Vec<Vec<u64>>,
}

impl Writes {
    /// Each job writes some pages, each once or twice at any time of its period.
    fn random(random: &mut Random, copying: &Copying, until: u64) -> Self {
        let (total, period) = (copying.total, copying.period.as_nanos());
        let mut pages = vec![Vec::new(); total as usize];
        let mut release = 0;
        while release < until {
            let mut left: Vec<u64> = (0..total).collect();
            for _ in 0..copying.dirtied.min(total) {
                let page = left.swap_remove(random.within(0, left.len() as u64 - 1) as usize);
                // First and last instant most of the time: as badly as may be.
                for edge in [release, release + period - 1] {
                    pages[page as usize].push(match random.within(0, 3) {
                        0 => random.within(release, release + period - 1),
                        _ => edge,
                    });
                }
            }
            release += period;
        }
        Self { pages }
    }

    /// How many pages are written from one instant to before another.
    fn dirtied(&self, from: u64, to: u64) -> u64 {
        let written = |writes: &&Vec<u64>| writes.iter().any(|at| (from..to).contains(at));
        self.pages.iter().filter(written).count() as u64
    }
}

#[test]
fn no_repair_by_pre_copy_takes_longer_than_its_bound() {
    const CAP: u64 = 12;
    let (mut bounded, mut rounds) = (0, 0);
    for seed in 0..SYSTEMS {
        let mut random = Random(seed + 1_000_000);
        let mut system = System {
            sandboxes: vec![random_core(&mut random), random_core(&mut random)],
            ..System::default()
        };
        let mut places = [0, 0];
        let mut supplies = [None, None];
        for (sandbox, core) in system.sandboxes.iter().enumerate() {
            let servers = models(core);
            let index = random.within(0, servers.len() as u64 - 1) as usize;
            let response = server_responses(&servers, &CostTable::NONE)
                .nth(index)
                .and_then(|it| it.response);
            let context = ServerContext {
                servers: &servers,
                index,
                response,
                costs: &CostTable::NONE,
            };
            places[sandbox] = index;
            supplies[sandbox] = context.supply();
        }
        let [Some(donor), Some(target)] = supplies else {
            continue;
        };
        let total = random.within(1, 20);
        let copying = Copying {
            pages: random.within(1, total),
            total,
            donor,
            target,
            donor_cost: span(random.within(1, 2)),
            target_cost: span(random.within(1, 2)),
            latency: span(random.within(0, 5)),
            dirtied: random.within(0, 3),
            period: span(random.within(50, 400)),
        };
        let Ok(bound) = recovery_bound(&copying, CAP) else {
            continue;
        };
        bounded += 1;
        let took = repair(&mut system, places, &copying, &mut random);
        assert!(
            took.0 <= bound.time.as_nanos() && took.1 <= bound.rounds && took.2 <= bound.copied,
            "seed {seed}: {took:?} is more than {bound:?} of {copying:?}"
        );
        rounds += u64::from(took.1 > 1);
    }
    assert!(
        bounded > SYSTEMS / 3 && rounds > SYSTEMS / 10,
        "{bounded} bounded, {rounds} of several rounds"
    );
}

/// Repairs in rounds, each of the pages written in the one before; the last, of what fits in
/// one budget, from the next release on, with the donor at rest. Time, rounds, pages.
fn repair(
    system: &mut System,
    places: [usize; 2],
    copying: &Copying,
    random: &mut Random,
) -> (u64, u64, u64) {
    let period = copying.period.as_nanos();
    let (donor_cost, target_cost) = (
        copying.donor_cost.as_nanos(),
        copying.target_cost.as_nanos(),
    );
    let fits = |pages: u64| {
        pages * donor_cost <= copying.donor.budget().as_nanos()
            && pages * target_cost <= copying.target.budget().as_nanos()
    };
    let mut jobs = [Vec::new(), Vec::new()];
    let mut work = |sandbox: usize, at: u64, amount: u64| {
        jobs[sandbox].push(Job { at, work: amount });
        let server = &mut system.sandboxes[sandbox].servers[places[sandbox]];
        server.threads = vec![told(jobs[sandbox].clone())];
        let alone = System {
            sandboxes: vec![system.sandboxes[sandbox].clone()],
            ..System::default()
        };
        let until = Instant::from_nanos(at + 2_000);
        let simulation = simulate(&alone, until).expect("small");
        let done = finished(&simulation.jobs, 0, places[sandbox], 0);
        *done.last().expect("a job has an end")
    };
    // Each has used some of its budget until just before.
    let first = random.within(0, 40);
    let mut start = period;
    for sandbox in [0, 1] {
        let done = work(sandbox, first, random.within(1, 12));
        start = start.max(done.next_multiple_of(period));
    }
    let writes = Writes::random(random, copying, 40 * period);
    let (mut left, mut now, mut rounds, mut copied) = (copying.pages, start, 0, 0);
    loop {
        let last = fits(left);
        if last {
            now = now.next_multiple_of(period);
        }
        let given = work(0, now, left * donor_cost);
        let arrives = given + random.within(0, copying.latency.as_nanos());
        let end = work(1, arrives, left * target_cost);
        rounds += 1;
        copied += left;
        let dirtied = writes.dirtied(now, end);
        if last || dirtied == 0 {
            return (end - start, rounds, copied);
        }
        (left, now) = (dirtied, end);
    }
}
