//! The processor: contexts, descriptor tables, interrupt entries, local APIC.
pub mod apic;
pub mod context;
pub mod descriptors;
pub mod entry;
pub mod task_priority;
