//! A Tern machine in QEMU: how it is started, watched, and always ended.
pub mod console;
pub mod debugger;
pub mod machine;
pub mod memory;
pub mod monitor;

pub use console::Console;
pub use debugger::Debugger;
pub use machine::{Accelerator, Clock, Machine, Options};
pub use memory::Memory;
pub use monitor::Monitor;
