//! Replica sets in virtual time: the tasks that the kernel runs, under the kernel's scheduler,
//! over channels in memory; with a toy program, a device, and faults.
//!
//! What belongs here: what carries out what a task asks for, as `kernel/src/tasks/replication.rs`
//! does, and who judges what comes of it. What does not: any decision of the protocol.
mod channel;
mod core;
mod costs;
mod device;
mod environment;
mod place;
mod plant;
mod program;
mod words;
mod world;

pub use costs::Costs;
pub use place::Place;
pub use program::{Memory, PAGE_WORDS, RegisterFlip};
pub use world::{Seen, World};
