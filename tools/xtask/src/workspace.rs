//! Where things are: the repository, its packages, and programs on the path.
use crate::error::{Context, Error, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest.ancestors().nth(2);
    root.unwrap_or(manifest).to_path_buf()
}

/// The directory for everything that is built or downloaded: cargo's target directory.
#[must_use]
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => root().join(directory),
        None => root().join("target"),
    }
}

/// The cargo that runs this program, or the one on the path.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// A package with binaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The names of its binaries.
    pub binaries: Vec<String>,
    /// Whether it has a library with tests of its own.
    pub tested_library: bool,
}

/// The packages of the workspace.
///
/// # Errors
/// If cargo fails, with what it said.
pub fn packages() -> Result<Vec<Package>> {
    Ok(list(&metadata()?, "packages")
        .iter()
        .filter_map(package)
        .collect())
}

/// The names of the packages that a plain `cargo build` builds.
///
/// # Errors
/// If cargo fails, with what it said.
pub fn default_members() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let members = list(&metadata, "workspace_default_members");
    let is_member = |package: &&Value| members.contains(&package["id"]);
    let packages = list(&metadata, "packages").iter().filter(is_member);
    Ok(packages
        .filter_map(|package| Some(package["name"].as_str()?.to_string()))
        .collect())
}

fn metadata() -> Result<Value> {
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context(|| "starting cargo metadata".into())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::failure(format!("cargo metadata: {}", said.trim())));
    }
    serde_json::from_slice(&output.stdout).context(|| "reading cargo metadata".into())
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn package(value: &Value) -> Option<Package> {
    let is = |target: &&Value, kind: &str| list(target, "kind").iter().any(|name| name == kind);
    let targets = list(value, "targets");
    Some(Package {
        name: value["name"].as_str()?.to_string(),
        folder: Path::new(value["manifest_path"].as_str()?)
            .parent()?
            .to_path_buf(),
        binaries: targets
            .iter()
            .filter(|target| is(target, "bin"))
            .filter_map(|target| Some(target["name"].as_str()?.to_string()))
            .collect(),
        tested_library: targets
            .iter()
            .any(|target| is(&target, "lib") && target["test"] == Value::Bool(true)),
    })
}

/// Finds the program `name` on the path.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| is_program(file))
}

/// Returns whether `file` is one that this user may execute.
#[must_use]
pub fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
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
