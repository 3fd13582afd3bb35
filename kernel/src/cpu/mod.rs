//! The processor: contexts, descriptor tables, local APIC.
pub mod apic;
pub mod context;
pub mod descriptors;
pub mod task_priority;
