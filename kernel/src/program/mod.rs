//! Programs in ring 3: their file, pages and saved registers, and what they may ask for.
pub mod file;
pub mod process;
pub mod run;
pub mod system_call;
pub mod user_slice;
