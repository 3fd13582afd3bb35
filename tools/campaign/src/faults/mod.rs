//! Seeded faults in simulated sets: every placement and class of faults, many runs of each, and
//! what they came to.
mod class;
mod counts;
mod ledger;
mod lie;
mod options;
mod placement;
mod reference;
mod report;
mod run;
mod strike;

pub use class::Class;
pub use counts::{Counts, poisson_bound};
pub use options::{Options, Task};
pub use placement::Placement;
pub use report::Report;

use ledger::Ledger;
use reference::Reference;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tern_fault::outcome::OutcomeClass;
use tern_sim::sets::World;
use xtask::error::{Context, Result};
use xtask::{interrupt, workspace};

/// Runs between two lines of the ledger.
const BLOCK: u64 = 100;

/// How often a campaign says how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Who votes.
    pub placement: Placement,
    /// What goes wrong.
    pub class: Class,
}

impl Row {
    /// Returns all rows, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        let placements = Placement::ALL.into_iter();
        placements.flat_map(|placement| {
            let classes = Class::ALL.into_iter();
            let applying = classes.filter(move |class| placement.has(*class));
            applying.map(move |class| Self { placement, class })
        })
    }

    /// Returns the row's name: what `--replay` takes before a run's number.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.placement.name(), self.class.name())
    }
}

/// Whether a run of this outcome breaks what the row's placement promises.
fn is_broken(row: Row, came: OutcomeClass) -> bool {
    use OutcomeClass as Of;
    match came {
        Of::Hang => !row.placement.may_stop(row.class),
        Of::IsolationBreach | Of::Crash | Of::RecoveredLate => true,
        Of::WrongOutput => row.placement.protects(),
        Of::SafeStop => {
            let may_stop = row.class.is_of_several() || row.placement.may_stop(row.class);
            row.placement.protects() && !may_stop
        }
        Of::Downgraded
        | Of::Recovered
        | Of::FalseAccusation
        | Of::Latent
        | Of::Masked
        | Of::NotActivated => false,
    }
}

/// Returns the epochs in which a sound replica may be accused in a run, if they are counted: for a
/// single fault. Who forges outputs makes the actuator find their tags bad, as long as it does.
fn accusations(row: Row) -> Option<u64> {
    let is_counted =
        row.placement.protects() && !row.class.is_of_several() && row.class != Class::Forge;
    is_counted.then_some(row.placement.accusations())
}

/// The folder of the ledgers.
fn folder() -> Result<PathBuf> {
    let folder = workspace::target().join("campaign");
    let made = std::fs::create_dir_all(&folder);
    made.context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}

/// Runs a campaign as `options` say; `show` is called with each line of it.
///
/// # Errors
/// If a file cannot be written, or what is in it is of another campaign.
pub fn campaign(options: &Options, mut show: impl FnMut(&str)) -> Result<Report> {
    interrupt::catch()?;
    let begin = Instant::now();
    let (part, parts) = options.shard;
    let name = format!("seed-{}-{}of{parts}.csv", options.seed, part + 1);
    let path = folder()?.join(name);
    let mut ledger = Ledger::open(&path, options.seed, options.resume)?;
    let rows: Vec<Row> = Row::all().filter(|row| options.has(*row)).collect();

    let mut said = begin;
    let mut stage = Stage::default();
    let mut done = Counts::default();
    // A block of each row after the other, so that a campaign cut short has some of all.
    let blocks = options.runs.div_ceil(BLOCK);
    'blocks: for block in 0..blocks {
        for (place, row) in (0..).zip(&rows) {
            if (block + place) % parts != part || ledger.has(*row, block) {
                continue;
            }
            if begin.elapsed() >= options.time {
                break 'blocks;
            }
            interrupt::check()?;
            let runs = block * BLOCK..options.runs.min((block + 1) * BLOCK);
            let mut counts = Counts::default();
            for number in runs {
                let (came, faults) = stage.run(*row, options.seed, number)?;
                counts.add(&came);
                let accused = came.accused_falsely;
                if is_broken(*row, came.class)
                    || accusations(*row).is_some_and(|most| accused > most)
                    || came.withheld_above > 0
                {
                    let (row, seed) = (row.name(), options.seed);
                    let (what, withheld) = (came.class.name(), came.withheld);
                    show(&format!(
                        "{row}/{number}: {what}, {withheld} withheld, {accused} accused falsely, \
                         after {}; again: cargo xtask campaign --seed {seed} --replay \
                         {row}/{number}",
                        faults.join(", ")
                    ));
                }
            }
            ledger.add(*row, block, counts)?;
            done += counts;
            if said.elapsed() >= PROGRESS {
                said = Instant::now();
                show(&format!("block {} of {blocks}, {}", block + 1, row.name()));
            }
        }
    }
    let (runs, epochs, seconds) = (done.runs(), done.epochs, begin.elapsed().as_secs_f64());
    show(&format!(
        "{runs} runs of {epochs} epochs in {seconds:.1} s: {:.0} runs and {:.0} epochs a second",
        runs as f64 / seconds,
        epochs as f64 / seconds
    ));
    show(&format!("the ledger is {}", path.display()));
    Ok(ledger.report())
}

/// Adds up the ledgers of a campaign's parts.
///
/// # Errors
/// If one cannot be read, they are not of one campaign, or two have the same runs.
pub fn merge(paths: &[PathBuf]) -> Result<Report> {
    let mut merged: Option<Ledger> = None;
    for path in paths {
        let ledger = Ledger::read(path)?;
        match &mut merged {
            None => merged = Some(ledger),
            Some(merged) => merged.take(&ledger, path)?,
        }
    }
    Ok(merged.map_or_else(Report::default, |merged| merged.report()))
}

/// Runs one run again; returns its faults, what was recorded, and what it came to, as lines.
///
/// # Errors
/// If a placement's description is none.
pub fn replay(row: Row, seed: u64, number: u64) -> Result<Vec<String>> {
    let mut stage = Stage::default();
    let (came, mut lines) = stage.run(row, seed, number)?;
    let world = stage.world.as_ref();
    for (at, event) in world.map_or(&[][..], World::events) {
        lines.push(format!("{at:>12} ns  {event:?}"));
    }
    if let Some(world) = world {
        let (end, taken) = (world.epoch(), world.seen().accepted);
        let withheld = (end - came.epochs..end).filter(|epoch| !taken.contains(epoch));
        let withheld: Vec<u64> = withheld.collect();
        lines.push(format!("epochs without an output: {withheld:?}"));
    }
    lines.push(format!("{came:?}"));
    Ok(lines)
}

/// The references that runs begin with, made once, and room for a run.
#[derive(Debug, Default)]
struct Stage {
    references: Vec<(Placement, Vec<Reference>)>,
    world: Option<World>,
}

impl Stage {
    fn run(&mut self, row: Row, seed: u64, number: u64) -> Result<(run::Came, Vec<String>)> {
        let place = match self
            .references
            .iter()
            .position(|(of, _)| *of == row.placement)
        {
            Some(place) => place,
            None => {
                let made = Reference::of(row.placement)?;
                self.references.push((row.placement, made));
                self.references.len() - 1
            }
        };
        let references = &self.references[place].1;
        let name = format!("{seed}/{}/{number}", row.name());
        let mut random = fastrand::Rng::with_seed(fnv(name.as_bytes()));
        let reference = &references[random.usize(0..references.len())];
        let world = self.world.get_or_insert_with(|| reference.warm.clone());
        Ok(run::run(row, reference, world, &mut random))
    }
}

/// The FNV-1a hash of some bytes: a seed that follows from a name alone.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The digest of the program that runs: a ledger of another is not gone on with.
fn build() -> Result<u64> {
    let program = std::env::current_exe().context(|| "finding this program".into())?;
    read_digest(&program)
}

fn read_digest(program: &Path) -> Result<u64> {
    let bytes = std::fs::read(program);
    let bytes = bytes.context(|| format!("reading {}", program.display()))?;
    Ok(fnv(&bytes))
}
