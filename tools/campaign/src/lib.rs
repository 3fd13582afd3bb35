//! Seeded series of runs. Here belongs what draws many systems by a seed, runs each, and counts;
//! what runs one belongs to the tools that it uses.
#![forbid(unsafe_code)]

pub mod command;
mod draw;
pub mod faults;
mod finding;
pub mod host;
pub mod machine;
mod options;
mod table;

pub use finding::Finding;
pub use options::Options;
