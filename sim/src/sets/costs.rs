//! What the pieces of a task's work take in virtual time.

/// Times, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// A poll of a task.
    pub poll: u64,
    /// A write of the toy program's job.
    pub write: u64,
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            poll: 5_000,
            write: 20_000,
        }
    }
}
