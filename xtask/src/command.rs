//! The commands of `cargo xtask`.
use crate::error::{Error, Result};
use crate::{build, setup};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  setup                         install what is missing on this machine
  build [PACKAGE...]            build hypervisor, kernel and programs
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
            println!("{}", setup::ensure_emulator()?.display());
            Ok(ExitCode::SUCCESS)
        }
        "build" => build::build(rest, false).map(|()| ExitCode::SUCCESS),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(Error::usage(format!(
            "unknown command '{command}'\n{USAGE}"
        ))),
    }
}
