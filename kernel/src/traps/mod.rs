//! Entries from interrupts, exceptions and system calls, and what each means.
pub mod entry;
pub mod last_words;
pub mod system_call_entry;
pub mod vectors;
