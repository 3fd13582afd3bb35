//! One boot of a measuring system in Bochs, and what its programs wrote down.
use super::sections::{Look, Section, Stops, Stretch, Windows};
use super::widen;
use crate::emulator::bochs::{Machine, Model, Options};
use crate::emulator::{Directory, user_pages};
use crate::error::{Context, Error, Result};
use crate::{build, image, record, setup, workspace};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tern_abi::layout::{HEAP_BASE, INPUT_PAGE};
use tern_config::layout::MAX_SERVERS;
use tern_config::{Description, Problems, Runs, System};
use tern_trace::{Core, Event, Trace};
use tern_units::{HostPhysical, PAGE_SIZE};

/// How long a boot may take on a busy host.
const BOUND: Duration = Duration::from_secs(1200);

/// Ticks from one look at a running machine to the next, at most.
const STEP: u64 = 5_000_000;
/// Byte of a page that is flipped: one that `tests/systems/timing/src/writer.rs` does not write.
const FLIPPED_BYTE: u64 = 800;

/// A boot of one of the systems in `tests/systems/timing/`.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The description, without `.toml`.
    pub name: &'static str,
    /// Time after the time epoch, unless the system ends by itself.
    pub millis: u64,
    /// Whether the other three cores are busy, as `beside/neighbours.toml` says.
    pub neighbours: bool,
    /// Whether its sandbox has as many servers as there can be, as [`widen`] says.
    pub widened: bool,
    /// How it is looked for stretches with interrupts off, from the time epoch on.
    pub searched: Option<Search>,
    /// What happens to replicas' memory, in order.
    pub flips: Vec<Flip>,
    /// Whether each second of the machine's time is told on standard error.
    pub says: bool,
    /// A hypervisor other than the one that [`build`] makes.
    pub hypervisor: Option<PathBuf>,
}

impl Plan {
    /// What it boots, for a line of text.
    #[must_use]
    pub fn label(&self) -> String {
        match self.widened {
            true => format!("{}, {MAX_SERVERS} servers", self.name),
            false => self.name.to_string(),
        }
    }
}

/// A search for stretches with interrupts off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// Instructions from one look to the next.
    pub every: u32,
    /// How long.
    pub time: Duration,
}

/// Bytes that change in the heap of a sandbox's replica: one a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flip {
    /// When, after the time epoch.
    pub at: Duration,
    /// The sandbox.
    pub sandbox: usize,
    /// The heap's first so many pages.
    pub pages: u32,
}

/// What a boot left.
#[derive(Debug)]
pub struct Measured {
    /// The description.
    pub system: System,
    /// The trace.
    pub trace: Trace,
    /// What was printed.
    pub console: Vec<String>,
    /// For each thread of the first sandbox, the pairs of timestamps that its program
    /// wrote down, in order; empty where it wrote none.
    pub stamps: Vec<Vec<Stamp>>,
    /// Stretches with interrupts off, where they were looked for.
    pub stretches: Vec<Stretch>,
}

/// Two readings of the timestamp counter, the second after what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The one before.
    pub before: u64,
    /// The one after.
    pub after: u64,
}

/// Boots a system as `plan` says.
///
/// # Errors
/// If it cannot be built or booted, or its trace has losses.
pub fn measure(plan: &Plan, model: Model) -> Result<Measured> {
    let name = plan.name;
    let stops = |search: Search| Look::At(Stops::every(search.every));
    let (system, mut machine, run) = boot(plan, model, plan.searched.map(stops))?;
    let console = machine.console.lines().to_vec();
    let directory = run.directory;
    // What is measured here may be what bounds are made of.
    let trace = record::trace(&machine.memory, &directory, &system, None, Vec::new())?;
    let lossy = |core: &&Core| core.dropped + core.overwritten > 0;
    if let Some(core) = trace.cores.iter().find(lossy) {
        return Err(Error::failure(format!(
            "{name}: the trace of {} is not complete: raise `trace`",
            core.sandbox
        )));
    }
    let stamps = stamps(&machine, &directory, &trace, &system)?;
    machine.quit()?;
    let stretches = match run.searched {
        Some((Look::At(stops), _)) => stops.found,
        _ => Vec::new(),
    };
    Ok(Measured {
        system,
        trace,
        console,
        stamps,
        stretches,
    })
}

/// Boots a system as before and returns the sections in and around `stretches`.
///
/// # Errors
/// If it cannot be built or booted.
pub fn sections(plan: &Plan, model: Model, stretches: &[Stretch]) -> Result<Vec<Section>> {
    let windows = |search: Search| Look::Between(Windows::around(stretches, search.every));
    let (_, mut machine, run) = boot(plan, model, plan.searched.map(windows))?;
    let Some((mut look, _)) = run.searched else {
        return Ok(Vec::new());
    };
    // The first boot went past its end by as much as one core was idle in its last stops.
    while look.run(&mut machine, STEP)?.is_some() {}
    machine.quit()?;
    Ok(match look {
        Look::Between(windows) => windows.found,
        Look::At(_) => Vec::new(),
    })
}

/// Boots a system and lets it run as long as `plan` says, or until nothing is left to look
/// at.
fn boot(plan: &Plan, model: Model, look: Option<Look>) -> Result<(System, Machine, Run)> {
    let system = describe(plan)?;
    build::build_for(&system)?;
    let module = image::assemble(&system)?;
    let mut options = Options {
        emulator: setup::ensure_bochs()?,
        bound: BOUND,
        ..Options::for_system(&system, module, model)
    };
    if let Some(hypervisor) = &plan.hypervisor {
        options.hypervisor.clone_from(hypervisor);
    }
    let mut machine = Machine::start(&options)?;
    let mut run = Run::begin(&mut machine)?;
    run.says = plan.says;
    if let (Some(look), Some(search)) = (look, plan.searched) {
        run.until(&mut machine, Duration::ZERO)?;
        let end = match &look {
            Look::At(_) => run.directory.header.epoch_tsc + run.ticks(search.time),
            Look::Between(_) => u64::MAX,
        };
        run.searched = Some((look, end));
    }
    for flip in &plan.flips {
        run.until(&mut machine, flip.at)?;
        run.flip(&mut machine, &system, flip)?;
    }
    run.until(&mut machine, Duration::from_millis(plan.millis))?;
    Ok((system, machine, run))
}

/// The system of a plan.
fn describe(plan: &Plan) -> Result<System> {
    let folder = workspace::root().join("tests/systems/timing");
    let file = folder.join(format!("{}.toml", plan.name));
    let read = |file: &Path| {
        std::fs::read_to_string(file).context(|| format!("reading {}", file.display()))
    };
    let wrong = |problems: Problems| Error::input(problems.to_string());
    let parse = |text: &str| {
        let file = file.display().to_string();
        Description::parse(&file, text).map_err(wrong)
    };
    let mut text = read(&file)?;
    if plan.widened {
        let servers = parse(&text)?.system.sandboxes[0].servers.len();
        text += &widen::text(servers)?;
    }
    if plan.neighbours {
        text += &read(&folder.join("beside/neighbours.toml"))?;
    }
    let mut description = parse(&text)?;
    description.validate_bootable().map_err(wrong)?;
    if plan.widened {
        widen::raise(&mut description.system);
    }
    Ok(description.system)
}

/// Whether the machine's run is over: nothing in it moves any more, its time included.
fn has_ended(machine: &mut Machine) -> bool {
    let lines = machine.console.lines();
    lines
        .iter()
        .any(|line| line.contains("shut down with status"))
}

/// A machine on its way.
struct Run {
    directory: Directory,
    now: u64,
    ended: bool,
    says: bool,
    /// What is looked at until which tick.
    searched: Option<(Look, u64)>,
}

impl Run {
    /// From its start until its sandboxes run.
    fn begin(machine: &mut Machine) -> Result<Self> {
        loop {
            let now = machine.run_for(STEP as u32)?.ticks;
            let lines = machine.console.lines();
            if let Some(address) = lines.iter().find_map(|line| Directory::address(line)) {
                let directory = Directory::read(&machine.memory, address)?;
                return Ok(Self {
                    directory,
                    now,
                    ended: has_ended(machine),
                    says: false,
                    searched: None,
                });
            }
            machine.check()?;
        }
    }

    fn ticks(&self, time: Duration) -> u64 {
        let ticks = time.as_nanos() * u128::from(self.directory.header.tsc_hertz);
        (ticks / 1_000_000_000) as u64
    }

    /// Whole seconds after the time epoch.
    fn second(&self) -> u64 {
        let header = &self.directory.header;
        self.now.saturating_sub(header.epoch_tsc) / header.tsc_hertz
    }

    /// On to so long after the time epoch, or until it has ended by itself.
    fn until(&mut self, machine: &mut Machine, time: Duration) -> Result<()> {
        let end = self.directory.header.epoch_tsc + self.ticks(time);
        while self.now < end && !self.ended {
            let ticks = (end - self.now).min(STEP);
            let second = self.second();
            let now = match &mut self.searched {
                Some((look, end)) if self.now < *end => look.run(machine, ticks)?,
                _ => Some(machine.run_for(ticks as u32)?.ticks),
            };
            let Some(now) = now else {
                self.ended = true;
                break;
            };
            self.now = now;
            if self.says && self.second() > second {
                eprintln!("  {} s of the machine's time", self.second());
            }
            self.ended = has_ended(machine);
            machine.check()?;
        }
        Ok(())
    }

    fn flip(&self, machine: &mut Machine, system: &System, flip: &Flip) -> Result<()> {
        let none = || Error::failure(format!("sandbox {} has no replica", flip.sandbox));
        let entry = self.directory.entries.get(flip.sandbox).ok_or_else(none)?;
        let core = record::core(&machine.memory, entry, "")?;
        let mut threads = system.sandboxes[flip.sandbox].threads();
        let replica = threads.position(|(_, _, thread)| matches!(thread.runs, Runs::Replica(_)));
        let root = core.events().find_map(|event| match event {
            Ok((_, Event::Process { thread, root_frame })) => {
                (replica == Some(usize::from(thread))).then_some(u64::from(root_frame) << 12)
            }
            _ => None,
        });
        let base = HostPhysical::new(entry.memory);
        let pages = user_pages(&machine.memory, base, root.ok_or_else(none)?)?;
        let heap = pages
            .iter()
            .filter(|page| page.address >= HEAP_BASE.as_u64())
            .take(flip.pages as usize);
        for page in heap {
            let at = HostPhysical::new(page.frame.as_u64() + FLIPPED_BYTE);
            let byte = machine.memory.bytes(at, 1)?[0];
            machine.write(at, &[byte ^ 1])?;
        }
        Ok(())
    }
}

fn stamps(
    machine: &Machine,
    directory: &Directory,
    trace: &Trace,
    system: &System,
) -> Result<Vec<Vec<Stamp>>> {
    let (Some(entry), Some(core)) = (directory.entries.first(), trace.cores.first()) else {
        return Ok(Vec::new());
    };
    let threads = system.sandboxes[0].threads().count();
    let mut stamps = vec![Vec::new(); threads];
    for (_, event) in core.events().filter_map(std::result::Result::ok) {
        let Event::Process { thread, root_frame } = event else {
            continue;
        };
        let base = HostPhysical::new(entry.memory);
        let pages = user_pages(&machine.memory, base, u64::from(root_frame) << 12)?;
        let mut heap: Vec<u64> = Vec::new();
        for page in pages {
            if (HEAP_BASE.as_u64()..INPUT_PAGE.as_u64()).contains(&page.address) {
                heap.extend(machine.memory.words::<{ PAGE_SIZE / 8 }>(page.frame)?);
            }
        }
        if let Some(place) = stamps.get_mut(usize::from(thread)) {
            *place = in_order(&heap);
        }
    }
    Ok(stamps)
}

/// The pairs in a program's heap, oldest first: see `tests/systems/timing/src/stamps.rs`.
fn in_order(heap: &[u64]) -> Vec<Stamp> {
    let pairs: Vec<Stamp> = heap
        .chunks_exact(2)
        .skip(1)
        .map(|pair| Stamp {
            before: pair[0],
            after: pair[1],
        })
        .collect();
    let count = heap.first().map_or(0, |count| *count as usize);
    if count <= pairs.len() {
        return pairs[..count].to_vec();
    }
    let oldest = count % pairs.len();
    [&pairs[oldest..], &pairs[..oldest]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_in_order_although_the_oldest_were_overwritten() {
        let stamp = |number: u64| Stamp {
            before: number,
            after: number + 1,
        };
        let heap = |count: u64, pairs: [u64; 3]| {
            let words = pairs.iter().flat_map(|before| [*before, before + 1]);
            [count, 0].into_iter().chain(words).collect::<Vec<_>>()
        };
        assert_eq!(in_order(&heap(2, [10, 20, 0])), [10, 20].map(stamp));
        assert_eq!(in_order(&heap(3, [10, 20, 30])), [10, 20, 30].map(stamp));
        assert_eq!(in_order(&heap(4, [40, 20, 30])), [20, 30, 40].map(stamp));
        assert_eq!(in_order(&[]), []);
    }
}
