//! The program of the series of runs stands above this one, which builds and starts it.
use crate::error::{Context, Result};
use crate::workspace;
use std::process::ExitCode;

/// Builds the program and executes `series` with these arguments by it.
///
/// # Errors
/// If it cannot be started.
pub fn execute(series: &str, arguments: &[String]) -> Result<ExitCode> {
    let mut command = workspace::cargo();
    command.args(["run", "--release", "--quiet", "--package", "tern-campaign"]);
    command.args(["--bin", "campaign", "--", series]);
    let status = command.args(arguments).status();
    let status = status.context(|| format!("starting {series}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}
