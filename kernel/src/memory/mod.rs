//! The sandbox's memory: frames, page tables, stacks.
pub mod frames;
pub mod layout;
pub mod paging;
