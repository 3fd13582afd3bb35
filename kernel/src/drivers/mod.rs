//! Drivers of devices, real and simulated.
pub mod byte_line;
pub mod byte_queue;
pub mod serial;
pub mod uart;
