//! What is missing is installed by one process at a time.
use crate::error::{Context, Error, Result};
use crate::workspace;
use std::fs::File;
use std::path::PathBuf;

/// What `find` finds, after `install` if that was nothing before. One caller of all processes
/// installs at a time, as package managers refuse a second; who waited for another finds what
/// that one installed.
///
/// # Errors
/// Those of `install`, and if nothing is found after it.
pub fn find_or_install(
    what: &str,
    find: impl Fn() -> Option<PathBuf>,
    install: impl FnOnce() -> Result<()>,
) -> Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let folder = workspace::target();
    let lock = folder.join("setup.lock");
    std::fs::create_dir_all(&folder).context(|| folder.display().to_string())?;
    let lock_file = File::create(&lock).context(|| lock.display().to_string())?;
    lock_file.lock().context(|| lock.display().to_string())?;
    if let Some(found) = find() {
        return Ok(found);
    }
    install()?;
    find().ok_or_else(|| {
        let line = "its packages are installed, but it is not where they put it";
        Error::failure(format!("{what}: {line}"))
    })
}
