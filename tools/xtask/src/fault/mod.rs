//! Faults: which there are, and how they are put into a machine from outside.
pub mod inject;
pub mod program;
pub mod spec;
pub mod tool;

pub use inject::{Aim, Injected, inject, inject_in_bochs};
pub use program::{Region, ReplicaPages};
pub use spec::{Spec, Target};
