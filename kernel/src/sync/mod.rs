//! What threads, handlers and boot share on one core, and how they keep out of each other's way.
pub mod boot_cell;
pub mod interrupt_cell;
pub mod interrupts_off;
