//! What the hypervisor and the sandbox kernel both need of a bare x86-64 machine:
//! a C runtime of five functions, ports, the console, descriptor tables, the local
//! APIC, FP state, PVH start information and a boot-time allocator.
//!
//! Nothing here knows about sandboxes. An image calls [`freestanding!`] once.
#![no_std]

pub mod apic;
pub mod bump;
pub mod console;
pub mod cpu;
pub mod descriptors;
mod entry;
pub mod features;
pub mod fpu;
pub mod interrupts;
pub mod port;
pub mod pvh;
mod runtime;
