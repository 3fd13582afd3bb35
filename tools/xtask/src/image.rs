//! How a system description becomes the boot module: the description, the kernel
//! and the programs that it names; and which descriptions may.
use crate::build;
use crate::error::{Context, Error, Result};
use std::collections::BTreeSet;
use std::path::Path;
use tern_check::{check, check_and_advise, cost_table, give_room};
use tern_config::description::Costs;
use tern_config::{Description, ImageBuilder, Problems, System};
use tern_trace::write_whole;
use trace_viewer::print::CheckText;

/// The boot module of `system`, with the kernels and programs that it names as
/// [`build::build`] has left them. Servers that have no room for replenishments yet get what their
/// threads need, costs not counted.
///
/// # Errors
/// If the description names a program that no package makes, or one is not built.
pub fn assemble(system: &System) -> Result<Vec<u8>> {
    let mut system = system.clone();
    give_room(&mut system, &cost_table(&Costs::default()));
    let names: BTreeSet<&str> = system.files().collect();
    let mut builder = ImageBuilder::new(&system);
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
    read(file).map(|description| description.system)
}

/// The same, if the analysis finds the system schedulable on its platform: whatever is
/// built or booted on a user's word goes through here. With `force` it may be any; that
/// its deadlines need not hold is then said on standard error.
///
/// # Errors
/// As [`describe`], if its cost table cannot be read; a failure with the whole report if
/// it is not schedulable.
pub fn admit(file: &Path, force: bool) -> Result<System> {
    let description = read(file)?;
    let costs = cost_table(&description.costs().map_err(wrong)?);
    let mut system = description.system;
    give_room(&mut system, &costs);
    if check(&system, &costs).schedulable() {
        return Ok(system);
    }
    if force {
        eprintln!(
            "{}: warning: not schedulable (tern check tells why): its deadlines need not hold",
            file.display()
        );
        return Ok(system);
    }
    let report = check_and_advise(&system, &costs);
    Err(Error::failure(format!(
        "{} is not schedulable\n\n{}\nto build and run it all the same: --force",
        file.display(),
        CheckText(&report)
    )))
}

fn read(file: &Path) -> Result<Description> {
    let description = Description::read(file).map_err(wrong)?;
    description.validate_bootable().map_err(wrong)?;
    for warning in &description.warnings {
        let (line, key, reason) = (warning.line, &warning.key, &warning.reason);
        eprintln!("{}:{line}: warning: {key}: {reason}", file.display());
    }
    Ok(description)
}

fn wrong(problems: Problems) -> Error {
    Error::input(problems.to_string())
}

/// Assembles the boot module of `system` and writes it to `output`.
///
/// # Errors
/// As [`assemble`], or if the file cannot be written.
pub fn write(system: &System, output: &Path) -> Result<()> {
    let bytes = assemble(system)?;
    let doing = || format!("writing {}", output.display());
    // Another run may be reading the last one.
    write_whole(output, &bytes).context(doing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    /// A file of `text` among the build's own.
    fn file(name: &str, text: &str) -> std::path::PathBuf {
        let folder = workspace::target().join("test-descriptions");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{name}-{}.toml", std::process::id()));
        std::fs::write(&file, text).unwrap();
        file
    }

    fn load(wcet: &str) -> String {
        format!(
            r#"
            [system]
            name = "load"
            [[sandbox]]
            name = "s0"
            core = 0
            memory = "16MiB"
              [[sandbox.server]]
              name = "a"
              budget = "2ms"
              period = "10ms"
                [[sandbox.server.thread]]
                name = "t"
                wcet = "{wcet}"
                period = "10ms"
                program = "load"
            "#
        )
    }

    #[test]
    fn a_schedulable_system_is_admitted() {
        let system = admit(&file("good", &load("2ms")), false).unwrap();
        assert_eq!(system.name, "load");
    }

    #[test]
    fn an_unschedulable_one_is_refused_with_its_report_unless_forced() {
        let file = file("late", &load("3ms"));
        let error = admit(&file, false).unwrap_err();
        assert_eq!(error.code(), 1);
        let message = error.to_string();
        for part in ["NOT SCHEDULABLE", "smallest change", "--force"] {
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(admit(&file, true).unwrap().name, "load");
    }

    #[test]
    fn force_does_not_admit_what_is_no_description() {
        let file = file("wrong", &load("3 apples"));
        assert_eq!(admit(&file, true).unwrap_err().code(), 65);
        let missing = Path::new("/nowhere/system.toml");
        assert_eq!(admit(missing, true).unwrap_err().code(), 65);
    }
}
