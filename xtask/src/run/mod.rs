//! `cargo xtask run`: boots a system, watches it, injects a fault, and judges.
mod accelerator;
mod evidence;
mod options;
mod session;
mod verdict;
mod view;

pub use evidence::{Detection, Evidence, Outputs, Repair, Sign};
pub use options::{HELP, RunOptions};
pub use verdict::{Line, Verdict};

use crate::emulator::{Machine, Options};
use crate::error::{Context, Error, Result};
use crate::{build, image, setup, workspace};
use session::Session;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tern_config::System;
use tern_trace::Trace;

/// What the hypervisor prints once the machine can be watched.
const READY: &str = "directory at 0x";
/// Host time a run may take beyond its epochs.
const START_ALLOWANCE: Duration = Duration::from_secs(40);
/// How much slower than real time a machine may run.
const SLOWNESS: u32 = 8;

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
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .context(|| "catching signals".into())?;
    }
    let file = description_file(options);
    let system = image::admit(&file, options.force)?;
    let set = watched_set(&system)?;
    if let Some(name) = &options.fault.replica {
        session::replica_named(&system, &system.replica_sets[set], name)?;
    }
    let emulator = setup::emulator(options.emulator.as_deref())?;
    println!("building {}", system.name);
    build::build_for(&system)?;
    let folder = workspace::target().join("run");
    std::fs::create_dir_all(&folder).context(|| format!("creating {}", folder.display()))?;
    let module = folder.join(format!("{}.image", system.name));
    image::write(&system, &module)?;

    let mut machine_options = Options {
        clock: options.clock,
        module: Some(module),
        plant: true,
        bound: START_ALLOWANCE
            + SLOWNESS * Duration::from_nanos(system.replica_sets[set].period * options.epochs),
        ..Options::for_system(
            &system,
            emulator,
            build::output_directory().join(build::HYPERVISOR),
        )
    };
    let accelerator = accelerator::choose(&mut machine_options, READY);
    println!(
        "running on {} by {accelerator}",
        machine_options.emulator.display()
    );
    println!(
        "seed {}, {} epochs, fault {}",
        options.seed, options.epochs, options.fault.target
    );
    let machine = Machine::start(&machine_options)?;
    let mut session = Session::new(machine, &system, set, options, &interrupted)?;
    let trace_file = options
        .trace
        .clone()
        .unwrap_or_else(|| folder.join(format!("{}.trace", system.name)));
    let watched = session.watch();
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
    trace
        .save(&trace_file)
        .context(|| format!("writing {}", trace_file.display()))?;
    Ok(Outcome {
        verdict,
        trace,
        trace_file,
    })
}

fn description_file(options: &RunOptions) -> PathBuf {
    let file = options
        .system
        .clone()
        .unwrap_or_else(|| workspace::root().join("systems/pendulum/system.toml"));
    if options.unprotected {
        file.with_file_name("unprotected.toml")
    } else {
        file
    }
}

fn watched_set(system: &System) -> Result<usize> {
    system
        .replica_sets
        .iter()
        .position(|set| set.device.is_some())
        .ok_or_else(|| {
            Error::input(format!(
                "{} has no replica set with a device: there is nothing to watch",
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
