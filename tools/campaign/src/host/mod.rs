//! Random systems on the host: each response in virtual time against its bound, by the scheduler
//! that boots, in environments that are as bad as the bounds allow for.
mod draw;
mod judge;
mod keys;
mod met;
mod model;
mod trial;

pub use met::Met;

use crate::table::Table;
use crate::{Finding, Options};
use std::time::{Duration, Instant};
use trial::Platforms;
use xtask::error::{Context, Result};
use xtask::{interrupt, workspace};

/// How often a search says how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

/// A search that came to its end.
#[derive(Debug)]
pub struct Outcome {
    /// What it met, what is in the table that it went on with included.
    pub met: Met,
    /// The systems that broke promises.
    pub findings: Vec<Finding>,
}

/// Searches as `options` say; `show` is called with each line of it.
///
/// # Errors
/// If a file cannot be written, or what is drawn is no description.
pub fn search(options: &Options, mut show: impl FnMut(&str)) -> Result<Outcome> {
    interrupt::catch()?;
    let begin = Instant::now();
    let folder = workspace::target().join("search");
    let made = std::fs::create_dir_all(&folder);
    made.context(|| format!("creating {}", folder.display()))?;
    let (part, parts) = options.shard;
    let name = format!("host-{}-{}of{parts}.txt", options.seed, part + 1);
    let mut table: Table<Met> = Table::open(&folder.join(name), options.resume)?;
    let after = table.last;
    let platforms = Platforms::read()?;

    let mut findings = Vec::new();
    let mut said = begin;
    let seeds = options.seeds().filter(|seed| Some(*seed) > after);
    for seed in seeds.take(options.systems) {
        interrupt::check()?;
        let (finding, met) = trial::of(seed, &platforms, &folder)?;
        table.add(seed, met)?;
        if let Some(finding) = &finding {
            show(&finding.to_string());
        }
        findings.extend(finding);
        if said.elapsed() >= PROGRESS {
            said = Instant::now();
            let met = &table.met;
            show(&format!(
                "seed {seed}: {} systems, {} accepted, {} runs, {} jobs, {} broke promises",
                met.systems, met.accepted, met.runs, met.jobs, met.broken
            ));
        }
        if begin.elapsed() >= options.time {
            break;
        }
    }
    let met = table.met;
    Ok(Outcome { met, findings })
}
