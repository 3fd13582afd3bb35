//! Who does what when in an epoch of a replica set: the tasks of a replica and of a voter.
//!
//! A task is polled with the time and does a bounded piece of its work through its
//! environment; what it returns is what to do until it is polled again. It has no clock and
//! does no I/O, so that the kernel and the simulator run the same tasks.
//!
//! What belongs here: the order of things in an epoch and all instants of it. What does not:
//! how pages are hashed and compared (`tern_vote`), how they are copied (`tern_recovery`).
//!
//! A task trusts none of its own words for long. Which epoch it is follows from the time at
//! every poll; whether a replica may run, from the newest verdict and its own summary; what
//! the system description says is kept three times. So a word that a fault has changed costs
//! at most an epoch, and a task that starts anew is as good as one that never stopped.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod copies;
mod description;
mod epoch;
mod input;
mod keys;
mod member;
mod next;
mod replica;
mod voter;

pub use description::set_of;
pub use epoch::Times;
pub use keys::{actuator_of, actuator_with, keys_of};
pub use next::{Env, Job, JobEnd, Next, ReplicaChannels, ReplicaEnv, VoterChannels, VoterEnv};
pub use replica::{ReplicaStart, ReplicaTask};
pub use voter::VoterTask;
