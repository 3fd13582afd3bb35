//! A Tern machine in Bochs: deterministic time on several cores, with VT-x or AMD-V,
//! started from a memory image instead of a disk, and driven through Bochs's debugger.
pub mod acpi;
pub mod blocks;
pub mod configuration;
mod debugger;
mod files;
pub mod image;
pub mod listing;
pub mod machine;
pub mod options;
mod terminal;

pub use configuration::Model;
pub use debugger::Stop;
pub use machine::Machine;
pub use options::{EMULATOR, Options};
