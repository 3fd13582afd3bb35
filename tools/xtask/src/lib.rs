//! Everything that happens around a Tern machine on the host: set-up, build, image,
//! emulator, plant, fault injection and verdict. The `xtask` command and the tests
//! that boot use the same library.

pub mod boot;
pub mod build;
pub mod calibrate;
pub mod campaign;
pub mod check;
pub mod command;
pub mod emulator;
pub mod error;
pub mod fault;
pub mod image;
mod install_lock;
pub mod interrupt;
pub mod iso;
pub mod plant;
pub mod qemu10;
pub mod record;
pub mod run;
pub mod search;
mod series;
pub mod setup;
pub mod symbols;
pub mod test;
pub mod timing;
pub mod workspace;

pub use error::{Error, Result};
