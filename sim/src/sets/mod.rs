//! Replica sets in virtual time: the tasks that the kernel runs, under the kernel's scheduler,
//! over channels in memory; with a toy program, a device, and faults.
//!
//! What belongs here: what carries out what a task asks for, as `kernel/src/tasks/replication.rs`
//! does, and who judges what comes of it. What does not: any decision of the protocol.
mod core;
mod costs;
mod environment;
mod plant;
mod program;
mod voter_channel;
mod words;
mod world;

pub use costs::Costs;
pub use program::{Memory, PAGE_WORDS, RegisterFlip};
pub use world::{Place, Seen, World};
