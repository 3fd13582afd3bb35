//! Faults: which there are, and how they are put into a machine from outside.
pub mod inject;
pub mod program;
pub mod spec;

pub use inject::{Injected, inject};
pub use program::{Region, ReplicaPages};
pub use spec::{Spec, Target};
