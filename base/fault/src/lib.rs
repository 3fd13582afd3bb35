//! Faults: which there are, where in a system each can go, and the one grammar that
//! names them in every tool. How a fault is put into a machine is the tool's.
#![forbid(unsafe_code)]

pub mod grammar;
pub mod outcome;
pub mod place;
pub mod region;
pub mod target;
