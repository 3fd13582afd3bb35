//! The commands of `cargo xtask`.
use crate::error::{Error, Result};
use crate::{boot, build, calibrate, image, iso, run, setup, test, timing};
use std::path::Path;
use std::process::ExitCode;
use tern_config::System;

const USAGE: &str = "\
cargo xtask COMMAND

  setup [10]                    install what is missing on this machine; 10 for QEMU 10
  build [PACKAGE...]            build hypervisor, kernel and programs
  check                         formatting and lints
  test                          every test, on the host and in emulators
  image SYSTEM.toml -o FILE     build, and write the system's boot module
  iso SYSTEM.toml -o FILE       build, and write a disc that boots the system on a PC
      --force                   even if the analysis finds the system not schedulable
";

/// Executes a command line, without the program's own name.
///
/// # Errors
/// With the exit code that fits: see [`Error::code`].
pub fn execute(arguments: &[String]) -> Result<ExitCode> {
    let Some((command, rest)) = arguments.split_first() else {
        return Err(Error::usage(format!("no command\n{USAGE}")));
    };
    if rest.iter().any(|word| word == "--help" || word == "-h") {
        print_help();
        return Ok(ExitCode::SUCCESS);
    }
    match command.as_str() {
        "setup" => {
            println!(
                "{}",
                setup::emulator(rest.first().map(String::as_str))?.display()
            );
            Ok(ExitCode::SUCCESS)
        }
        "image" => write_output(command, rest, image::write),
        "iso" => write_output(command, rest, iso::write),
        "build" => build::build(rest, false).map(|()| ExitCode::SUCCESS),
        "check" => test::check().map(|()| ExitCode::SUCCESS),
        "test" => test::test(rest).map(|()| ExitCode::SUCCESS),
        "run" => run_system(rest),
        "boot" => boot::execute(rest),
        "timing" => timing::execute(rest),
        "calibrate" => calibrate::execute(rest),
        "help" | "--help" | "-h" => {
            print_help();
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(Error::usage(format!(
            "unknown command '{command}'\n{USAGE}"
        ))),
    }
}

fn print_help() {
    print!("{USAGE}{}{}", run::HELP, boot::HELP);
    print!("{}{}", timing::HELP, calibrate::HELP);
}

/// Builds the system that `arguments` name, and has `write` write what `command` makes of
/// it.
fn write_output(
    command: &str,
    arguments: &[String],
    write: impl FnOnce(&System, &Path) -> Result<()>,
) -> Result<ExitCode> {
    let force = arguments.iter().any(|word| word == "--force");
    let words: Vec<_> = arguments.iter().filter(|word| *word != "--force").collect();
    let [system, flag, output] = words[..] else {
        return Err(Error::usage(format!(
            "{command} takes SYSTEM.toml -o FILE [--force]"
        )));
    };
    if flag != "-o" {
        return Err(Error::usage(format!(
            "{command} takes SYSTEM.toml -o FILE [--force], not '{flag}'"
        )));
    }
    let system = image::admit(Path::new(system), force)?;
    build::build_for(&system)?;
    write(&system, Path::new(output))?;
    Ok(ExitCode::SUCCESS)
}

fn run_system(arguments: &[String]) -> Result<ExitCode> {
    let options = run::RunOptions::parse(arguments)?;
    let outcome = run::run(&options)?;
    println!("\n{}", outcome.verdict);
    println!(
        "trace: {} (read it with: cargo run --bin tern summary FILE)",
        run::shown(&outcome.trace_file)
    );
    if outcome.verdict.passed() {
        println!("passed");
        Ok(ExitCode::SUCCESS)
    } else {
        println!("FAILED; the same again with: --seed {}", options.seed);
        Ok(ExitCode::FAILURE)
    }
}
