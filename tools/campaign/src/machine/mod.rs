//! Random systems on a Bochs machine, whose devices interrupt at their worst and whose doorbells
//! ring at their least interval: each response against its bound.
mod draw;
mod judge;
mod met;
mod model;
mod promise;
mod run;
mod work;

pub use met::Met;

use crate::table::Table;
use crate::{Finding, Options};
use std::path::PathBuf;
use std::time::Instant;
use tern_units::Duration;
use work::Work;
use xtask::emulator::bochs::Model as Processor;
use xtask::error::{Context, Error, Result};
use xtask::{interrupt, record, workspace};

/// How long a system runs after its time epoch.
const TIME: Duration = Duration::from_millis(300);
/// Sandboxes of a seed that may be refused.
const ATTEMPTS: u64 = 1_000;

/// A series that came to its end.
#[derive(Debug)]
pub struct Outcome {
    /// What its runs met, those before it that it went on with included.
    pub met: Met,
    /// The systems that broke promises.
    pub findings: Vec<Finding>,
}

/// Runs a series on `machine` as `options` say; `show` is called with each line of it.
///
/// # Errors
/// If a machine does not run. What a system breaks is in the outcome.
pub fn search(
    machine: Processor,
    options: &Options,
    mut show: impl FnMut(&str),
) -> Result<Outcome> {
    interrupt::catch()?;
    let begin = Instant::now();
    let platform = machine.platform();
    let folder = workspace::target().join("search");
    let made = std::fs::create_dir_all(&folder);
    made.context(|| format!("creating {}", folder.display()))?;
    let file = |name: String| folder.join(format!("{platform}-{name}.toml"));

    let (part, parts) = options.shard;
    let name = format!("{platform}-{}-{}of{parts}.txt", options.seed, part + 1);
    let mut table: Table<Met> = Table::open(&folder.join(name), options.resume)?;
    let after = table.last;
    let work = Work::measure(machine, &file("work".into()))?;
    show(&format!(
        "{platform}: a job takes {}, a thousand steps {}, a driver's job {}",
        work.job, work.thousand, work.driver
    ));

    let mut findings = Vec::new();
    let seeds = options.seeds().filter(|seed| Some(*seed) > after);
    for seed in seeds.take(options.systems) {
        interrupt::check()?;
        let (finding, met) = one(seed, file(seed.to_string()), machine, &work)?;
        table.add(seed, met)?;
        match &finding {
            None => show(&format!("seed {seed}: {met}")),
            Some(finding) => show(&finding.to_string()),
        }
        findings.extend(finding);
        if begin.elapsed() >= options.time {
            break;
        }
    }
    let met = table.met;
    Ok(Outcome { met, findings })
}

/// Draws, checks, boots and judges the system of one seed, whose description goes to `file`.
fn one(
    seed: u64,
    file: PathBuf,
    machine: Processor,
    work: &Work,
) -> Result<(Option<Finding>, Met)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut model = draw::draw(&mut random, seed, machine.platform(), work);
    let mut refused = 0;
    loop {
        let wrong = promise::refused(&model, &file)?;
        if wrong.is_empty() {
            break;
        }
        refused += wrong.len() as u64;
        if refused > ATTEMPTS {
            return Err(Error::failure(format!(
                "seed {seed}: none of {ATTEMPTS} sandboxes is accepted"
            )));
        }
        for number in wrong {
            let drives = model.drives(number);
            model.sandboxes[number] = draw::sandbox(&mut random, drives, work);
        }
    }
    let bounds = promise::tighten(&mut model, &file, &mut random)?;

    let ran = run::run(&file, machine, TIME)?;
    let (broken, mut met) = judge::judge(&ran, &bounds);
    met.refused = refused;
    if broken.is_empty() {
        let removed = std::fs::remove_file(&file);
        removed.context(|| format!("removing {}", file.display()))?;
        return Ok((None, met));
    }

    let trace = file.with_extension("trace");
    record::save(&ran.booted.trace, &trace)?;
    let finding = Finding {
        seed,
        on: format!(" --machine {}", machine.platform()),
        description: file,
        trace,
        broken,
    };
    met.broken = 1;
    Ok((Some(finding), met))
}
