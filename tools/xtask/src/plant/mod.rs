//! The plant: a pendulum on a cart, on the host or in a sandbox of its own, and what it
//! exchanges with the machine's arbitrator.
pub mod exchange;
pub mod link;
pub mod reference;
pub mod tap;

pub use exchange::{Exchange, Motion};
pub use reference::Reference;
pub use tap::Tap;

use tern_config::System;
use tern_vote::{Code, Key, Set};

/// Returns replica set number `number` of `system` as the vote knows it.
#[must_use]
pub fn set_of(system: &System, number: usize) -> Set {
    let set = &system.replica_sets[number];
    Set {
        number: number as u32,
        replicas: set.replicas.len() as u8,
        key: Key(set.key),
        code: Code::of(set.coded),
    }
}
