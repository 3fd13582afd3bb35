//! The commands of `cargo xtask`.
use crate::error::{Error, Result};
use crate::{boot, build, image, run, setup, test, timing};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  setup [10]                    install what is missing on this machine; 10 for QEMU 10
  build [PACKAGE...]            build hypervisor, kernel and programs
  check                         formatting and lints
  test                          every test, on the host and in emulators
  image SYSTEM.toml -o FILE     build, and write the system's boot module
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
    match command.as_str() {
        "setup" => {
            println!(
                "{}",
                setup::emulator(rest.first().map(String::as_str))?.display()
            );
            Ok(ExitCode::SUCCESS)
        }
        "image" => write_image(rest),
        "build" => build::build(rest, false).map(|()| ExitCode::SUCCESS),
        "check" => test::check().map(|()| ExitCode::SUCCESS),
        "test" => test::test(rest).map(|()| ExitCode::SUCCESS),
        "run" => run_system(rest),
        "boot" => boot::execute(rest),
        "timing" => timing::execute(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}{}{}{}", run::HELP, boot::HELP, timing::HELP);
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(Error::usage(format!(
            "unknown command '{command}'\n{USAGE}"
        ))),
    }
}

fn write_image(arguments: &[String]) -> Result<ExitCode> {
    let force = arguments.iter().any(|word| word == "--force");
    let words: Vec<_> = arguments.iter().filter(|word| *word != "--force").collect();
    let [system, flag, output] = words[..] else {
        return Err(Error::usage("image takes SYSTEM.toml -o FILE [--force]"));
    };
    if flag != "-o" {
        return Err(Error::usage(format!(
            "image takes SYSTEM.toml -o FILE [--force], not '{flag}'"
        )));
    }
    let system = image::admit(Path::new(system), force)?;
    build::build_for(&system)?;
    image::write(&system, Path::new(output))?;
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
