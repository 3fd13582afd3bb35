//! The machine's memory: what of it is free, and who sees which part of it where.
pub mod frames;
pub mod host_tables;
pub mod mapping;
pub mod page_tables;
