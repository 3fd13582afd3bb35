//! One boot: a description, on a machine whose serial port is flooded.
use std::path::Path;
use tern_config::{Description, System};
use tern_units::Duration;
use xtask::boot::{Booted, boot_machine};
use xtask::emulator::bochs::{Model as Processor, Options};
use xtask::error::{Error, Result};
use xtask::{build, image};

/// What kernels get to set themselves up before the time epoch.
const LEAD: Duration = Duration::from_millis(60);
/// What the hypervisor takes before that, at most: 270 ms on four cores.
const START: Duration = Duration::from_millis(300);

/// What is at the other end of the serial port: a byte whenever the port looks for one.
const NEVER_SILENT: &str = "/dev/zero";

/// A system that ran.
#[derive(Debug)]
pub(super) struct Ran {
    /// What it is.
    pub system: System,
    /// What it left.
    pub booted: Booted,
}

/// Reads a description that can be booted.
///
/// # Errors
/// If it cannot, with what is wrong.
pub(super) fn read(file: &Path) -> Result<Description> {
    let description = Description::read(file);
    let description = description.and_then(|read| read.validate_bootable().map(|()| read));
    description.map_err(|problems| Error::input(problems.to_string()))
}

/// Boots the system that `file` describes on `processor` for `time` after its time epoch, with a
/// device at its serial port that is never silent.
///
/// # Errors
/// If it does not boot.
pub(super) fn run(file: &Path, processor: Processor, time: Duration) -> Result<Ran> {
    let system = read(file)?.system;
    build::build_for(&system)?;
    let module = image::assemble(&system)?;
    let usual = Options::for_system(&system, module, processor);
    let options = Options {
        command_line: format!("{} lead_ms={}", usual.command_line, millis(LEAD)),
        second_port: Some(NEVER_SILENT.into()),
        // With one core Bochs 2.7 skips idle time.
        cores: usual.cores.max(2),
        ..usual
    };
    let total = std::time::Duration::from_nanos((START + LEAD + time).as_nanos());
    let booted = boot_machine(&system, processor, options, total, |_| {})?;
    Ok(Ran { system, booted })
}

fn millis(time: Duration) -> u64 {
    time.as_nanos() / 1_000_000
}
