//! The quantities that cross Tern's interfaces, each as a type of its own: an
//! instant is not a duration, a guest-physical address is not a host-physical one.
#![no_std]
#![forbid(unsafe_code)]

mod address;
mod state;
mod time;

pub use address::{GuestPhysical, HostPhysical, PAGE_SIZE, PageNumber, UserVirtual};
pub use state::StateWords;
pub use time::{Duration, Instant, TscFrequency};
