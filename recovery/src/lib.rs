//! Repairing a replica from a healthy one, and everything else that a replica does
//! between two jobs, as resumable steps of at most one page.
//!
//! [`Replica`] is the whole of it: the kernel and the simulator call it at releases,
//! at commits and after verdicts, and it says what to do. The donor, the witness and the
//! target of a repair are the machines below it.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod commit;
mod donor;
mod list;
mod memory;
mod progress;
mod replica;
mod target;
mod witness;

pub use commit::{Commit, CommitStep, Rehash};
pub use donor::Donor;
pub use memory::{PageMemory, Published};
pub use progress::Progress;
pub use replica::{Closing, Duty, Opening, Replica};
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
