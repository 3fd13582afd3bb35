//! From a file's bytes to a trace that can be believed: who runs and sleeps, and the rules that
//! whatever a sound machine or the simulator writes keeps. What the records prove beyond that,
//! and what they look like, belongs elsewhere.
mod contradiction;
mod rules;
mod sound;
mod threads;

pub use contradiction::Contradiction;
pub use sound::SoundTrace;
pub(crate) use threads::{State, Threads};
