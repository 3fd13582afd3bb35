//! The far end of a device: the frames that a set and its plant exchange.
#![no_std]
#![forbid(unsafe_code)]

pub mod frames;
