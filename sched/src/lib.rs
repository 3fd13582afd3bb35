//! Budgeted scheduling of one core: sporadic servers, I/O servers, the threads in
//! them, and the schedulability analysis of exactly those.
//!
//! Everything here is pure: time comes in as an argument, and every table has a capacity
//! that is fixed by a const generic or, for the list of a server's replenishments, when
//! the server is added: that allocates, and nothing else does. The kernel, the simulator
//! and the property tests run the same code.
//!
//! # How a kernel drives it
//!
//! One [`Scheduler`] per core. At each entry to the kernel that may change what runs:
//!
//! 1. report what happened: [`Scheduler::wake`], [`Scheduler::block`],
//!    [`Scheduler::sleep_until`], [`Scheduler::request`], [`Scheduler::served`], or
//!    nothing at all when the entry is the timer's interrupt;
//! 2. call [`Scheduler::dispatch`] once, as late as possible, with the time read then, or
//!    [`Scheduler::dispatch_fired`] where the entry is the timer's interrupt;
//! 3. switch to [`Dispatch::thread`] (idle if none) and arm the one-shot timer for
//!    exactly [`Dispatch::timer`], replacing any earlier setting.
//!
//! The time between two dispatches is charged to the server that the first one chose,
//! the kernel's own work on the way included. A timer that fires late costs the running
//! server its overrun and nobody else anything. A timer that fires early is harmless: the
//! dispatch answers with the same instant again.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod agenda;
pub mod analysis;
mod chunks;
mod dispatch;
mod inherit;
mod io;
mod lists;
mod observer;
mod parameters;
mod queries;
mod ready;
mod scheduler;
mod slot;
mod sporadic;

pub use dispatch::Dispatch;
pub use io::IoServer;
pub use observer::{Observer, Silent};
pub use parameters::{AddError, MOST_ROOM, ServerId, ServerKind, ServerParameters, ThreadId};
pub use ready::ReadyQueue;
pub use scheduler::Scheduler;
pub use slot::ThreadState;
pub use sporadic::{Posted, Replenishment, SporadicServer};
