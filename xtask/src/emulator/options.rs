//! What machine to start, and the emulator's command line for it.
use super::files::Folder;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tern_config::System;

/// What executes the machine's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The host's processor, with nested virtualization.
    Kvm,
    /// Translation.
    Tcg,
}

/// What the machine's time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The host's.
    Host,
    /// Counted instructions, each taking 2^shift ns; an idle machine follows the host's
    /// time. A busy host then slows the machine as a whole, its clock included.
    Instructions {
        /// Logarithm of the time of an instruction in nanoseconds.
        shift: u8,
    },
}

/// What machine to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The emulator's program.
    pub emulator: PathBuf,
    /// What executes.
    pub accelerator: Accelerator,
    /// The processor's model, as the emulator names it.
    pub processor: String,
    /// Number of cores.
    pub cores: u32,
    /// MiB of memory.
    pub memory: u64,
    /// What its time is.
    pub clock: Clock,
    /// The hypervisor's ELF file.
    pub hypervisor: PathBuf,
    /// The boot module, if any.
    pub module: Option<PathBuf>,
    /// Whether the second serial port is connected to [`Machine::plant`].
    pub plant: bool,
    /// How long the machine may run, in the host's time.
    pub bound: Duration,
}

/// MiB of memory for the hypervisor, the boot module and what a PC keeps for itself.
const OVERHEAD: u64 = 96;

impl Options {
    /// A machine that is large enough for `system`.
    #[must_use]
    pub fn for_system(system: &System, emulator: PathBuf, hypervisor: PathBuf) -> Self {
        let cores = system
            .sandboxes
            .iter()
            .map(|sandbox| sandbox.core + 1)
            .max();
        let memory = system.memory_bytes().div_ceil(1 << 20) + OVERHEAD;
        Self::new(
            emulator,
            hypervisor,
            cores.unwrap_or(1),
            memory.next_multiple_of(64),
        )
    }

    /// A machine with the translator of `emulator`, in counted time.
    #[must_use]
    pub fn new(emulator: PathBuf, hypervisor: PathBuf, cores: u32, memory: u64) -> Self {
        Self {
            emulator,
            accelerator: Accelerator::Tcg,
            processor: "max".into(),
            cores,
            memory,
            clock: Clock::Instructions { shift: 3 },
            hypervisor,
            module: None,
            plant: false,
            bound: Duration::from_secs(60),
        }
    }
}

/// The command line of a machine with these options, whose files are in `folder`.
pub(super) fn command(options: &Options, folder: &Folder) -> Result<Command> {
    let mut command = Command::new(&options.emulator);
    command.args([
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
    ]);
    command.args([
        "-machine",
        "q35,memory-backend=memory",
        "-cpu",
        &options.processor,
    ]);
    command.args([
        "-smp",
        &options.cores.to_string(),
        "-m",
        &format!("{}M", options.memory),
    ]);
    let memory = text(&folder.memory)?;
    let backend = format!(
        "memory-backend-file,id=memory,share=on,size={}M,mem-path={memory}",
        options.memory
    );
    command.args(["-object", &backend]);
    match options.accelerator {
        Accelerator::Kvm => command.args(["-accel", "kvm"]),
        Accelerator::Tcg => command.args(["-accel", "tcg"]),
    };
    if let Clock::Instructions { shift } = options.clock {
        command.args(["-icount", &format!("shift={shift},sleep=on")]);
    }
    let socket = |name: &str| text(&folder.path.join(name)).map(str::to_string);
    command.args([
        "-chardev",
        "stdio,id=console,signal=off",
        "-serial",
        "chardev:console",
    ]);
    if options.plant {
        let chardev = format!("socket,id=plant,server=off,path={}", socket("plant")?);
        command.args(["-chardev", &chardev, "-serial", "chardev:plant"]);
    }
    let chardev = format!("socket,id=monitor,server=off,path={}", socket("monitor")?);
    command.args(["-chardev", &chardev, "-mon", "chardev=monitor,mode=control"]);
    let chardev = format!(
        "socket,id=debugger,server=on,wait=off,path={}",
        socket("debugger")?
    );
    command.args(["-chardev", &chardev, "-gdb", "chardev:debugger"]);
    command.arg("-kernel").arg(&options.hypervisor);
    if let Some(module) = &options.module {
        command.arg("-initrd").arg(module);
    }
    Ok(command)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .filter(|text| !text.contains(','))
        .ok_or_else(|| {
            Error::input(format!(
                "{}: the emulator takes no such path",
                path.display()
            ))
        })
}
