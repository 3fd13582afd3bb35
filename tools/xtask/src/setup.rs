//! What a machine needs besides Rust, and how its package manager installs it.
use crate::build::run;
use crate::emulator::bochs;
use crate::error::{Error, Result};
use crate::install_lock::find_or_install;
use crate::qemu10;
use crate::workspace::{find_program, is_program};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A package manager: how to install packages without questions, and what the
/// emulators' packages are called.
struct Manager {
    program: &'static str,
    refresh: Option<&'static [&'static str]>,
    install: &'static [&'static str],
    qemu: &'static [&'static str],
    /// None where it is not built with debugger, several processors, VT-x and AMD-V.
    bochs: &'static [&'static str],
    /// GRUB for BIOS and UEFI, and what it makes discs with.
    disc: &'static [&'static str],
    /// UEFI for the emulator.
    uefi: &'static [&'static str],
    /// Slurm's daemons and commands. None where nobody has tried it.
    slurm: &'static [&'static str],
}

const MANAGERS: [Manager; 3] = [
    Manager {
        program: "apt-get",
        refresh: Some(&["update", "--quiet"]),
        install: &["install", "--yes", "--quiet", "--no-install-recommends"],
        qemu: &["qemu-system-x86"],
        bochs: &["bochs", "bochs-term"],
        disc: &[
            "grub-common",
            "grub-pc-bin",
            "grub-efi-amd64-bin",
            "xorriso",
            "mtools",
        ],
        uefi: &["ovmf"],
        slurm: &["slurmctld", "slurmd", "slurm-client", "munge"],
    },
    Manager {
        program: "dnf",
        refresh: None,
        install: &["install", "--assumeyes", "--quiet"],
        qemu: &["qemu-system-x86-core"],
        bochs: &[],
        disc: &[],
        uefi: &["edk2-ovmf"],
        slurm: &[],
    },
    Manager {
        program: "pacman",
        refresh: None,
        install: &["--sync", "--refresh", "--needed", "--noconfirm"],
        qemu: &["qemu-system-x86"],
        bochs: &[],
        disc: &["grub", "libisoburn", "mtools"],
        uefi: &["edk2-ovmf"],
        slurm: &[],
    },
];

/// The emulator's program.
pub const EMULATOR: &str = "qemu-system-x86_64";

/// The emulator to use: the one `choice` names (`10` for the private QEMU 10), else the
/// one in `TERN_QEMU`, else the machine's own, installed if it is missing.
///
/// # Errors
/// If what is named is no program, or nothing can be installed.
pub fn emulator(choice: Option<&str>) -> Result<PathBuf> {
    let variable = std::env::var("TERN_QEMU")
        .ok()
        .filter(|path| !path.is_empty());
    match choice.map(str::to_string).or(variable) {
        None => ensure_emulator(),
        Some(version) if version == "10" => qemu10::ensure(),
        Some(path) if is_program(Path::new(&path)) => Ok(path.into()),
        Some(path) => find_program(&path).ok_or_else(|| {
            Error::input(format!(
                "{path} is no program: name an emulator by --qemu PATH"
            ))
        }),
    }
}

/// Installs the emulator if it is missing, and returns where it is.
///
/// # Errors
/// If the package manager is unknown, may not be used without a password (the message
/// then holds the command to type), or fails.
pub fn ensure_emulator() -> Result<PathBuf> {
    ensure(EMULATOR, |manager| manager.qemu)
}

/// Installs Bochs if it is missing, and returns where it is. Only Debian and its
/// derivatives have it built as it is needed: with its debugger and both vendors'
/// virtualization.
///
/// # Errors
/// As [`ensure_emulator`].
pub fn ensure_bochs() -> Result<PathBuf> {
    ensure(bochs::EMULATOR, |manager| manager.bochs)
}

/// Installs all that is missing of what the tests need, and prints where each is.
///
/// # Errors
/// The first of what cannot be installed; the rest is tried all the same.
pub fn ensure_everything() -> Result<()> {
    type Ensure = fn() -> Result<PathBuf>;
    let all: [(&str, Ensure); 5] = [
        ("QEMU", ensure_emulator),
        ("QEMU 10", qemu10::ensure),
        ("Bochs", ensure_bochs),
        ("GRUB", ensure_disc_tools),
        ("UEFI firmware", ensure_uefi),
    ];
    let mut result = Ok(());
    for (what, ensure) in all {
        match ensure() {
            Ok(place) => println!("{what:14} {}", place.display()),
            Err(error) => {
                println!("{what:14} {error}");
                result = result.and(Err(error));
            }
        }
    }
    result
}

/// Installs the emulator's UEFI firmware if it is missing, and returns its file.
///
/// # Errors
/// As [`ensure_emulator`].
pub fn ensure_uefi() -> Result<PathBuf> {
    let places = [
        "/usr/share/ovmf/OVMF.fd",
        "/usr/share/edk2/ovmf/OVMF.fd",
        "/usr/share/edk2/x64/OVMF.4m.fd",
    ];
    let find = || {
        let places = places.into_iter().map(PathBuf::from);
        places.into_iter().find(|file| file.is_file())
    };
    let what = "the emulator's UEFI firmware";
    find_or_install(what, find, || {
        install_packages(what, |manager| manager.uefi)
    })
}

/// Installs what discs are made with if any of it is missing, and returns the program
/// that makes them.
///
/// # Errors
/// As [`ensure_emulator`].
pub fn ensure_disc_tools() -> Result<PathBuf> {
    let modules = ["/usr/lib/grub/i386-pc", "/usr/lib/grub/x86_64-efi"];
    let program = "grub-mkrescue";
    let find = || {
        let modules = modules.iter().all(|folder| Path::new(folder).is_dir());
        let helpers = ["xorriso", "mformat"];
        let helpers = helpers.iter().all(|name| find_program(name).is_some());
        find_program(program).filter(|_| modules && helpers)
    };
    find_or_install(program, find, || {
        install_packages(program, |manager| manager.disc)
    })
}

/// Installs Slurm if any of it is missing, and returns the daemon that controls it. Not among what
/// the tests need: one that is not part of `cargo xtask test` does.
///
/// # Errors
/// As [`ensure_emulator`].
pub fn ensure_slurm() -> Result<PathBuf> {
    let programs = ["munged", "slurmd", "sbatch", "slurmctld"];
    let find = || {
        let found = programs.map(find_daemon);
        found.into_iter().collect::<Option<Vec<_>>>()?.pop()
    };
    let what = "Slurm";
    find_or_install(what, find, || {
        install_packages(what, |manager| manager.slurm)
    })
}

/// Finds the program `name` on the path or where daemons are, which not everybody has on it.
#[must_use]
pub fn find_daemon(name: &str) -> Option<PathBuf> {
    let daemon = Path::new("/usr/sbin").join(name);
    find_program(name).or_else(|| is_program(&daemon).then_some(daemon))
}

fn ensure(
    program: &str,
    packages: impl Fn(&Manager) -> &'static [&'static str],
) -> Result<PathBuf> {
    let find = || find_program(program);
    find_or_install(program, find, || install_packages(program, packages))
}

/// Installs packages by the first package manager there is that has them; messages call
/// them `what`.
fn install_packages(
    what: &str,
    packages: impl Fn(&Manager) -> &'static [&'static str],
) -> Result<()> {
    let Some(manager) = MANAGERS
        .iter()
        .find(|manager| !packages(manager).is_empty() && find_program(manager.program).is_some())
    else {
        let managers = MANAGERS
            .iter()
            .filter(|manager| !packages(manager).is_empty());
        let names: Vec<_> = managers.map(|manager| manager.program).collect();
        return Err(Error::input(format!(
            "{what} is missing, and there is no {} to install it: install it by hand",
            names.join(" or ")
        )));
    };
    install(manager, what, packages(manager))
}

fn install(manager: &Manager, program: &str, packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    let line = format!("{} {} {names}", manager.program, manager.install.join(" "));
    let Some(elevation) = elevation() else {
        return Err(Error::input(format!(
            "{program} is missing; install it with: sudo {line}"
        )));
    };
    eprintln!("installing {names} ({line})");
    let privileged = |arguments: &[&str]| {
        let mut words = elevation.to_vec();
        words.push(manager.program);
        words.extend(arguments);
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null());
        run(&mut command)
    };
    if let Some(refresh) = manager.refresh {
        privileged(refresh)?;
    }
    let mut arguments = manager.install.to_vec();
    arguments.extend(packages);
    privileged(&arguments)
}

/// What to put before a command so that it runs as root without a question.
fn elevation() -> Option<&'static [&'static str]> {
    // SAFETY: geteuid has no preconditions and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        return Some(&[]);
    }
    let answers = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if answers { Some(&["sudo", "-n"]) } else { None }
}
