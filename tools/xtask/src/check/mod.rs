//! What `cargo xtask check` executes, in order, with progress.
mod imports;
mod layers;
mod manifest;
mod members;
mod unused;

use crate::build::{self, freestanding_cargo, run};
use crate::error::{Context, Error, Result};
use crate::workspace;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Checks that arrows point down and dependencies are used, and formatting and lints of
/// everything, host and freestanding.
///
/// # Errors
/// If something is not as it should be, with what that is, unless cargo has said so.
pub fn check() -> Result<()> {
    println!("\n== layers");

    layers(&workspace::root())?;

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

/// Checks that arrows point down, between the crates of the workspace at `root` and inside
/// each of them.
fn layers(root: &Path) -> Result<()> {
    let members = members::read(root)?;
    let mut wrong = members::upward(&members);
    let mut circles = Vec::new();
    for member in &members {
        let source = root.join(&member.folder).join("src");
        let files = read_sources(&source)?;
        circles.extend(layers::circles(&format!("{}/src", member.folder), &files));
    }
    wrong.extend(layers::compare(&circles, layers::KNOWN));
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Error::failure(format!(
            "arrows between crates and between files have to point down:\n  {}",
            wrong.join("\n  ")
        ))),
    }
}

/// Reads the Rust files below `folder`, each with its path from there.
fn read_sources(folder: &Path) -> Result<Vec<layers::Source>> {
    let mut sources = Vec::new();
    let mut folders = vec![(folder.to_path_buf(), String::new())];
    while let Some((folder, below)) = folders.pop() {
        let doing = || format!("reading {}", folder.display());
        for entry in std::fs::read_dir(&folder).context(doing)? {
            let path = entry.context(doing)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                folders.push((path.clone(), format!("{below}{name}/")));
            } else if name.ends_with(".rs") {
                sources.push(layers::Source {
                    path: format!("{below}{name}"),
                    text: std::fs::read_to_string(&path).context(doing)?,
                });
            }
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(sources)
}
