//! Commits of jobs, and repairs of a replica from healthy ones, as resumable steps of at
//! most one page.
//!
//! Each step is a machine of its own, and knows nothing of when it is its turn. What it keeps
//! from step to step are plain words ([`tern_units::StateWords`]): one that a fault has
//! changed costs what this step was for, and never leads outside of what there is.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod checkpoint;
mod commit;
mod donor;
mod list;
mod memory;
mod progress;
mod target;
mod witness;

pub use checkpoint::{Checkpoint, CheckpointStep};
pub use commit::{Commit, CommitStep, Rehash};
pub use donor::Donor;
pub use memory::{Hashing, PageMemory, Published};
pub use progress::Progress;
pub use target::{Channels, Target};
pub use witness::Witness;

use tern_units::PageNumber;

/// What one step of a repair did. After [`RepairStep::Waiting`] nothing is to be gained by
/// another step until another replica has run; after an end nothing ever is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairStep {
    /// Dealt with a page; so many are left.
    Page {
        /// The page.
        page: PageNumber,
        /// Pages of the list still to be dealt with.
        left: u32,
    },
    /// Another replica must do something first; so many pages are left.
    Waiting {
        /// Pages of the list still to be dealt with.
        left: u32,
    },
    /// All there was to do in this epoch is done.
    Ended(RepairEnd),
}

/// How a repair ended in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairEnd {
    /// All pages given, confirmed or, for the target, accepted: its summary is the
    /// majority's.
    Complete,
    /// Some pages were not accepted: they go on the next epoch's list.
    Incomplete,
    /// This replica's own page is not what its table says: the next ballot will tell.
    OwnFault(PageNumber),
}
