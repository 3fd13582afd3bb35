//! The commands of `cargo xtask`.
use crate::error::{Error, Result};
use crate::{
    boot, build, calibrate, campaign, check, image, iso, record, run, search, setup, test, timing,
};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use tern_config::System;

/// The commands, with what the help says of each.
const COMMANDS: [(&str, &str); 12] = [
    (
        "setup",
        "setup                         install what is missing of what tests need: QEMU, QEMU 10,
                                Bochs, GRUB, UEFI firmware
",
    ),
    (
        "build",
        "build [PACKAGE...]            build hypervisor, kernel and programs\n",
    ),
    (
        "check",
        "check                         layers, formatting, lints, unused dependencies\n",
    ),
    (
        "test",
        "test [NAME...]                every test, on the host and in emulators; with names
                                those whose names contain one
",
    ),
    (
        "image",
        "image SYSTEM.toml -o FILE     build, and write the system's boot module
      --machine NAME            check it with the costs in platforms/NAME.toml
      --force                   even if the analysis finds the system not schedulable
",
    ),
    (
        "iso",
        "iso SYSTEM.toml -o FILE       build, and write a disc that boots the system on a PC
      --machine NAME            check it with the costs in platforms/NAME.toml
      --force                   even if the analysis finds the system not schedulable
",
    ),
    ("run", run::HELP),
    ("boot", boot::HELP),
    ("search", search::HELP),
    ("campaign", campaign::HELP),
    ("timing", timing::HELP),
    ("calibrate", calibrate::HELP),
];

/// Executes a command line, without the program's own name.
///
/// # Errors
/// With the exit code that fits: see [`Error::code`].
pub fn execute(arguments: &[String]) -> Result<ExitCode> {
    let Some((command, rest)) = arguments.split_first() else {
        return Err(Error::usage(format!("no command: {}", names())));
    };
    if ["help", "--help", "-h"].contains(&command.as_str()) {
        return help(rest.first().map(String::as_str));
    }
    if rest.iter().any(|word| word == "--help" || word == "-h") {
        return help(Some(command));
    }
    match command.as_str() {
        "setup" => nothing_more(command, rest).and_then(|()| setup::ensure_everything()),
        "image" => write_output(command, rest, image::write),
        "iso" => write_output(command, rest, iso::write),
        "build" => build::build(rest, false),
        "check" => nothing_more(command, rest).and_then(|()| check::check()),
        "test" => test::test(rest),
        "run" => return run_system(rest),
        "boot" => return boot::execute(rest),
        "search" => return search::execute(rest),
        "campaign" => return campaign::execute(rest),
        "timing" => return timing::execute(rest),
        "calibrate" => return calibrate::execute(rest),
        _ => Err(unknown(command)),
    }
    .map(|()| ExitCode::SUCCESS)
}

fn names() -> String {
    let names = COMMANDS.map(|(name, _)| name).join(", ");
    format!("there are {names}; `cargo xtask help` tells what they do")
}

fn unknown(command: &str) -> Error {
    Error::usage(format!("no command is named '{command}': {}", names()))
}

fn nothing_more(command: &str, rest: &[String]) -> Result<()> {
    match rest {
        [] => Ok(()),
        [word, ..] => Err(Error::usage(format!(
            "{command} takes nothing more, not '{word}'"
        ))),
    }
}

/// Prints what there is to say of one command, or of all.
fn help(command: Option<&str>) -> Result<ExitCode> {
    let mut text = String::new();
    for (_, help) in COMMANDS
        .iter()
        .filter(|(name, _)| command.is_none_or(|command| command == *name))
    {
        text += &format!("  {help}");
    }
    match (command, text.is_empty()) {
        (Some(command), true) => return Err(unknown(command)),
        (Some("run"), false) => text += &run::targets(),
        (Some(_), false) => {}
        (None, _) => text.insert_str(
            0,
            "cargo xtask COMMAND; with --help after it, of that command alone\n\n",
        ),
    }
    text += "\nends with 0 if all is well, 1 if not, 64 for wrong usage, 65 for wrong input\n";
    // Whoever closes the pipe has read enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// Builds the system that `arguments` name, and has `write` write what `command` makes of
/// it.
fn write_output(
    command: &str,
    arguments: &[String],
    write: impl FnOnce(&System, &Path) -> Result<()>,
) -> Result<()> {
    let usage = |but: &str| {
        let takes = "takes SYSTEM.toml -o FILE [--machine NAME] [--force]";
        Error::usage(format!("{command} {takes}{but}"))
    };
    let (mut system, mut output, mut platform, mut force) = (None, None, None, false);
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let place = match word {
            "--force" => {
                force = true;
                continue;
            }
            "-o" => &mut output,
            "--machine" => &mut platform,
            flag if flag.starts_with('-') => return Err(usage(&format!(", not '{flag}'"))),
            file if system.is_none() => {
                system = Some(file);
                continue;
            }
            file => return Err(usage(&format!(", not also '{file}'"))),
        };
        *place = Some(words.next().ok_or_else(|| usage(""))?);
    }
    let (Some(system), Some(output)) = (system, output) else {
        return Err(usage(""));
    };
    let system = image::admit(Path::new(system), platform, force)?;
    record::expect_writable(Path::new(output))?;
    build::build_for(&system)?;
    write(&system, Path::new(output))
}

/// The words of a command line but for `--seed N`.
fn without_seed(arguments: &[String]) -> Vec<&str> {
    let mut words = arguments.iter().map(String::as_str);
    let mut others = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "--seed" => drop(words.next()),
            _ => others.push(word),
        }
    }
    others
}

fn run_system(arguments: &[String]) -> Result<ExitCode> {
    let options = run::RunOptions::parse(arguments)?;
    let outcome = run::run(&options)?;
    println!("\n{}", outcome.verdict);
    println!(
        "trace: {0} (read it with: cargo run --release --bin tern -- summary {0})",
        run::shown(&outcome.trace_file)
    );
    if outcome.verdict.passed() {
        println!("passed");
        Ok(ExitCode::SUCCESS)
    } else {
        let seed = options.seed.to_string();
        let again = [without_seed(arguments), vec!["--seed", &seed]].concat();
        println!(
            "FAILED; the same again: cargo xtask run {}",
            again.join(" ")
        );
        Ok(ExitCode::FAILURE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(line: &str) -> u8 {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        execute(&words).map_or_else(|error| error.code(), |_| 0)
    }

    #[test]
    fn a_run_is_repeated_with_all_its_other_options() {
        let words = ["a.toml", "--seed", "7", "--fault", "heap"].map(String::from);
        assert_eq!(without_seed(&words), ["a.toml", "--fault", "heap"]);
    }

    #[test]
    fn every_command_has_help_that_begins_with_its_name() {
        for (name, help) in COMMANDS {
            assert!(help.starts_with(name) && help.ends_with('\n'), "{name}");
            assert_eq!(code(&format!("{name} --help")), 0);
        }
    }

    /// A job of 2 ms in 2.01 ms of every 10: enough without costs, and too little with them.
    #[test]
    fn nothing_is_built_or_booted_whose_deadlines_do_not_hold_on_its_machine() {
        let text = r#"
            [system]
            name = "tight"
            [[sandbox]]
            name = "s"
            core = 0
            memory = "16MiB"
            [[sandbox.server]]
            name = "a"
            budget = "2.01ms"
            period = "10ms"
            [[sandbox.server.thread]]
            name = "t"
            wcet = "2ms"
            period = "10ms"
            program = "load"
        "#;
        let file = |name: &str, text: &str| {
            let name = format!("tern-{name}-{}.toml", std::process::id());
            let file = std::env::temp_dir().join(name);
            std::fs::write(&file, text).unwrap();
            file.display().to_string()
        };
        let tight = file("tight", text);
        // Where no machine is named, by the platform of the description.
        let late = file("late", &text.replace("2.01ms", "1.99ms"));
        for line in [
            format!("image {tight} -o {tight}.image --machine bochs-intel"),
            format!("iso {tight} -o {tight}.iso --machine bochs-amd"),
            format!("boot {tight} --machine bochs-intel"),
            format!("image {late} -o {late}.image"),
            format!("run {late}"),
        ] {
            let words: Vec<String> = line.split_whitespace().map(String::from).collect();
            let Err(error) = execute(&words) else {
                panic!("{line}: not refused");
            };
            let said = error.to_string();
            assert!(
                error.code() == 1 && said.contains("NOT SCHEDULABLE"),
                "{line}: {said}"
            );
        }
        for file in [tight, late] {
            std::fs::remove_file(file).unwrap();
        }
    }

    #[test]
    fn what_is_no_command_or_has_too_many_words_is_wrong_usage() {
        for line in [
            "",
            "frob",
            "frob --help",
            "help frob",
            "setup 11",
            "check all",
            "image",
        ] {
            assert_eq!(code(line), 64, "{line}");
        }
    }
}
