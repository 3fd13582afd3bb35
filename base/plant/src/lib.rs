//! The far end of a device: the frames that a set and its plant exchange, the tags in them, the
//! code of the digests in them, and what an actuator accepts.
#![no_std]
#![forbid(unsafe_code)]

pub mod actuator;
pub mod code;
pub mod frames;
pub mod keyring;
pub mod tag;
