//! To be filled.
#![no_std]
#![forbid(unsafe_code)]
