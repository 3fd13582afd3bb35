//! `cargo xtask search`: the program that searches stands above this one, which starts it.
use crate::error::Result;
use crate::series;
use std::process::ExitCode;

/// The options, for the help text.
pub const HELP: &str = "\
search                        simulate random systems on the host, by the scheduler that boots,
                                in environments as bad as the bounds allow for: timers late,
                                the kernel's work at its costs, devices, requests, doorbells,
                                jobs that overrun; hold each response against its bound
  search --machine NAME         boot random systems that the analysis accepts on bochs-intel or
                                bochs-amd, a device interrupting at its worst and doorbells
                                rung at their least interval, and hold each response against
                                its bound
      --seconds N               begin no system after these (600 on the host, 60 on a machine);
                                one always runs
      --systems N               no more than these
      --seed S                  of the first system (1); the next ones are S + 1, ...
      --shard K/N               of every N seeds the Kth alone, K from 1
      --resume                  go on after the last system of the same search
      ends with 1 if a bound was exceeded, a deadline missed or a sandbox stopped, with seed,
      description and trace of each, or if several systems met too little; target/search has
      its table, a line a system
";

/// Executes `search` with these arguments by its program.
///
/// # Errors
/// If it cannot be started.
pub fn execute(arguments: &[String]) -> Result<ExitCode> {
    series::execute("search", arguments)
}
