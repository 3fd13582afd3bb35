//! The hypervisor: starts the machine's cores, gives each sandbox its memory, devices
//! and channels, and then stays out of the way.
//!
//! The parts that decide are host-tested; the binary adds the entry code, the
//! allocator and the panic handler.
#![no_std]

extern crate alloc;

mod apic_writes;
pub mod boot;
pub mod clock;
pub mod console;
pub mod cores;
pub mod cpuid;
pub mod devices;
pub mod doorbell;
pub mod ending;
mod event_word;
pub mod exits;
pub mod faults;
pub mod guest;
pub mod hypercalls;
pub mod kept;
pub mod loader;
pub mod memory;
pub mod memory_types;
pub mod permissions;
pub mod ranges;
pub mod sandbox;
pub mod shutdown;
pub mod speculation;
pub mod svm;
mod switch;
pub mod vendor;
pub mod vmx;
