//! Devices of the machine that the hypervisor itself programs or looks at. None is emulated.
pub mod io_apic;
pub mod uart;
