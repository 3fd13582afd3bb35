//! What machine to start in Bochs.
use super::configuration::{Model, TICKS_PER_SECOND};
use crate::build;
use std::path::PathBuf;
use std::time::Duration;
use tern_config::System;

/// The emulator's program. Debian's `bochs` is a script around it.
pub const EMULATOR: &str = "bochs-bin";

/// MiB of memory for the hypervisor, the boot module and what a PC keeps for itself.
const OVERHEAD: u64 = 32;

/// What machine to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The emulator's program.
    pub emulator: PathBuf,
    /// The processor, by its name in Bochs.
    pub processor: &'static str,
    /// The features of the processor that is called `bx_generic`, as Bochs writes them.
    pub features: Option<&'static str>,
    /// Number of cores.
    pub cores: u8,
    /// MiB of memory.
    pub memory: u64,
    /// The ROM's ELF file.
    pub rom: PathBuf,
    /// The hypervisor's ELF file.
    pub hypervisor: PathBuf,
    /// The boot module's contents, if there is one.
    pub module: Option<Vec<u8>>,
    /// The hypervisor's command line.
    pub command_line: String,
    /// A model-specific register that the firmware sets on the boot core, and its value.
    pub firmware_register: Option<(u32, u64)>,
    /// Whether the first serial port is there: who writes to it waits for the line, in the
    /// machine's own time.
    pub first_port: bool,
    /// The file that the second serial port reads and writes, if any. What it reads comes a byte
    /// each time that the line takes for one, so a file without an end is a line that is never
    /// silent, in the machine's own time.
    pub second_port: Option<PathBuf>,
    /// How long the machine may run, in the host's time.
    pub bound: Duration,
}

impl Options {
    /// A machine of `model` that is large enough for `system` with the boot module
    /// `module`; ROM and hypervisor as [`build`] leaves them.
    #[must_use]
    pub fn for_system(system: &System, module: Vec<u8>, model: Model) -> Self {
        let output = build::output_directory();
        let cores = system.sandboxes.iter().map(|sandbox| sandbox.core + 1);
        let bytes = system.memory_bytes() + 2 * module.len() as u64;
        Self {
            emulator: EMULATOR.into(),
            processor: model.name(),
            features: None,
            cores: cores
                .max()
                .and_then(|it| u8::try_from(it).ok())
                .unwrap_or(1),
            memory: OVERHEAD + bytes.div_ceil(1 << 20),
            rom: output.join(build::ROM),
            hypervisor: output.join(build::HYPERVISOR),
            module: Some(module),
            command_line: format!("tsc_hertz={TICKS_PER_SECOND}"),
            firmware_register: None,
            first_port: false,
            second_port: None,
            bound: Duration::from_secs(120),
        }
    }
}
