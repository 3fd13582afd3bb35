//! The commands of the series.
use crate::{Finding, Options, faults, host, machine};
use faults::Task;
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
        Some((command, rest)) if command == "campaign" => campaign(&Task::parse(rest)?),
        _ => Err(Error::usage(format!(
            "there are two series:\n  {HELP}  {}",
            xtask::campaign::HELP
        ))),
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

fn campaign(task: &Task) -> Result<ExitCode> {
    let show = |line: &str| println!("{line}");
    // What a part lacks others may have.
    let (report, is_whole) = match task {
        Task::Run(options) => (faults::campaign(options, show)?, options.shard.1 == 1),
        Task::Merge(ledgers) => (faults::merge(ledgers)?, true),
        Task::Replay { row, seed, number } => {
            let lines = faults::replay(*row, *seed, *number)?;
            lines.iter().for_each(|line| show(line));
            return Ok(ExitCode::SUCCESS);
        }
    };
    let broken = report.broken();
    let lacks = if is_whole { report.lacks() } else { Vec::new() };
    println!("\n{report}");
    for line in &broken {
        println!("BROKEN {line}");
    }
    for line in &lacks {
        println!("proves nothing: {line}");
    }
    match broken.is_empty() && lacks.is_empty() {
        true => {
            println!("no promise was broken");
            Ok(ExitCode::SUCCESS)
        }
        false => Ok(ExitCode::FAILURE),
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
