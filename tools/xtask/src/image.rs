//! How a system description becomes the boot module: the description, the kernel
//! and the programs that it names; and which descriptions may.
use crate::emulator::bochs::Model;
use crate::error::{Context, Error, Result};
use crate::plant::secret;
use crate::{build, workspace};
use std::collections::BTreeSet;
use std::path::Path;
use tern_check::{check, check_and_advise, cost_table, give_room};
use tern_config::description::{Costs, NO_PLATFORM};
use tern_config::{Description, ImageBuilder, Problems, System};
use tern_plant::tag::Key;
use tern_replication::keys_of;
use tern_trace::{Promises, write_whole};
use trace_viewer::print::CheckText;

/// The boot module of `system`, with the kernels and programs that it names as
/// [`build::build`] has left them. Servers that have no room for replenishments yet get what their
/// threads need, costs not counted.
///
/// # Errors
/// If the description names a program that no package makes, or one is not built.
pub fn assemble(system: &System) -> Result<Vec<u8>> {
    assemble_with(system, &secret::fresh()?)
}

/// The boot module of `system`, as [`assemble`] makes it, with keys made of `secret`: for whoever
/// has the far end of a device.
///
/// # Errors
/// As [`assemble`].
pub fn assemble_with(system: &System, secret: &Key) -> Result<Vec<u8>> {
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
    for sandbox in 0..system.sandboxes.len() {
        keys_of(&system, sandbox, secret, &mut |entry| {
            builder.private(sandbox, &entry.to_words());
        });
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

/// The same, if the analysis finds the system schedulable with the costs of the `platform` that
/// it is built for, or else of the one that it names: whatever is built or booted on a user's
/// word goes through here. With `force` it may be any; that its deadlines need not hold is then
/// said on standard error, and so is it where no costs were counted.
///
/// # Errors
/// As [`describe`], if there is no such cost table, or it cannot be read; a failure with the
/// whole report if the system is not schedulable.
pub fn admit(file: &Path, platform: Option<&str>, force: bool) -> Result<System> {
    admit_described(read(file)?, file, platform, force)
}

/// Admits a description that has been read from `file`, as [`admit`] does.
///
/// # Errors
/// As [`admit`].
pub fn admit_described(
    description: Description,
    file: &Path,
    platform: Option<&str>,
    force: bool,
) -> Result<System> {
    let costs = match platform {
        Some(platform) => costs_on(&description, platform)?,
        None => description.costs().map_err(wrong)?,
    };
    let costs = cost_table(&costs);
    let mut system = description.system;
    if let Some(platform) = platform {
        system.platform = platform.into();
    }
    if system.platform == NO_PLATFORM {
        eprintln!(
            "{}: costs not counted, as no platform is named: jobs may take longer than checked",
            file.display()
        );
    }
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

/// The costs of a platform, whose table is beside the description or above, or one of the
/// workspace's own.
fn costs_on(description: &Description, platform: &str) -> Result<Costs> {
    if let Some(costs) = description.costs_on(platform).map_err(wrong)? {
        return Ok(costs);
    }
    let own = Costs::of_folder(&workspace::root(), platform).map_err(wrong)?;
    own.ok_or_else(|| Error::input(no_table(platform)))
}

fn no_table(platform: &str) -> String {
    format!(
        "there is no cost table platforms/{platform}.toml: measure one by cargo xtask calibrate, \
         or name another machine"
    )
}

/// What the analysis promises of `system` on a machine, for its trace to carry: with the
/// machine's own costs where it has a table of them. QEMU has none: its bounds are said to be
/// without costs.
///
/// # Errors
/// If the machine's cost table cannot be read.
pub fn promises(system: &System, bochs: Option<Model>) -> Result<Promises> {
    let platform = bochs.map(Model::platform);
    let costs = match platform {
        None => Costs::default(),
        Some(platform) => {
            let own = Costs::of_folder(&workspace::root(), platform).map_err(wrong)?;
            own.ok_or_else(|| Error::input(no_table(platform)))?
        }
    };
    let platform = platform.unwrap_or(NO_PLATFORM);
    Ok(tern_check::promises(system, platform, &cost_table(&costs)))
}

/// Reads the description in `file`, which must be one that can boot; warnings go to standard
/// error.
///
/// # Errors
/// Everything that is wrong with it, each with file, line, key and reason.
pub fn read(file: &Path) -> Result<Description> {
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
    write_with(system, &secret::beside(output)?, output)
}

/// Writes the boot module of `system` as [`assemble_with`] makes it.
///
/// # Errors
/// As [`write`].
pub fn write_with(system: &System, secret: &Key, output: &Path) -> Result<()> {
    let bytes = assemble_with(system, secret)?;
    let doing = || format!("writing {}", output.display());
    // Another run may be reading the last one.
    write_whole(output, &bytes).context(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let system = admit(&file("good", &load("2ms")), None, false).unwrap();
        assert_eq!(system.name, "load");
    }

    #[test]
    fn an_unschedulable_one_is_refused_with_its_report_unless_forced() {
        let file = file("late", &load("3ms"));
        let error = admit(&file, None, false).unwrap_err();
        assert_eq!(error.code(), 1);
        let message = error.to_string();
        for part in ["NOT SCHEDULABLE", "smallest change", "--force"] {
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(admit(&file, None, true).unwrap().name, "load");
    }

    #[test]
    fn a_machine_with_costs_refuses_what_only_costs_keep_from_its_deadlines() {
        let tight = load("2ms").replace("budget = \"2ms\"", "budget = \"2.01ms\"");
        let file = file("tight", &tight);
        assert_eq!(admit(&file, None, false).unwrap().platform, "none");
        for machine in ["bochs-intel", "bochs-amd"] {
            let error = admit(&file, Some(machine), false).unwrap_err();
            let message = error.to_string();
            assert_eq!(error.code(), 1, "{message}");
            assert!(
                message.contains(&format!("(platform {machine})")),
                "{message}"
            );
            let admitted = admit(&file, Some(machine), true).unwrap();
            assert_eq!(admitted.platform, machine);
        }
        let unknown = admit(&file, Some("abacus"), true).unwrap_err();
        assert_eq!(unknown.code(), 65);
        assert!(
            unknown.to_string().contains("platforms/abacus.toml"),
            "{unknown}"
        );
    }

    #[test]
    fn what_no_machine_delivers_is_refused_before_it_is_checked() {
        let tiny = load("1us").replace("2ms", "1us").replace("10ms", "10us");
        let error = admit(&file("tiny", &tiny), None, true).unwrap_err();
        assert_eq!(error.code(), 65);
        assert!(error.to_string().contains("at least 20us"), "{error}");
    }

    #[test]
    fn force_does_not_admit_what_is_no_description() {
        let file = file("wrong", &load("3 apples"));
        assert_eq!(admit(&file, None, true).unwrap_err().code(), 65);
        let missing = Path::new("/nowhere/system.toml");
        assert_eq!(admit(missing, None, true).unwrap_err().code(), 65);
    }
}
