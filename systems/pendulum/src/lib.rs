//! The pendulum's controller as a pure computation: the replicated program runs it in
//! the machine, and the host runs it again to know what should have come out.
//!
//! It uses only additions, multiplications and divisions of `f64`, which IEEE 754 defines
//! to the last bit: equal inputs give equal outputs everywhere. The same holds of the plant,
//! the pendulum itself, which moves on the host or in a sandbox of its own.
#![no_std]
#![forbid(unsafe_code)]

pub mod bank;
pub mod controller;
pub mod design;
pub mod log;
mod matrix;
pub mod plant;

pub use bank::Filter;
pub use controller::{Controller, Input, Output, State};
pub use log::Entry;
pub use plant::Pendulum;

/// Filters in the bank, a page each.
pub const FILTERS: usize = 64;
/// Pages of the log.
pub const LOG_PAGES: usize = 32;
/// Entries in the log.
pub const LOG_ENTRIES: usize = LOG_PAGES * 4096 / size_of::<Entry>();
/// Pages of heap that the program needs: the bank, then the log.
pub const HEAP_PAGES: usize = FILTERS + LOG_PAGES;

/// The words of a sample.
pub mod sample {
    /// Position of the cart in metres, the bits of an `f64`.
    pub const POSITION: usize = 0;
    /// Angle of the pendulum from upright in radians, the bits of an `f64`.
    pub const ANGLE: usize = 1;
    /// Number of words.
    pub const WORDS: usize = 2;
}

/// The words of an output.
pub mod command {
    /// Force on the cart in newtons, the bits of an `f64`.
    pub const FORCE: usize = 0;
    /// Running check over the log and the bank: see [`crate::log`].
    pub const CHECK: usize = 1;
    /// Number of words.
    pub const WORDS: usize = 2;
}
