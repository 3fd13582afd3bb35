//! What `cargo xtask check` and `cargo xtask test` execute, in order, with progress.
use crate::build::{self, freestanding_cargo, run};
use crate::error::Result;
use crate::{setup, workspace};
use std::process::Command;
use std::time::Instant;

/// The package whose tests boot.
const BOOTING: &str = "tern-tests";
/// Tests that boot at the same time: each has a machine on a thread of the host.
const MACHINES: &str = "--test-threads=2";

/// Formatting and lints of everything, host and freestanding.
///
/// # Errors
/// If something is not as it should be (cargo has then said what).
pub fn check() -> Result<()> {
    step(
        "format",
        workspace::cargo().args(["fmt", "--all", "--check"]),
    )?;
    let lint = |command: &mut Command| step("lint", command.args(["--", "--deny", "warnings"]));
    lint(workspace::cargo().args(["clippy", "--release", "--all-targets"]))?;
    let mut freestanding = freestanding_cargo("clippy")?;
    for package in build::freestanding_packages()? {
        freestanding.args(["--package", &package.name]);
    }
    lint(&mut freestanding)
}

/// Every test: on the host, then in emulators.
///
/// # Errors
/// If a test fails (cargo has then said which).
pub fn test(arguments: &[String]) -> Result<()> {
    println!("\n== set-up");
    setup::ensure_everything()?;
    let mut host = workspace::cargo();
    host.args(["test", "--release"]);
    for package in workspace::default_members()? {
        if package != BOOTING {
            host.args(["--package", &package]);
        }
    }
    step("tests on the host", host.arg("--").args(arguments))?;
    let mut libraries = workspace::cargo();
    libraries.args(["test", "--release", "--lib"]);
    for package in build::freestanding_packages()? {
        if package.tested_library {
            libraries.args(["--package", &package.name]);
        }
    }
    step(
        "tests of the machine's libraries",
        libraries.arg("--").args(arguments),
    )?;
    println!("\n== build for the machine");
    build::build(&[], false)?;
    let mut booting = workspace::cargo();
    booting
        .args(["test", "--release", "--package", BOOTING, "--", MACHINES])
        .args(arguments);
    step("tests that boot", &mut booting)
}

fn step(name: &str, command: &mut Command) -> Result<()> {
    println!("\n== {name}");
    let start = Instant::now();
    run(command)?;
    println!("== {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
