//! What machine to start, and the emulator's command line for it.
use super::files::Folder;
use crate::error::{Context, Error, Result};
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
    /// Counted instructions, each taking 2^shift ns. Where all cores are idle, time goes on
    /// to the next timer: at once, or with a plant, which needs time to answer, as fast as
    /// the host's. So a busy host slows the machine as a whole, its clock included; only
    /// with a plant, waking late from idleness is seen inside.
    Instructions {
        /// Logarithm of the time of an instruction in nanoseconds.
        shift: u8,
    },
}

/// A disc, and the firmware that starts it.
#[derive(Clone, Debug)]
pub struct Disc {
    /// The disc's image.
    pub image: PathBuf,
    /// A firmware other than the emulator's own BIOS.
    pub firmware: Option<PathBuf>,
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
    /// The hypervisor's command line.
    pub command_line: String,
    /// A disc to boot from by the machine's firmware, instead of hypervisor, module and
    /// command line.
    pub disc: Option<Disc>,
    /// Whether the second serial port is connected to [`super::Machine::plant`].
    pub plant: bool,
    /// Devices beside the usual ones, as the emulator names them.
    pub devices: Vec<String>,
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
            clock: Clock::Instructions { shift: 1 },
            hypervisor,
            module: None,
            command_line: String::new(),
            disc: None,
            plant: false,
            devices: Vec::new(),
            bound: Duration::from_secs(60),
        }
    }
}

/// Makes the cores of a machine in counted time take turns of half a millisecond.
///
/// They share one thread of the host, and one core runs until the machine's next timer is
/// due: for as long as other cores wait. So a timer ticks that concerns nobody, that of a
/// packet buffer on a network without anybody, from the machine's first instruction on.
const SHORT_TURNS: [&str; 4] = [
    "-netdev",
    "hubport,id=nobody,hubid=0",
    "-object",
    "filter-buffer,id=turns,netdev=nobody,interval=500",
];

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
        Accelerator::Tcg => command.args(["-accel", translator(options)?]),
    };
    if let Clock::Instructions { shift } = options.clock {
        let sleep = if options.plant { "on" } else { "off" };
        command.args(["-icount", &format!("shift={shift},sleep={sleep}")]);
        if options.cores > 1 {
            command.args(SHORT_TURNS);
        }
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
    for device in &options.devices {
        command.args(["-device", device]);
    }
    if let Some(disc) = &options.disc {
        command.arg("-cdrom").arg(&disc.image);
        if let Some(firmware) = &disc.firmware {
            command.arg("-bios").arg(firmware);
        }
        return Ok(command);
    }
    command.arg("-kernel").arg(&options.hypervisor);
    command.args(["-append", &options.command_line]);
    if let Some(module) = &options.module {
        command.arg("-initrd").arg(module);
    }
    Ok(command)
}

/// In counted time, an instruction that reads the machine's clock must be the last of
/// its translated block. QEMU sees to that for ports and memory, but not for the model
/// specific registers of the x2APIC, which it has since 9.0 ("Bad icount read"): there
/// every block must be one instruction.
fn translator(options: &Options) -> Result<&'static str> {
    let counted = matches!(options.clock, Clock::Instructions { .. });
    let has_x2apic = counted && version(&options.emulator)? >= 9;
    Ok(if has_x2apic {
        "tcg,one-insn-per-tb=on"
    } else {
        "tcg"
    })
}

/// The emulator's major version.
///
/// # Errors
/// If it cannot be started, or does not say.
pub fn version(emulator: &Path) -> Result<u32> {
    let doing = || format!("starting {}", emulator.display());
    let output = Command::new(emulator)
        .arg("--version")
        .output()
        .context(doing)?;
    let said = String::from_utf8_lossy(&output.stdout);
    let number = said
        .split("version ")
        .nth(1)
        .and_then(|rest| rest.split('.').next());
    number
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| {
            Error::input(format!(
                "{} does not tell its version as QEMU does",
                emulator.display()
            ))
        })
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
