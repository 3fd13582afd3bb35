//! What firmware's tables say of a machine: bytes in, facts out. Nothing here touches the
//! machine, so that all of it is tested on the host.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod acpi;
pub mod fadt;
