//! The system description: its types, its validation, and its encoding in a boot
//! image. The `std` feature adds reading it from TOML.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod derive;
#[cfg(feature = "std")]
pub mod description;
pub mod heap;
pub mod image;
mod interrupts;
pub mod layout;
pub mod limits;
pub mod partition;
mod ports;
pub mod private;
mod program;
mod references;
pub mod system;

#[cfg(feature = "std")]
pub use description::{Description, Problem, Problems};
pub use image::{Image, ImageBuilder, ImageError};
pub use interrupts::InterruptPlan;
pub use layout::{Machine, MachineError, channel_address, check_machine};
pub use ports::may_be_given;
pub use private::Private;
pub use program::program_pages;
pub use system::*;
