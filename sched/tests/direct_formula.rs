//! The analysis against its own formulas, solved without any of its shortcuts: every time
//! from zero on is tried until one solves the equation. Equal results, bound by bound.
mod common;
use common::{Random, span};
use tern_sched::ServerKind;
use tern_sched::analysis::{
    Bound, CostTable, ServerContext, ServerModel, ThreadModel, ThreadResponse, server_response,
    server_responses, thread_responses,
};
use tern_units::Duration;

const SETS: u64 = if cfg!(debug_assertions) { 300 } else { 10_000 };

/// Where the direct search gives up, since there may be no solution.
const LIMIT: u64 = 6_000;

struct GaveUp;

/// A core, as the formulas see it.
struct Core<'a> {
    servers: &'a [ServerModel],
    costs: &'a CostTable,
    solve: Solve,
}

/// Solves `w = equation(w)` for the least w from a start on.
type Solve = fn(u64, &dyn Fn(u64) -> u64) -> Result<u64, GaveUp>;

/// Tries every time.
fn one_by_one(start: u64, equation: &dyn Fn(u64) -> u64) -> Result<u64, GaveUp> {
    let mut times = start..LIMIT;
    times.find(|time| equation(*time) == *time).ok_or(GaveUp)
}

/// Goes on to what the equation says, where there are too many times to try.
fn step_by_step(start: u64, equation: &dyn Fn(u64) -> u64) -> Result<u64, GaveUp> {
    let mut time = start;
    for _ in 0..LIMIT {
        match equation(time) {
            next if next <= time => return Ok(time),
            next => time = next,
        }
    }
    Err(GaveUp)
}

impl Core<'_> {
    fn cost(&self, server: &ServerModel) -> u64 {
        let each = self.costs.activation().as_nanos();
        server.budget.as_nanos() + each * u64::from(server.activations)
    }

    /// Activations in a window, one of which late timers may have moved.
    fn activations(&self, server: &ServerModel, window: u64) -> u64 {
        let late = self.costs.longest_non_preemptible.as_nanos();
        let window = window + server.jitter.as_nanos() + 2 * late;
        window.div_ceil(server.period.as_nanos()) * u64::from(server.activations)
    }

    fn blocking(&self, index: usize) -> u64 {
        let below = match index + 1 < self.servers.len() {
            true => self.costs.longest_non_preemptible.as_nanos(),
            false => 0,
        };
        self.servers[index].blocking.as_nanos() + below
    }

    fn interferers(&self, index: usize) -> impl Iterator<Item = &ServerModel> {
        let interferes = move |(other, server): &(usize, &ServerModel)| {
            *other < index || *other > index && server.raised_to.is_some_and(|to| to <= index)
        };
        let all = self.servers.iter().enumerate();
        all.filter(interferes).map(|(_, server)| server)
    }

    fn interference(&self, index: usize, window: u64) -> u64 {
        let of = |server: &ServerModel| {
            let (c, t) = (self.cost(server), server.period.as_nanos());
            let j = server.jitter.as_nanos();
            let overrun = self.costs.longest_non_preemptible.as_nanos();
            overrun
                + match server.kind {
                    ServerKind::Sporadic => {
                        (window + j).div_ceil(t) * server.budget.as_nanos()
                            + self.activations(server, window) * self.costs.activation().as_nanos()
                    }
                    ServerKind::Io => {
                        let steady = (window.saturating_sub(c) * c).div_ceil(t);
                        window.min(c) + steady + (j * c).div_ceil(t)
                    }
                }
        };
        self.interferers(index).map(of).sum()
    }

    /// R = J + max over q of w(q) − qT.
    fn server(&self, index: usize) -> Result<u64, GaveUp> {
        let own = &self.servers[index];
        let (t, j) = (own.period.as_nanos(), own.jitter.as_nanos());
        let (mut worst, mut w) = (0, 0);
        for q in 0..LIMIT {
            let fixed = self.blocking(index) + (q + 1) * self.cost(own);
            w = (self.solve)(w, &|w| fixed + self.interference(index, w))?;
            worst = worst.max(w + j - q * t);
            if w + j <= (q + 1) * t {
                return Ok(worst);
            }
        }
        Err(GaveUp)
    }

    fn useful(&self, index: usize) -> u64 {
        let own = &self.servers[index];
        let t = own.period.as_nanos();
        let of_own = (own.period + own.jitter).as_nanos().div_ceil(t) * u64::from(own.activations);
        let of_others = self.interferers(index).map(|it| self.activations(it, t));
        let overhead = self.costs.activation().as_nanos() * (of_own + of_others.sum::<u64>());
        own.budget.as_nanos().saturating_sub(overhead)
    }

    /// One bound of a thread, with one form of counting suspension above it.
    fn thread(
        &self,
        index: usize,
        server_response: u64,
        threads: &[ThreadModel],
        above: &[Option<u64>],
        bound: Bound,
        form: Form,
    ) -> Result<Option<u64>, GaveUp> {
        let own = &self.servers[index];
        let (c, t_s) = (self.useful(index), own.period.as_nanos());
        let thread = &threads[above.len()];
        let suspends = |thread: &ThreadModel| !thread.suspension.is_zero();
        let in_time = |(thread, response): (&ThreadModel, &Option<u64>)| {
            !suspends(thread) || response.is_some_and(|it| it <= thread.period.as_nanos())
        };
        if c == 0
            || bound == Bound::DavisBurns && server_response > t_s
            || own.kind == ServerKind::Io && suspends(thread)
            || form != Form::Execution && !threads.iter().zip(above).all(in_time)
        {
            return Ok(None);
        }
        let gap = t_s - c;
        let absence = match bound {
            Bound::DavisBurns => gap,
            Bound::Supply => 0,
        };
        let load_above = |w: u64| -> u64 {
            let of = |(thread, response): (&ThreadModel, &Option<u64>)| {
                let (e, s) = (thread.wcet.as_nanos(), thread.suspension.as_nanos());
                let (j, t) = (thread.jitter.as_nanos(), thread.period.as_nanos());
                let (each, jitter) = match form {
                    Form::Jitter if suspends(thread) => (e, response.unwrap() - e),
                    Form::Execution => (e + s, j),
                    Form::Jitter | Form::Blocking => (e, j),
                };
                (w + jitter + absence).div_ceil(t) * each
            };
            threads.iter().zip(above).map(of).sum()
        };
        let blocked: u64 = match form {
            Form::Blocking => threads[..above.len()]
                .iter()
                .map(|thread| thread.wcet.min(thread.suspension).as_nanos())
                .sum(),
            Form::Execution | Form::Jitter => 0,
        };
        let e = (thread.wcet + thread.suspension).as_nanos();
        let share = |(position, thread): (usize, &ThreadModel)| {
            let suspended = form == Form::Execution || position == above.len();
            let each = thread.wcet
                + if suspended {
                    thread.suspension
                } else {
                    span(0)
                };
            each.as_nanos() as f64 / thread.period.as_nanos() as f64
        };
        let asked: f64 = threads
            .iter()
            .enumerate()
            .take(above.len() + 1)
            .map(share)
            .sum();
        if asked > c as f64 / t_s as f64 + 1e-9 {
            return Ok(None);
        }
        let (t, j) = (thread.period.as_nanos(), thread.jitter.as_nanos());
        let (mut worst, mut w) = (0, 0);
        for q in 0..LIMIT {
            let equation = |w: u64| {
                let overrun = self.costs.longest_non_preemptible.as_nanos();
                let load = blocked + overrun + (q + 1) * e + load_above(w);
                let periods = load.div_ceil(c);
                match bound {
                    Bound::Supply => {
                        load + (periods + 1) * gap + server_response.saturating_sub(t_s)
                    }
                    Bound::DavisBurns => {
                        let k = periods - 1;
                        let last = w.saturating_sub(k * t_s);
                        load + k * gap + self.blocking(index) + self.interference(index, last)
                    }
                }
            };
            w = (self.solve)(w, &equation)?;
            let done = w + absence + j;
            worst = worst.max(done - q * t);
            if done <= (q + 1) * t {
                return Ok(Some(worst));
            }
        }
        Err(GaveUp)
    }

    /// The results of the threads up to the first of which not all is known.
    fn threads(&self, index: usize, response: u64, threads: &[ThreadModel]) -> Vec<ThreadResponse> {
        let mut above = Vec::new();
        let mut results = Vec::new();
        'threads: for _ in threads {
            let mut best = ThreadResponse::default();
            let mut shortest = None;
            for form in [Form::Execution, Form::Jitter, Form::Blocking] {
                for bound in [Bound::DavisBurns, Bound::Supply] {
                    let found = self.thread(index, response, threads, &above, bound, form);
                    let Ok(found) = found else { break 'threads };
                    if found.is_some_and(|new| shortest.is_none_or(|old| new < old)) {
                        shortest = found;
                        best = ThreadResponse {
                            response: found.map(Duration::from_nanos),
                            bound,
                        };
                    }
                }
            }
            above.push(shortest);
            results.push(best);
        }
        results
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Execution,
    Jitter,
    Blocking,
}

#[derive(Debug, Default)]
struct Compared {
    servers: u64,
    by_davis_burns: u64,
    by_supply: u64,
    unbounded: u64,
    unknown: u64,
}

impl Compared {
    fn server(&mut self, result: Option<Duration>, core: &Core<'_>, index: usize) {
        let share = |server| core.cost(server) as f64 / server.period.as_nanos() as f64;
        let load: f64 = core.servers[..=index].iter().map(share).sum();
        let direct = match core.server(index) {
            _ if load > 1.0 + 1e-9 => None,
            Ok(direct) => Some(span(direct)),
            Err(GaveUp) => {
                self.unknown += 1;
                return;
            }
        };
        assert_eq!(result, direct, "server {index} of {:?}", core.servers);
        self.servers += 1;
    }

    fn thread(&mut self, result: &ThreadResponse) {
        match (result.response, result.bound) {
            (None, _) => self.unbounded += 1,
            (_, Bound::DavisBurns) => self.by_davis_burns += 1,
            (_, Bound::Supply) => self.by_supply += 1,
        }
    }

    /// Compares every server, each with another budget and jitter, and every thread.
    fn core(&mut self, core: &Core<'_>, threads: &[Vec<ThreadModel>], random: &mut Random) {
        let Core { servers, costs, .. } = core;
        for (index, response) in server_responses(servers, costs).enumerate() {
            self.server(response, core, index);
            let own = &servers[index];
            assert_eq!(server_response(servers, index, own, costs), response);

            let mut changed = servers.to_vec();
            changed[index].budget = span(random.within(1, own.budget.as_nanos()));
            changed[index].jitter = span(random.within(0, own.period.as_nanos()));
            let other = server_response(servers, index, &changed[index], costs);
            self.server(
                other,
                &Core {
                    servers: &changed,
                    ..*core
                },
                index,
            );

            let Some(response) = response else { continue };
            let context = ServerContext {
                servers,
                index,
                response: Some(response),
                costs,
            };
            let threads = &threads[index];
            let mut results = vec![ThreadResponse::default(); threads.len()];
            thread_responses(&context, threads, &mut results);
            let direct = core.threads(index, response.as_nanos(), threads);
            self.unknown += (threads.len() - direct.len()) as u64;
            for (number, direct) in direct.iter().enumerate() {
                assert_eq!(
                    &results[number], direct,
                    "{number} of {threads:?} in server {index} of {servers:?}"
                );
                self.thread(direct);
            }
        }
    }
}

/// One to four servers of either kind, with all that a server may have.
fn random_servers(random: &mut Random) -> Vec<ServerModel> {
    let count = random.within(1, 4);
    let server = |random: &mut Random| {
        let period = random.within(2, 40);
        let budget = random.within(1, (3 * period / (2 * count)).clamp(1, period));
        let mut server = ServerModel::sporadic(span(budget), span(period));
        let sometimes = |random: &mut Random, most| match random.within(0, 2) {
            0 => random.within(1, most),
            _ => 0,
        };
        server.jitter = span(sometimes(random, 2 * period));
        server.blocking = span(sometimes(random, 20));
        server.activations = random.within(1, 2) as u32;
        if random.within(0, 3) == 0 {
            server.kind = ServerKind::Io;
            if random.within(0, 1) == 0 {
                server.raised_to = Some(random.within(0, 3) as usize);
            }
        }
        server
    };
    (0..count).map(|_| server(random)).collect()
}

fn random_threads(random: &mut Random, server: &ServerModel) -> Vec<ThreadModel> {
    let (c, t) = (server.budget.as_nanos(), server.period.as_nanos());
    let thread = |random: &mut Random| {
        let period = random.within(t / 2 + 1, 6 * t);
        let most = (period * c).div_ceil(t);
        // Also just what the server has.
        let wcet = match random.within(0, 5) {
            0 => most,
            _ => random.within(1, most.div_ceil(2)),
        };
        let mut thread = ThreadModel::periodic(span(wcet), span(period));
        if random.within(0, 3) == 0 {
            thread.jitter = span(random.within(0, period));
        }
        if random.within(0, 3) == 0 {
            thread.suspension = span(random.within(0, period / 2));
        }
        thread
    };
    (0..random.within(1, 3)).map(|_| thread(random)).collect()
}

#[test]
fn small_sets_have_the_results_of_the_direct_formula() {
    let mut compared = Compared::default();
    for seed in 0..SETS {
        let mut random = Random(seed);
        let servers = random_servers(&mut random);
        let threads: Vec<_> = servers
            .iter()
            .map(|server| random_threads(&mut random, server))
            .collect();
        let mut costs = CostTable::NONE;
        if random.within(0, 4) == 0 {
            costs.replenishment = span(random.within(0, 1));
            costs.longest_non_preemptible = span(random.within(0, 3));
        }
        let core = Core {
            servers: &servers,
            costs: &costs,
            solve: one_by_one,
        };
        compared.core(&core, &threads, &mut random);
    }
    assert!(compared.servers > 3 * SETS, "{compared:?}");
    assert!(
        compared.by_davis_burns > SETS && compared.by_supply > SETS / 10,
        "{compared:?}"
    );
    assert!(compared.unknown < SETS, "{compared:?}");
}

/// Servers of the budgets and periods of a real core, and far more of them; a thread in
/// each, of every size up to all that its server has.
#[test]
fn large_sets_have_the_results_of_the_direct_formula() {
    let mut compared = Compared::default();
    for seed in 0..SETS / 100 {
        let mut random = Random(seed + 1_000_000);
        let count = random.within(20, 120);
        let mut servers: Vec<_> = (0..count)
            .map(|_| {
                let period = 1_000 * random.within(1_000, 1_000_000);
                let budget = random.within(1, 2 * period * 9 / (10 * count));
                ServerModel::sporadic(span(budget), span(period))
            })
            .collect();
        servers.sort_by_key(|server| server.period);
        let threads: Vec<_> = servers
            .iter()
            .map(|server| {
                let (c, t) = (server.budget.as_nanos(), server.period.as_nanos());
                let wcet = match random.within(0, 2) {
                    0 => c,
                    1 => c.div_ceil(2),
                    _ => random.within(1, c),
                };
                vec![ThreadModel::periodic(
                    span(wcet),
                    span(random.within(t, 2 * t)),
                )]
            })
            .collect();
        let core = Core {
            servers: &servers,
            costs: &CostTable::NONE,
            solve: step_by_step,
        };
        compared.core(&core, &threads, &mut random);
    }
    assert!(compared.by_davis_burns > SETS / 10, "{compared:?}");
}
