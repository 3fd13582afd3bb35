//! Seeded series of runs. Here belongs what draws many systems by a seed, runs each, and counts;
//! what runs one belongs to the tools that it uses.
#![forbid(unsafe_code)]

pub mod command;
pub mod machine;
