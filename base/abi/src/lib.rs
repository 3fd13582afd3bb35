//! Numbers and layouts that separately linked images agree on: hypervisor and
//! sandbox kernel, sandbox kernel and program, machine and the tools outside it.
#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
pub mod directory;
pub mod hypercall;
pub mod layout;
pub mod line;
pub mod ownership;
pub mod seal;
pub mod system_call;
