//! Sandboxes in deterministic virtual time, scheduled by the code that the sandbox
//! kernel runs: [`tern_sched::Scheduler`].
//!
//! Each sandbox has a core of its own and its servers depend on no other sandbox, so they
//! are simulated one after another. Time advances from event to event: a release, a request,
//! a completion, or the instant the scheduler asked its timer for. Nothing takes time but
//! the jobs themselves: the costs of a platform are the analysis's concern.
#![forbid(unsafe_code)]

pub mod adversary;
mod core;
mod error;
mod recorder;
mod releases;
pub mod sets;
mod simulation;
mod task;

pub use error::SimulationError;
pub use simulation::{JobHistory, ServerHistory, Simulation, simulate, simulate_with_records};
