//! How the faults that `tern-fault` names are put into a machine from outside.
mod action;
pub mod aim;
mod forge;
mod hit;
mod hold;
pub mod inject;
mod kernel;
pub mod program;
mod stub;
mod ticks;
pub mod tool;

pub use action::is_carried_out;
