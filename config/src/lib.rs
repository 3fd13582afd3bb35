//! The system description: its types, its validation, and its encoding in a boot
//! image. The `std` feature adds reading it from TOML.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod system;

pub use system::*;
