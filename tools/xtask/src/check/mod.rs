//! What `cargo xtask check` executes, in order, with progress.
mod unused;

use crate::build::{self, freestanding_cargo, run};
use crate::error::Result;
use crate::workspace;
use std::process::Command;
use std::time::Instant;

/// Checks that dependencies are used, and formatting and lints of everything, host and
/// freestanding.
///
/// # Errors
/// If something is not as it should be (cargo has then said what).
pub fn check() -> Result<()> {
    unused::check()?;
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

/// Runs one command of several.
///
/// # Errors
/// If it fails (it has then said why).
pub(crate) fn step(name: &str, command: &mut Command) -> Result<()> {
    println!("\n== {name}");
    let start = Instant::now();
    run(command)?;
    println!("== {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
