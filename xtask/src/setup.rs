//! What a machine needs besides Rust, and how its package manager installs it.
use crate::build::run;
use crate::error::{Error, Result};
use crate::qemu10;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A package manager: how to install packages without questions, and what the
/// emulator's package is called.
struct Manager {
    program: &'static str,
    refresh: Option<&'static [&'static str]>,
    install: &'static [&'static str],
    emulator: &'static str,
}

const MANAGERS: [Manager; 3] = [
    Manager {
        program: "apt-get",
        refresh: Some(&["update", "--quiet"]),
        install: &["install", "--yes", "--quiet", "--no-install-recommends"],
        emulator: "qemu-system-x86",
    },
    Manager {
        program: "dnf",
        refresh: None,
        install: &["install", "--assumeyes", "--quiet"],
        emulator: "qemu-system-x86-core",
    },
    Manager {
        program: "pacman",
        refresh: None,
        install: &["--sync", "--refresh", "--needed", "--noconfirm"],
        emulator: "qemu-system-x86",
    },
];

/// The emulator's program.
pub const EMULATOR: &str = "qemu-system-x86_64";

/// The program `name` on the path.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

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
    if let Some(emulator) = find_program(EMULATOR) {
        return Ok(emulator);
    }
    let Some(manager) = MANAGERS
        .iter()
        .find(|manager| find_program(manager.program).is_some())
    else {
        return Err(Error::input(format!(
            "{EMULATOR} is missing, and of apt-get, dnf and pacman none is here: install QEMU for x86-64 by hand"
        )));
    };
    install(manager)?;
    find_program(EMULATOR).ok_or_else(|| {
        Error::failure(format!(
            "{} is installed, but {EMULATOR} is not on the path",
            manager.emulator
        ))
    })
}

fn install(manager: &Manager) -> Result<()> {
    let line = format!(
        "{} {} {}",
        manager.program,
        manager.install.join(" "),
        manager.emulator
    );
    let Some(elevation) = elevation() else {
        return Err(Error::input(format!(
            "{EMULATOR} is missing; install it with: sudo {line}"
        )));
    };
    eprintln!("installing {} ({line})", manager.emulator);
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
    arguments.push(manager.emulator);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_on_the_path_and_an_unknown_one_is_not() {
        assert!(find_program("sh").is_some());
        assert_eq!(find_program("no-such-program-as-this"), None);
    }
}
