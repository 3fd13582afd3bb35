//! How a system description becomes the boot module: the description, the kernel
//! and the programs that it names.
use crate::build;
use crate::error::{Context, Error, Result};
use std::collections::BTreeSet;
use std::path::Path;
use tern_config::{Description, ImageBuilder, Problems, System};

/// The boot module of `system`, with the kernels and programs that it names as
/// [`build::build`] has left them.
///
/// # Errors
/// If the description names a program that no package makes, or one is not built.
pub fn assemble(system: &System) -> Result<Vec<u8>> {
    let names: BTreeSet<&str> = system.files().collect();
    let mut builder = ImageBuilder::new(system);
    for name in names {
        let file = build::binary(name)?;
        let contents = std::fs::read(&file)
            .context(|| format!("reading {} (cargo xtask build makes it)", file.display()))?;
        builder.file(name, &contents);
    }
    builder
        .build()
        .map_err(|error| Error::input(error.to_string()))
}

/// The system that the description in `file` describes; warnings go to standard error.
///
/// # Errors
/// Everything that is wrong with it, each with file, line, key and reason.
pub fn describe(file: &Path) -> Result<System> {
    let wrong = |problems: Problems| Error::input(problems.to_string());
    let description = Description::read(file).map_err(wrong)?;
    description.validate_bootable().map_err(wrong)?;
    for warning in &description.warnings {
        let (line, key, reason) = (warning.line, &warning.key, &warning.reason);
        eprintln!("{}:{line}: warning: {key}: {reason}", file.display());
    }
    Ok(description.system)
}

/// Assembles the boot module of `system` and writes it to `output`.
///
/// # Errors
/// As [`assemble`], or if the file cannot be written.
pub fn write(system: &System, output: &Path) -> Result<()> {
    let bytes = assemble(system)?;
    let doing = || format!("writing {}", output.display());
    // Complete at once under its name: another run may be reading the last one.
    let mut unfinished = output.as_os_str().to_owned();
    unfinished.push(format!(".{}", std::process::id()));
    std::fs::write(&unfinished, bytes).context(doing)?;
    std::fs::rename(&unfinished, output).context(doing)
}
