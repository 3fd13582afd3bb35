//! What `cargo xtask test` executes, in order, with progress.
use crate::build;
use crate::check::step;
use crate::error::Result;
use crate::{setup, workspace};

/// The package whose tests boot.
const BOOTING: &str = "tern-tests";
/// Tests that boot at the same time: each has a machine on a thread of the host.
const MACHINES: &str = "--test-threads=2";

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
