//! `cargo xtask run`: boots a system, watches it, injects a fault, and judges.
mod accelerator;
mod consequences;
mod evidence;
pub mod machine;
mod options;
mod outputs;
mod plan;
mod session;
mod verdict;
mod view;

pub use consequences::{Hit, Misses};
pub use evidence::{Detection, Evidence, Repair, Sign};
pub use options::{HELP, RunOptions, targets};
pub use outputs::Outputs;
pub use verdict::{Line, Verdict};

use crate::emulator::bochs::Model;
use crate::emulator::{self, Options, bochs};
use crate::error::{Error, Result};
use crate::plant::{Taker, Tap, link, secret};
use crate::record::{self, RunFiles};
use crate::{build, image, interrupt, setup, workspace};
use machine::{InBochs, InQemu, Watched};
use plan::Plan;
use session::{Plant, Session};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tern_config::{DeviceChannels, Runs, System};
use tern_pendulum::Pendulum;
use tern_plant::tag::Key;
use tern_trace::Trace;

/// What the hypervisor prints once the machine can be watched.
const READY: &str = "directory at 0x";
/// Host time a run may take beyond its epochs.
const START_ALLOWANCE: Duration = Duration::from_secs(40);
/// The program that is the pendulum.
const PENDULUM: &str = "pendulum";
/// How much slower than real time a machine may run.
const SLOWNESS: u32 = 8;
/// The same in Bochs, where a core's idle time costs as much as its work.
const BOCHS_SLOWNESS: u32 = 60;
/// From a machine's start in Bochs to the time epoch, at least.
const BOCHS_START: Duration = Duration::from_secs(1);

/// A run that came to its end.
#[derive(Debug)]
pub struct Outcome {
    /// Whether everything held.
    pub verdict: Verdict,
    /// The trace.
    pub trace: Trace,
    /// Where it was written.
    pub trace_file: PathBuf,
}

/// Runs a system as `options` say, from the build to the verdict.
///
/// # Errors
/// If it cannot be built or booted, or its run is cut off.
pub fn run(options: &RunOptions) -> Result<Outcome> {
    interrupt::catch()?;
    let file = description_file(options);
    let platform = options.bochs.map(Model::platform);
    let description = image::read(&file)?;
    // Nothing is said of deadlines on a machine where the system has no plant.
    if options.bochs.is_some() {
        let set = watched_set(&description.system)?;
        if simulated(&mut description.system.clone(), set, options.seed).is_none() {
            return Err(plant_is_outside(&file, &description.system, set));
        }
    }
    let mut system = image::admit_described(description, &file, platform, options.force)?;
    if options.unprotected {
        system = system.unprotected();
        system.name += "-unprotected";
    }
    let set = watched_set(&system)?;
    let plan = Plan::of(options, &system, set)?;
    let simulated = simulated(&mut system, set, options.seed);
    let files = RunFiles::take(&system.name)?;
    let trace_file = options.trace.clone().unwrap_or_else(|| files.file("trace"));
    record::expect_writable(&trace_file)?;
    println!("building {}", system.name);
    build::build_for(&system)?;
    let faults: Vec<_> = options.faults.iter().map(ToString::to_string).collect();
    let promises = image::promises(&system, options.bochs)?;
    let secret = secret::fresh()?;
    let told = format!(
        "seed {}, {} epochs, fault {}",
        options.seed,
        options.epochs,
        faults.join(", ")
    );
    let (mut machine, host): (Box<dyn Watched>, _) = match options.bochs {
        Some(model) => {
            let machine = start_in_bochs(options, &system, &secret, set, model)?;
            println!("{told}");
            (Box::new(machine), None)
        }
        None => {
            let mut machine = start_in_qemu(options, &system, &secret, set, &files)?;
            println!("{told}");
            let line = machine.plant.take();
            (Box::new(InQemu::new(machine)), line)
        }
    };
    let taker = Taker::new(&system, set, &secret);
    let host = host.map(|line| link::drive(line, options.seed, taker.clone()));
    let directory = session::boot(machine.as_mut())?;
    let plant = match (host, simulated) {
        (Some(exchanges), _) => Plant::Host(exchanges),
        (None, Some((channels, pendulum))) => {
            let tap = Tap::new(&directory, &system, channels, taker, pendulum)?;
            Plant::Sandbox(Box::new(tap))
        }
        (None, None) => return Err(Error::failure("no line to the plant")),
    };
    let mut session = Session::new(machine, directory, plant, &system, set, promises, options);
    let watched = session.watch(plan);
    session.view.erase();
    if let Err(error) = watched {
        let error = session.explained(error);
        // The trace may tell more; without one the error is what there is.
        if let Ok((_, trace)) = session.finish() {
            let _ = trace.save(&trace_file);
        }
        return Err(error);
    }
    let (verdict, trace) = session.finish()?;
    record::save(&trace, &trace_file).map_err(|error| match &verdict {
        Ok(verdict) => error.with(&format!("\n{verdict}")),
        Err(unsound) => error.with(&format!("\n{unsound}")),
    })?;
    let verdict = verdict.map_err(|error| {
        error.with(&format!(
            "\n`tern dump {}` shows its records",
            trace_file.display()
        ))
    })?;
    Ok(Outcome {
        verdict,
        trace,
        trace_file,
    })
}

/// Starts `system` in QEMU; its plant is on the host unless a sandbox simulates it.
fn start_in_qemu(
    options: &RunOptions,
    system: &System,
    secret: &Key,
    set: usize,
    files: &RunFiles,
) -> Result<emulator::Machine> {
    let emulator = setup::emulator(options.emulator.as_deref())?;
    let module = files.file("image");
    image::write_with(system, secret, &module)?;
    let set = &system.replica_sets[set];
    let device = set
        .device
        .and_then(|device| system.devices.get(device as usize));
    let mut machine = Options {
        clock: options.clock,
        module: Some(module),
        plant: device.is_some_and(|device| device.channels.is_none()),
        bound: START_ALLOWANCE + SLOWNESS * Duration::from_nanos(set.period * options.epochs),
        ..Options::for_system(
            system,
            emulator,
            build::output_directory().join(build::HYPERVISOR),
        )
    };
    let accelerator = accelerator::choose(&mut machine, READY);
    println!("running on {} by {accelerator}", machine.emulator.display());
    emulator::Machine::start(&machine)
}

fn start_in_bochs(
    options: &RunOptions,
    system: &System,
    secret: &Key,
    set: usize,
    model: Model,
) -> Result<InBochs> {
    // Twice its epochs: a fault in a register waits for the replica to run.
    let most =
        BOCHS_START + 2 * Duration::from_nanos(system.replica_sets[set].period * options.epochs);
    let machine = bochs::Options {
        emulator: setup::ensure_bochs()?,
        bound: START_ALLOWANCE + BOCHS_SLOWNESS * most,
        ..bochs::Options::for_system(system, image::assemble_with(system, secret)?, model)
    };
    println!(
        "running on {} with {} cores of model {}, an instruction a tick",
        machine.emulator.display(),
        machine.cores,
        model.name()
    );
    Ok(InBochs::new(bochs::Machine::start(&machine)?, most))
}

fn description_file(options: &RunOptions) -> PathBuf {
    let demo = match options.bochs {
        None => "systems/pendulum/arbitrator.toml",
        Some(_) => "systems/pendulum/arbitrator-simulated.toml",
    };
    let file = options.system.clone();
    file.unwrap_or_else(|| workspace::root().join(demo))
}

/// The channels to the plant of the watched set, if a program simulates it, and the same
/// plant if that is the pendulum. The program's argument becomes the seed.
fn simulated(
    system: &mut System,
    set: usize,
    seed: u64,
) -> Option<(DeviceChannels, Option<Pendulum>)> {
    let device = system.replica_sets[set].device?;
    let channels = system.devices.get(device as usize)?.channels?;
    let place = system.plant(device)?;
    let sandbox = system.sandboxes.get_mut(place.sandbox as usize)?;
    let server = sandbox.servers.get_mut(place.server as usize)?;
    let thread = server.threads.get_mut(place.thread as usize)?;
    let Runs::Program { file, argument, .. } = &mut thread.runs else {
        return None;
    };
    *argument = seed;
    let pendulum = (file == PENDULUM).then(|| Pendulum::new(seed));
    Some((channels, pendulum))
}

fn plant_is_outside(file: &Path, system: &System, set: usize) -> Error {
    let device = system.replica_sets[set].device.unwrap_or(0) as usize;
    let name = system
        .devices
        .get(device)
        .map_or("?", |device| &device.name);
    Error::input(format!(
        "{}: the plant behind device \"{name}\" is outside the machine, where nothing in Bochs \
         reaches it: give the thread of a program that stands for it `simulates = \"{name}\"`, in \
         a sandbox of its own, as systems/pendulum/arbitrator-simulated.toml does",
        file.display()
    ))
}

fn watched_set(system: &System) -> Result<usize> {
    system
        .replica_sets
        .iter()
        .position(|set| set.device.is_some())
        .ok_or_else(|| {
            Error::input(format!(
                "{} has no replica set with a device: there is nothing to watch (cargo xtask boot \
                 boots any system, in Bochs)",
                system.name
            ))
        })
}

/// What a path is called in messages: relative to the current folder where it can be.
#[must_use]
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here)
        .unwrap_or(path)
        .display()
        .to_string()
}
