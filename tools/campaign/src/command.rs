//! The commands of the series.
use crate::{Finding, Options, host, machine};
use std::fmt;
use std::process::ExitCode;
use xtask::error::{Error, Result};
use xtask::search::HELP;

/// Executes a command line, without the program's own name.
///
/// # Errors
/// If it does not make sense, or a machine does not run.
pub fn execute(arguments: &[String]) -> Result<ExitCode> {
    match arguments.split_first() {
        Some((command, rest)) if command == "search" => search(&Options::parse(rest)?),
        _ => Err(Error::usage(format!("there is one series:\n  {HELP}"))),
    }
}

fn search(options: &Options) -> Result<ExitCode> {
    let show = |line: &str| println!("{line}");
    match options.machine {
        Some(machine) => {
            let machine::Outcome { met, findings } = machine::search(machine, options, show)?;
            let systems = met.systems;
            let met_all = format!("{systems} systems: {met}");
            Ok(verdict(&met_all, met.broken, &met.lacks(), &findings))
        }
        None => {
            let host::Outcome { met, findings } = host::search(options, show)?;
            Ok(verdict(&met, met.broken, &met.lacks(), &findings))
        }
    }
}

/// Prints what was met and found, and says by the status whether that is enough and nothing.
fn verdict(
    met: &dyn fmt::Display,
    broken: u64,
    lacks: &[String],
    findings: &[Finding],
) -> ExitCode {
    println!("\n{met}");
    for finding in findings {
        println!("{finding}");
    }
    for lack in lacks {
        println!("met too little: {lack}");
    }
    match broken {
        0 => println!("no promise was broken"),
        _ => println!("{broken} systems broke promises"),
    }
    match broken == 0 && lacks.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
