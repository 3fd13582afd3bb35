//! How the freestanding images are compiled and linked: the one place with their
//! target, profile and flags.
use crate::error::{Context, Error, Result};
use crate::workspace::{self, Package};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use tern_config::System;

/// The triple of the freestanding images. It is the host's, so a plain Rust
/// installation has its precompiled `core`, hard-float with SSE.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The cargo profile of the freestanding images.
pub const PROFILE: &str = "freestanding";
/// The package of the hypervisor and the name of its binary.
pub const HYPERVISOR: &str = "tern-hypervisor";
/// The package of the sandbox kernel and the name of its binary.
pub const KERNEL: &str = "tern-kernel";
/// The package of the reset-vector ROM for Bochs and the name of its binary.
pub const ROM: &str = "tern-rom";

/// Code generation and linking without an operating system; `-T` comes from each
/// package's build script. AES-NI is compiled in because page hashing requires it.
const FLAGS: &[&str] = &[
    "linker-flavor=ld.lld",
    "link-arg=-nostdlib",
    "link-arg=--no-dynamic-linker",
    "link-self-contained=no",
    "relocation-model=static",
    "code-model=kernel",
    "no-redzone=yes",
    "target-feature=+crt-static,+aes,+sse3,+ssse3,+sse4.1,+sse4.2",
    "default-linker-libraries=no",
    "panic=abort",
];

/// The directory of the finished images.
#[must_use]
pub fn output_directory() -> PathBuf {
    target_directory().join(TARGET).join(PROFILE)
}

fn target_directory() -> PathBuf {
    workspace::target().join("freestanding")
}

/// Builds the freestanding packages: those named, or all if none is.
///
/// # Errors
/// If a name is not that of a freestanding package, or a build fails (cargo has then
/// said why).
pub fn build(names: &[String], quiet: bool) -> Result<()> {
    let available = freestanding_packages()?;
    for name in names {
        if !available.iter().any(|package| package.name == *name) {
            let known: Vec<_> = available
                .iter()
                .map(|package| package.name.as_str())
                .collect();
            return Err(Error::usage(format!(
                "no freestanding package is named '{name}'; there are {}",
                known.join(", ")
            )));
        }
    }
    let chosen = available
        .iter()
        .filter(|package| names.is_empty() || names.contains(&package.name));
    let mut command = freestanding_cargo("build")?;
    command.arg("--bins");
    if quiet {
        command.arg("--quiet");
    }
    for package in chosen {
        command.args(["--package", &package.name]);
    }
    run(&mut command)
}

/// Builds a freestanding package with one of its features, in a directory that no other
/// build uses, and returns that directory: a build without the feature never sees it.
///
/// # Errors
/// If the build fails (cargo has then said why).
pub fn build_variant(package: &str, feature: &str) -> Result<PathBuf> {
    let folder = workspace::target().join("variants").join(feature);
    let mut command = freestanding_cargo_in("build", &folder)?;
    command.args(["--quiet", "--bins", "--package", package]);
    command.args(["--features", feature]);
    run(&mut command)?;
    Ok(folder.join(TARGET).join(PROFILE))
}

/// Builds the hypervisor, the ROM that starts it in Bochs, and the packages that make the
/// files `system` names.
///
/// # Errors
/// If it names a file that no package makes, or a build fails.
pub fn build_for(system: &System) -> Result<()> {
    let available = freestanding_packages()?;
    let mut names = BTreeSet::from([HYPERVISOR.to_string(), ROM.to_string()]);
    for file in system.files() {
        let makes = |package: &&Package| package.binaries.iter().any(|binary| binary == file);
        let package = available
            .iter()
            .find(makes)
            .ok_or_else(|| unknown(&available, file))?;
        names.insert(package.name.clone());
    }
    build(&Vec::from_iter(names), true)
}

/// A cargo command for the freestanding packages, with their target, profile and flags.
///
/// # Errors
/// If the toolchain has no rust-lld.
pub fn freestanding_cargo(subcommand: &str) -> Result<Command> {
    freestanding_cargo_in(subcommand, &target_directory())
}

fn freestanding_cargo_in(subcommand: &str, target: &Path) -> Result<Command> {
    let mut flags = OsString::from("-Clinker=");
    flags.push(linker()?);
    for flag in FLAGS {
        flags.push("\x1f-C");
        flags.push(flag);
    }
    let mut command = workspace::cargo();
    command
        .arg(subcommand)
        .args(["--profile", PROFILE, "--target", TARGET, "--target-dir"])
        .arg(target)
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", flags);
    Ok(command)
}

/// The packages that only exist for the machine: hypervisor, kernel, ROM, and those in
/// `systems/` and `tests/systems/`.
///
/// # Errors
/// If cargo cannot list the packages.
pub fn freestanding_packages() -> Result<Vec<Package>> {
    let systems = ["systems", "tests/systems"].map(|it| workspace::root().join(it));
    let mut packages = workspace::packages()?;
    packages.retain(|package| {
        [HYPERVISOR, KERNEL, ROM].contains(&package.name.as_str())
            || systems.iter().any(|it| package.folder.starts_with(it))
    });
    Ok(packages)
}

/// The finished image of the binary `name`.
///
/// # Errors
/// If no freestanding package has such a binary.
pub fn binary(name: &str) -> Result<PathBuf> {
    let packages = freestanding_packages()?;
    let mut names = packages.iter().flat_map(|package| &package.binaries);
    if names.any(|binary| binary == name) {
        return Ok(output_directory().join(name));
    }
    Err(unknown(&packages, name))
}

fn unknown(packages: &[Package], name: &str) -> Error {
    let names = packages
        .iter()
        .flat_map(|package| &package.binaries)
        .map(String::as_str);
    let known = Vec::from_iter(BTreeSet::from_iter(names)).join(", ");
    Error::input(format!(
        "no program is named '{name}': there are {known}; a new one's package has to be among the \
         members in Cargo.toml"
    ))
}

/// Runs a command that reports its own errors.
///
/// # Errors
/// If it cannot be started or ends with another status than 0.
pub fn run(command: &mut Command) -> Result<()> {
    let name = Path::new(command.get_program()).display().to_string();
    let status = command.status().context(|| format!("starting {name}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::failure(format!("{name}: {status}")))
    }
}

fn linker() -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc)
        .args(["--print", "sysroot"])
        .output()
        .context(|| format!("starting {}", rustc.display()))?;
    let sysroot = String::from_utf8_lossy(&output.stdout);
    let linker = Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(TARGET)
        .join("bin/rust-lld");
    if linker.is_file() {
        Ok(linker)
    } else {
        Err(Error::input(format!(
            "no linker at {}: Tern needs a Rust toolchain for {TARGET} (rustup toolchain install stable)",
            linker.display()
        )))
    }
}
