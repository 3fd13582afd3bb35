//! A Tern machine in QEMU, or in Bochs: how it is started, watched, and always ended.
pub mod bochs;
pub mod console;
pub mod debugger;
pub mod directory;
mod files;
mod leftovers;
pub mod machine;
pub mod memory;
pub mod monitor;
pub mod options;
pub mod tables;

pub use console::Console;
pub use debugger::{Debugger, Registers};
pub use directory::{Directory, ExitCounts};
pub use machine::Machine;
pub use memory::{Memory, Piece};
pub use monitor::Monitor;
pub use options::{Accelerator, Clock, Disc, Options};
pub use tables::{Space, UserPage, user_pages};
