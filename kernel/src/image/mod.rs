//! What this sandbox was started with: boot words, the system's description, its channels.
pub mod channels;
pub mod description;
pub mod keys;
pub mod start_information;
