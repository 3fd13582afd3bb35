//! What tests that boot share: systems that are built once, machines that run them,
//! and the emulators there are.
//!
//! A test that cannot boot fails; none is skipped.

use elf::ElfBytes;
use elf::endian::LittleEndian;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tern_config::System;
use xtask::emulator::{Directory, Machine, Options};
use xtask::{build, image, qemu10, setup, workspace};

mod platform;
pub mod text;

pub use platform::{BOCHS_AMD, BOCHS_INTEL, Jobs, Platform, QEMU, QEMU_10, Running, Wire};

/// How long a test's machine may run, in the host's time.
pub const BOUND: Duration = Duration::from_secs(60);

/// An emulator that both tests and users have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emulator {
    /// The machine's own: on Debian 12 QEMU 7.2, without x2APIC under translation.
    Installed,
    /// QEMU 10, with x2APIC.
    Qemu10,
}

impl Emulator {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Installed, Self::Qemu10];

    /// Its program, installed if it is missing.
    ///
    /// # Panics
    /// If it cannot be installed.
    #[must_use]
    pub fn program(self) -> PathBuf {
        // Two tests must not install at the same time.
        static INSTALLING: Mutex<()> = Mutex::new(());
        let _guard = INSTALLING.lock();
        let program = match self {
            Self::Installed => setup::ensure_emulator(),
            Self::Qemu10 => qemu10::ensure(),
        };
        program.unwrap_or_else(|error| panic!("{error}"))
    }
}

/// A system with its boot module.
#[derive(Clone, Debug)]
pub struct Built {
    /// The description.
    pub system: System,
    /// The boot module's contents.
    pub module: Vec<u8>,
}

impl Built {
    /// Builds the system described in `file`, a path from the repository's root.
    ///
    /// # Panics
    /// If it cannot be built.
    #[must_use]
    pub fn new(file: &str) -> Self {
        let system = image::describe(&workspace::root().join(file));
        Self::of(system.unwrap_or_else(|error| panic!("{error}")))
    }

    /// Builds the system that `text` describes.
    ///
    /// # Panics
    /// If it cannot be built.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let description = tern_config::Description::parse("test", text);
        Self::of(
            description
                .unwrap_or_else(|problems| panic!("{problems}"))
                .system,
        )
    }

    /// Builds what `system` needs.
    ///
    /// # Panics
    /// If it cannot be built.
    #[must_use]
    pub fn of(system: System) -> Self {
        let module = build_once(&system).and_then(|()| image::assemble(&system));
        Self {
            module: module.unwrap_or_else(|error| panic!("{error}")),
            system,
        }
    }

    /// A machine that is large enough for it, still without its boot module.
    #[must_use]
    pub fn options(&self, emulator: Emulator) -> Options {
        let hypervisor = build::output_directory().join(build::HYPERVISOR);
        Options {
            bound: BOUND,
            ..Options::for_system(&self.system, emulator.program(), hypervisor)
        }
    }

    /// Starts it on `emulator`.
    ///
    /// # Panics
    /// If the emulator does not start.
    #[must_use]
    pub fn start(&self, emulator: Emulator) -> Machine {
        start(self.options(emulator), &self.module)
    }
}

/// Builds what `system` needs, unless this process has done so: asking cargo takes longer
/// than some machines run, and much longer on a host where others build.
fn build_once(system: &System) -> xtask::error::Result<()> {
    static BUILT: Mutex<BTreeSet<Vec<String>>> = Mutex::new(BTreeSet::new());
    let mut files: Vec<String> = system.files().map(String::from).collect();
    files.sort();
    files.dedup();
    // A test that failed while it built leaves the set as it was.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if !built.contains(&files) {
        build::build_for(system)?;
        built.insert(files);
    }
    Ok(())
}

/// Starts a machine with `module` as its boot module.
///
/// # Panics
/// If the emulator does not start.
#[must_use]
pub fn start(options: Options, module: &[u8]) -> Machine {
    let file = TemporaryFile::new(module);
    let options = Options {
        module: Some(file.path.clone()),
        ..options
    };
    Machine::start(&options).unwrap_or_else(|error| panic!("{error}"))
}

/// The machine's directory, once the hypervisor has announced it.
///
/// # Panics
/// If it does not.
#[must_use]
pub fn directory(machine: &mut Machine) -> Directory {
    let line = machine
        .wait_for("directory at 0x")
        .unwrap_or_else(|error| panic!("{error}"));
    let address = Directory::address(&line).unwrap_or_else(|| panic!("no address in '{line}'"));
    Directory::read(&machine.memory, address).unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until a guest has ended the machine's run, and returns its status.
///
/// # Panics
/// If none does before the machine's time is up.
pub fn status(machine: &mut Machine) -> u64 {
    let line = machine
        .wait_for("shut down with status ")
        .unwrap_or_else(|error| panic!("{error}"));
    let number = line.rsplit(' ').next().and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("no status in '{line}'"))
}

/// Where the image called `binary` has the one function whose symbol `is` the wanted one.
///
/// # Panics
/// If it has none.
#[must_use]
pub fn symbol(binary: &str, is: impl Fn(&str) -> bool) -> Range<u64> {
    let path = build::output_directory().join(binary);
    let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let elf = ElfBytes::<LittleEndian>::minimal_parse(&file);
    let table = elf.and_then(|elf| elf.symbol_table());
    let Ok(Some((symbols, names))) = table else {
        panic!("{binary} has no symbols");
    };
    let found = symbols
        .iter()
        .find(|symbol| names.get(symbol.st_name as usize).is_ok_and(&is));
    let found = found.unwrap_or_else(|| panic!("{binary} has no such symbol"));
    found.st_value..found.st_value + found.st_size
}

/// A file that is removed in the end.
#[derive(Debug)]
struct TemporaryFile {
    path: PathBuf,
}

impl TemporaryFile {
    fn new(contents: &[u8]) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tern-module-{}-{number}", std::process::id());
        let path = Path::new(&std::env::temp_dir()).join(name);
        std::fs::write(&path, contents)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path }
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // The emulator has read it; a leftover does no harm.
        let _ = std::fs::remove_file(&self.path);
    }
}
