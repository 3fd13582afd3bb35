//! The `tern` command: reads its arguments and runs the sub-command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use trace_viewer::commands;
use trace_viewer::status::Status;

/// Checks, simulates and explains real-time systems that run on Tern.
///
/// Ends with 0 if all is well, 1 if a deadline was missed or need not hold, 2 for a
/// regression, 3 if a trace has losses or is corrupt, 4 if a server did not keep its
/// rules, 64 for wrong usage, 65 for input that is not what the command reads, and 74 if
/// the output cannot be written.
#[derive(Parser)]
#[command(name = "tern", version, verbatim_doc_comment)]
struct Tern {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Check(commands::check::Arguments),
    Simulate(commands::simulate::Arguments),
    Summary(commands::summary::Arguments),
    Conformance(commands::conformance::Arguments),
    Explain(commands::explain::Arguments),
    Dump(commands::dump::Arguments),
    Diff(commands::diff::Arguments),
    Report(commands::report::Arguments),
    Export(commands::export::Arguments),
}

fn main() -> ExitCode {
    let tern = match Tern::try_parse() {
        Ok(tern) => tern,
        Err(error) => return help(&error).unwrap_or_else(|status| status).into(),
    };
    let ended = match tern.command {
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Simulate(arguments) => commands::simulate::run(&arguments),
        Command::Summary(arguments) => commands::summary::run(&arguments),
        Command::Conformance(arguments) => commands::conformance::run(&arguments),
        Command::Explain(arguments) => commands::explain::run(&arguments),
        Command::Dump(arguments) => commands::dump::run(&arguments),
        Command::Diff(arguments) => commands::diff::run(&arguments),
        Command::Report(arguments) => commands::report::run(&arguments),
        Command::Export(arguments) => commands::export::run(&arguments),
    };
    ended.unwrap_or_else(|status| status).into()
}

/// Says what is wrong with the arguments, or what was asked for about them.
fn help(error: &clap::Error) -> Result<Status, Status> {
    if error.use_stderr() {
        let _ = error.print();
        return Ok(Status::Usage);
    }
    commands::print(&error.to_string())?;
    Ok(Status::Well)
}
