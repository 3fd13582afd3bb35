//! The commands of the series.
use crate::machine::{Options, search};
use std::process::ExitCode;
use xtask::error::{Error, Result};
use xtask::search::HELP;

/// Executes a command line, without the program's own name.
///
/// # Errors
/// If it does not make sense, or a machine does not run.
pub fn execute(arguments: &[String]) -> Result<ExitCode> {
    match arguments.split_first() {
        Some((command, rest)) if command == "search" => run_search(&Options::parse(rest)?),
        _ => Err(Error::usage(format!("there is one series:\n  {HELP}"))),
    }
}

fn run_search(options: &Options) -> Result<ExitCode> {
    let outcome = search(options, |line| println!("{line}"))?;
    let (met, count) = (outcome.met, outcome.met.broken);
    println!("\n{} systems: {met}", met.systems);
    let lacks = met.lacks();
    for lack in &lacks {
        println!("met too little: {lack}");
    }
    match count {
        0 => println!("no promise was broken"),
        _ => println!("{count} systems broke promises"),
    }
    match count == 0 && lacks.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}
