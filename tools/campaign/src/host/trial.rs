//! The trial of one system: drawn by its seed, analysed, and run in several environments.
use super::judge::{Run, Worst, judge};
use super::model::{Model, Runs};
use super::{Met, draw, keys};
use crate::Finding;
use fastrand::Rng;
use std::path::Path;
use tern_check::{Report, check, cost_table};
use tern_config::description::Costs;
use tern_config::{Description, System};
use tern_sched::analysis::CostTable;
use tern_sim::adversary::{Choice, Environment, endure};
use tern_sim::{SimulationError, simulate, simulate_with_records};
use tern_units::{Duration, Instant};
use trace_viewer::simulate::trace;
use xtask::error::{Context, Error, Result};
use xtask::{record, workspace};

/// Periods of the slowest thread that a run takes.
const PERIODS: u64 = 12;
/// Jobs of a run, about, at most.
const JOBS: u64 = 4_000;
/// Environments that a system runs in: two that are fixed, and others that are drawn.
const ENVIRONMENTS: usize = 4;
/// Runs in which the worst offsets of a system whose activations cost nothing are looked for.
const CLIMB: usize = 800;
/// Of how many such systems one is searched so.
const CLIMBING: u8 = 6;
/// The longest section where nothing else costs anything: so long that each bound that forgets
/// one is too short, which the costs of activations would hide.
const SECTION: Duration = Duration::from_micros(20);

/// The costs of the platforms that systems are drawn for.
#[derive(Debug)]
pub(super) struct Platforms(Vec<(&'static str, CostTable)>);

impl Platforms {
    /// Reads the cost tables of the project.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn read() -> Result<Self> {
        let sections = CostTable {
            longest_non_preemptible: SECTION,
            ..CostTable::NONE
        };
        let names = ["bochs-intel", "bochs-amd"].into_iter();
        let read = names.map(|name| {
            let file = workspace::root().join(format!("platforms/{name}.toml"));
            let text = std::fs::read_to_string(&file);
            let text = text.context(|| format!("reading {}", file.display()))?;
            let costs = Costs::parse(&file.display().to_string(), &text);
            let costs = costs.map_err(|problems| Error::input(problems.to_string()))?;
            Ok((name, cost_table(&costs)))
        });
        let mut all = read.collect::<Result<Vec<_>>>()?;
        all.push((draw::SECTIONS, sections));
        Ok(Self(all))
    }

    fn of(&self, name: &str) -> CostTable {
        let mut known = self.0.iter();
        let found = known.find(|(other, _)| *other == name);
        found.map_or(CostTable::NONE, |(_, costs)| *costs)
    }
}

/// Tries the system of a seed; what is found goes to files in `folder`.
///
/// # Errors
/// If what is drawn is no description, or a file cannot be written.
pub(super) fn of(
    seed: u64,
    platforms: &Platforms,
    folder: &Path,
) -> Result<(Option<Finding>, Met)> {
    let mut random = Rng::with_seed(seed);
    let mut model = draw::draw(&mut random, seed);
    let costs = platforms.of(model.platform);
    let system = read(&model)?;
    let mut trial = Trial {
        costs,
        report: check(&system, &costs),
        system,
        worst: Worst::new(),
        met: Met::default(),
        broken: Vec::new(),
        environment: None,
    };
    trial.met.systems = 1;
    trial.met.keys = keys::count(&trial.system);
    if trial.report.schedulable() {
        trial.met.accepted = 1;
        if random.bool() {
            trial.tighten(&mut model, &mut random)?;
        }
    }
    trial.count_threads();
    if trial.broken.is_empty() {
        trial.run(&mut random)?;
    }

    if trial.broken.is_empty() {
        return Ok((None, trial.met));
    }
    trial.met.broken = 1;
    let met = trial.met;
    let finding = trial.write(seed, &mut model, folder)?;
    Ok((Some(finding), met))
}

fn read(model: &Model) -> Result<System> {
    let text = model.description();
    let read = Description::parse("drawn.toml", &text);
    let read = read
        .map_err(|problems| Error::failure(format!("seed {}: {problems}\n{text}", model.seed)))?;
    Ok(read.system)
}

struct Trial {
    costs: CostTable,
    system: System,
    report: Report,
    worst: Worst,
    met: Met,
    /// What promises the last run broke.
    broken: Vec<String>,
    /// The environment of the last run; `None` for the simulation of `tern simulate`.
    environment: Option<Environment>,
}

impl Trial {
    /// Moves the deadlines of a system that is accepted to its bounds: it has to be accepted
    /// still.
    fn tighten(&mut self, model: &mut Model, random: &mut Rng) -> Result<()> {
        for (sandbox, of) in model.sandboxes.iter_mut().zip(&self.report.sandboxes) {
            for (server, of) in sandbox.servers.iter_mut().zip(&of.servers) {
                if let Some(response) = of.response {
                    server.deadline = response.as_nanos();
                }
                for (thread, of) in server.threads.iter_mut().zip(&of.threads) {
                    if let Some(response) = of.response.filter(|_| random.bool()) {
                        thread.deadline = response.as_nanos().max(1);
                    }
                }
            }
        }
        self.system = read(model)?;
        self.report = check(&self.system, &self.costs);
        match self.report.schedulable() {
            true => self.met.tightened = 1,
            false => self
                .broken
                .push("accepted, and refused with deadlines at its bounds".into()),
        }
        Ok(())
    }

    fn count_threads(&mut self) {
        for server in self.report.sandboxes.iter().flat_map(|it| &it.servers) {
            let bounded = server
                .threads
                .iter()
                .filter(|it| it.response.is_some())
                .count() as u64;
            self.met.threads += server.threads.len() as u64;
            self.met.bounded += bounded;
            if server.threads.len() > 16 {
                self.met.in_crowds += bounded;
            }
        }
    }

    /// Runs the system in all environments, until one breaks a promise.
    fn run(&mut self, random: &mut Rng) -> Result<()> {
        let until = self.until();
        self.simulate(until)?;
        if !self.broken.is_empty() {
            return Ok(());
        }
        let drawn = self.offsets();
        let mut gathering = Vec::new();
        for number in 0..ENVIRONMENTS {
            let mut environment = environment(number, random, self.costs);
            environment.gathering = gathering;
            if random.u8(..3) == 0 {
                environment.overrunning = self.overrunning(random);
            }
            self.endure(environment, until)?;
            if !self.broken.is_empty() {
                return Ok(());
            }
            // The next one meets other offsets, on which no bound depends.
            let targets = self.shift(random);
            gathering = match random.bool() {
                true => self.gather(&targets),
                false => Vec::new(),
            };
        }
        self.set_offsets(&drawn);
        if self.costs.activation().is_zero() && random.u8(..CLIMBING) == 0 {
            self.climb(until, random)?;
        }
        Ok(())
    }

    /// Returns the end of a run: [`PERIODS`] of the slowest thread or server, or sooner where
    /// [`JOBS`] have come by then.
    fn until(&self) -> Instant {
        let servers = || self.system.sandboxes.iter().flat_map(|it| &it.servers);
        let threads = servers().flat_map(|it| &it.threads).map(|it| it.period);
        let periods = || threads.clone().chain(servers().map(|it| it.period));
        let longest = periods().max().unwrap_or(1);
        let rate: f64 = periods().map(|period| 1.0 / period as f64).sum();
        let enough = (JOBS as f64 / rate) as u64;
        Instant::from_nanos((longest * PERIODS).min(enough))
    }

    /// Judges the simulation of `tern simulate`, in which nothing is late.
    fn simulate(&mut self, until: Instant) -> Result<()> {
        let ran = simulate(&self.system, until).map_err(failed)?;
        // Here jobs come to a driver beside those that its period counts.
        let run = Run {
            jobs: &ran.jobs,
            servers: &ran.servers,
            until,
            unpromised: &[],
            keeps_periods: false,
            is_accepted: self.report.schedulable(),
        };
        self.met.runs += 1;
        self.broken = judge(
            &self.system,
            &self.report,
            &run,
            &mut self.worst,
            &mut self.met,
        );
        Ok(())
    }

    /// Judges a run in `environment`.
    fn endure(&mut self, environment: Environment, until: Instant) -> Result<()> {
        let environment = self.environment.insert(environment);
        let ran = endure(&self.system, environment, until, false).map_err(failed)?;
        let run = Run {
            jobs: &ran.jobs,
            servers: &ran.servers,
            until,
            unpromised: &environment.overrunning,
            keeps_periods: true,
            is_accepted: self.report.schedulable(),
        };
        self.met.runs += 1;
        self.met.counts += ran.counts;
        self.broken = judge(
            &self.system,
            &self.report,
            &run,
            &mut self.worst,
            &mut self.met,
        );
        Ok(())
    }

    /// Draws the servers whose jobs take longer than they promise.
    fn overrunning(&self, random: &mut Rng) -> Vec<(usize, usize)> {
        let mut drawn = Vec::new();
        for (number, sandbox) in self.system.sandboxes.iter().enumerate() {
            let servers = (0..sandbox.servers.len()).filter(|_| random.u8(..3) == 0);
            drawn.extend(servers.map(|server| (number, server)));
        }
        drawn
    }

    /// Looks for the offsets at which responses are worst, in short runs: of one server in each
    /// sandbox, beside which the others ask for more than they have.
    fn climb(&mut self, until: Instant, random: &mut Rng) -> Result<()> {
        for _ in 0..CLIMB {
            let targets = self.shift(random);
            let gathering = match random.bool() {
                true => self.gather(&targets),
                false => Vec::new(),
            };
            let until = self.until_done(&targets).min(until);
            let environment = Environment {
                costs: self.costs,
                sections: Choice::Most,
                jitter: choice(random),
                gathering,
                overrunning: match random.u8(..4) {
                    0 => Vec::new(),
                    _ => self.others(&targets),
                },
                ..Environment::exact(random.u64(..))
            };
            self.endure(environment, until)?;
            if !self.broken.is_empty() {
                return Ok(());
            }
        }
        if self.costs == CostTable::NONE {
            self.note_ratios();
        }
        Ok(())
    }

    /// Returns when jobs that come together some periods after the start are done.
    fn until_done(&self, targets: &[usize]) -> Instant {
        let sandboxes = self.report.sandboxes.iter().zip(targets);
        let servers = sandboxes.filter_map(|(sandbox, target)| sandbox.servers.get(*target));
        let times = servers.map(|server| {
            let bounds = server.threads.iter().filter_map(|it| it.response);
            let longest = bounds.max().unwrap_or_default();
            server.period.saturating_mul(4).saturating_add(longest)
        });
        Instant::EPOCH.saturating_add(times.max().unwrap_or_default())
    }

    /// Returns all servers but the target of each sandbox.
    fn others(&self, targets: &[usize]) -> Vec<(usize, usize)> {
        let sandboxes = self.system.sandboxes.iter().enumerate();
        let all = sandboxes
            .zip(targets)
            .flat_map(|((number, sandbox), target)| {
                let others = (0..sandbox.servers.len()).filter(move |it| it != target);
                others.map(move |server| (number, server))
            });
        all.collect()
    }

    fn note_ratios(&mut self) {
        for ((sandbox, server, thread), worst) in &self.worst {
            let server = &self.report.sandboxes[*sandbox].servers[*server];
            let bound = server.threads[*thread].response;
            if let Some(bound) = bound.filter(|_| server.threads.len() > 1) {
                let count = server.threads.len();
                self.met
                    .note_ratio(count, bound.as_nanos(), worst.as_nanos());
            }
        }
    }

    /// Returns the offsets of all threads, in their order.
    fn offsets(&self) -> Vec<u64> {
        let servers = self.system.sandboxes.iter().flat_map(|it| &it.servers);
        servers
            .flat_map(|it| &it.threads)
            .map(|it| it.offset)
            .collect()
    }

    fn set_offsets(&mut self, offsets: &[u64]) {
        let servers = self
            .system
            .sandboxes
            .iter_mut()
            .flat_map(|it| &mut it.servers);
        let threads = servers.flat_map(|it| &mut it.threads);
        for (thread, offset) in threads.zip(offsets) {
            thread.offset = *offset;
        }
    }

    /// Moves offsets that are nobody's protocol: all to one instant, or each anywhere; or, as a
    /// rule, those of a server so that a thread and all above it come at once, while those below
    /// it have used up what there was, and all others with them or as the budget returns. Returns
    /// that server of each sandbox.
    fn shift(&mut self, random: &mut Rng) -> Vec<usize> {
        let way = random.u8(..8);
        let mut targets = Vec::new();
        for sandbox in &mut self.system.sandboxes {
            // One with several threads, if there is one.
            let servers = sandbox.servers.iter().enumerate();
            let several = servers.filter(|(_, it)| it.threads.len() > 1);
            let several: Vec<usize> = several.map(|(place, _)| place).collect();
            let target = random.choice(&several).copied().unwrap_or(0);
            targets.push(target);
            if sandbox.servers.is_empty() {
                continue;
            }
            let (budget, period, count) = {
                let server = &sandbox.servers[target];
                (server.budget, server.period, server.threads.len())
            };
            let last = random.usize(..count.max(1));
            let ahead = match random.u8(..3) {
                0 => budget,
                1 => random.u64(..=budget),
                _ => random.u64(..=period),
            };
            let instant = together(period);
            let returns = instant - ahead + period * random.u64(1..=2);
            let others = if random.bool() { instant } else { returns };
            for (place, server) in sandbox.servers.iter_mut().enumerate() {
                for (number, thread) in server.threads.iter_mut().enumerate() {
                    thread.offset = match way {
                        _ if !is_free(thread) => continue,
                        0 => 0,
                        1 => random.u64(..thread.period),
                        _ if place != target => others,
                        _ if number <= last => instant,
                        _ => instant - ahead,
                    };
                }
            }
        }
        targets
    }

    /// Moves offsets back by the jitter of their servers, and returns for each sandbox the instant
    /// at which releases that are late by as much come together: that of the last [`Trial::shift`],
    /// whose `targets` these are.
    fn gather(&mut self, targets: &[usize]) -> Vec<u64> {
        let sandboxes = self.system.sandboxes.iter_mut().zip(targets);
        let instants = sandboxes.map(|(sandbox, target)| {
            let target = sandbox.servers.get(*target);
            let instant = together(target.map_or(0, |it| it.period));
            for server in &mut sandbox.servers {
                let free = server.threads.iter_mut().filter(|it| is_free(it));
                free.for_each(|it| it.offset = it.offset.saturating_sub(server.jitter));
            }
            instant
        });
        instants.collect()
    }

    /// Writes what was found: the description with the offsets of the run, and its trace.
    fn write(mut self, seed: u64, model: &mut Model, folder: &Path) -> Result<Finding> {
        let offsets = self.offsets();
        let servers = model.sandboxes.iter_mut().flat_map(|it| &mut it.servers);
        let threads = servers.flat_map(|it| &mut it.threads);
        for (thread, offset) in threads.zip(&offsets) {
            if !matches!(thread.runs, Runs::Replica(_) | Runs::Voter(_)) {
                thread.offset = *offset;
            }
        }
        let description = folder.join(format!("host-{seed}.toml"));
        let written = std::fs::write(&description, model.description());
        written.context(|| format!("writing {}", description.display()))?;
        let until = self.until();
        let (records, place) = match &self.environment {
            None => {
                let ran = simulate_with_records(&self.system, until).map_err(failed)?;
                (ran.records, "as in `tern simulate`".into())
            }
            Some(environment) => {
                let ran = endure(&self.system, environment, until, true).map_err(failed)?;
                (ran.records, format!("in {environment:?}"))
            }
        };
        let trace_file = description.with_extension("trace");
        record::save(&trace(&self.system, records), &trace_file)?;
        self.broken.push(place);
        Ok(Finding {
            seed,
            on: String::new(),
            description,
            trace: trace_file,
            broken: self.broken,
        })
    }
}

/// The instant at which jobs come together that a server of this period is the target of.
const fn together(period: u64) -> u64 {
    2 * period
}

/// Whether a thread's offset is nobody's protocol.
const fn is_free(thread: &tern_config::Thread) -> bool {
    match thread.runs {
        tern_config::Runs::Nothing | tern_config::Runs::Program { .. } => true,
        tern_config::Runs::Replica(_)
        | tern_config::Runs::Voter(_)
        | tern_config::Runs::Driver(_) => false,
    }
}

fn choice(random: &mut Rng) -> Choice {
    match random.u8(..3) {
        0 => Choice::Least,
        1 => Choice::Drawn,
        _ => Choice::Most,
    }
}

/// Returns the environment of this number: the first charges no costs, and all comes as soon and
/// takes as long as it may; the second is the worst with costs; others are drawn.
fn environment(number: usize, random: &mut Rng, costs: CostTable) -> Environment {
    let exact = Environment {
        costs,
        ..Environment::exact(random.u64(..))
    };
    match number {
        0 => exact,
        1 => Environment {
            charges: Choice::Most,
            sections: Choice::Most,
            jitter: Choice::Drawn,
            ..exact
        },
        _ => Environment {
            charges: choice(random),
            sections: choice(random),
            jitter: choice(random),
            gaps: match random.bool() {
                true => Choice::Least,
                false => Choice::Drawn,
            },
            shortfall: match random.bool() {
                true => Choice::Least,
                false => Choice::Drawn,
            },
            silence: choice(random),
            ..exact
        },
    }
}

fn failed(error: SimulationError) -> Error {
    Error::failure(error.to_string())
}
