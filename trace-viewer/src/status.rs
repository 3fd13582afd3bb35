//! Exit codes of the `tern` command: what a script may rely on.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Status {
    /// All is well.
    Well = 0,
    /// A deadline was missed, or need not hold.
    Late = 1,
    /// Worse than the run it was compared with.
    Regression = 2,
    /// The trace has losses or is corrupt, so it proves nothing.
    Unsound = 3,
    /// A server did not keep its rules.
    Nonconforming = 4,
    /// Wrong usage.
    Usage = 64,
    /// The input is not what the command reads.
    BadInput = 65,
    /// A result could not be written.
    NoOutput = 74,
}

impl From<Status> for std::process::ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}
