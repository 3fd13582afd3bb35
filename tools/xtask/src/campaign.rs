//! `cargo xtask campaign`: seeded faults in simulated replica sets.
use crate::error::Result;
use crate::series;
use std::process::ExitCode;

/// The options, for the help text.
pub const HELP: &str = "\
campaign                      strike simulated replica sets by seeded faults, many runs of each
                                placement and class, by the tasks and the scheduler that boot,
                                and count what they come to
      --runs N                  of each placement and class (30000)
      --seed S                  of the campaign (1)
      --placement NAME          this one alone
      --class NAME              this one alone
      --seconds N               begin no block of 100 runs after these
      --shard K/N               of every N blocks the Kth alone, K from 1
      --resume                  go on with the ledger of the same campaign
  campaign --merge LEDGER...    add up the ledgers of all parts
  campaign --replay PLACEMENT/CLASS/NUMBER [--seed S]
                                one run again, with all that it recorded
      ends with 1 if an output was wrong, a set hung or stopped for a single fault, a deadline of
      another thread was missed, or, all parts together, most faults of a class did nothing;
      target/campaign has the ledger, CSV with a line a block; tools/campaign/campaign.sbatch
      runs the parts by Slurm
";

/// Executes `campaign` with these arguments by its program.
///
/// # Errors
/// If it cannot be started.
pub fn execute(arguments: &[String]) -> Result<ExitCode> {
    series::execute("campaign", arguments)
}
