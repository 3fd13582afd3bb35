//! Why a simulation was not run.
use std::fmt;

/// Why a simulation was not run. Each prints as one line that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimulationError {
    /// A sandbox has more servers or threads than the largest scheduler here.
    TooLarge {
        /// The sandbox.
        sandbox: String,
        /// The most servers, and the most threads, of a sandbox.
        most: (usize, usize),
    },
    /// More jobs would be released than anyone reads.
    TooLong {
        /// Jobs until the time asked for.
        jobs: u128,
        /// The most that are simulated.
        most: u128,
    },
    /// The scheduler refused a server or thread.
    Refused {
        /// The sandbox.
        sandbox: String,
        /// The scheduler's reason.
        reason: tern_sched::AddError,
    },
}

impl fmt::Display for SimulationError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge {
                sandbox,
                most: (servers, threads),
            } => write!(
                out,
                "sandbox \"{sandbox}\" is too large to simulate: at most {servers} servers and \
                 {threads} threads, counting one for each server without any"
            ),
            Self::TooLong { jobs, most } => write!(
                out,
                "{jobs} jobs are too many to simulate, at most {most}: choose an earlier end"
            ),
            Self::Refused { sandbox, reason } => {
                write!(out, "sandbox \"{sandbox}\" cannot be scheduled: {reason}")
            }
        }
    }
}

impl std::error::Error for SimulationError {}
