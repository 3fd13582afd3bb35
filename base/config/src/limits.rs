//! What the images can carry out at most. Each limit is known here, so that a description beyond
//! one is refused before it is built; the images assert that theirs are the same.
use core::fmt;

use tern_abi::directory::MAX_ENTRIES;

use crate::heap::{HYPERVISOR_HEAP_BYTES, hypervisor_heap};
use crate::system::System;

/// The most memory of a sandbox: below its guest-physical APIC page.
pub const MEMORY_MAX: u64 = 0xc000_0000;
/// The most cores that the hypervisor knows: the boot core and 63 others.
pub const MAX_CORES: u32 = 64;
/// The most sandboxes that boot.
pub const MAX_SANDBOXES: usize = MAX_ENTRIES;
/// The most replicas that a voter counts.
pub const MAX_REPLICAS: usize = 8;
/// The most sealed channels that a sandbox writes: each doubles its nested tables.
pub const MAX_SEALED: usize = 3;
/// The most sealed channels that a sandbox may close: each takes a little of the one call that
/// closes them all, and a bit of its argument. Two sets of eight that read each other's votes and
/// verdicts take 28.
pub const MAX_CLOSABLE: usize = 32;
/// The most bytes of a guest's command line.
pub const COMMAND_LINE_MAX: usize = 4095;

/// A limit that a whole system is beyond. Each prints as one line that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// There are more sandboxes than can be told of.
    Sandboxes {
        /// How many there are.
        count: usize,
    },
    /// The description takes more than the hypervisor's heap.
    Description {
        /// Bytes that it takes.
        bytes: u64,
    },
}

impl fmt::Display for Limit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sandboxes { count } => {
                write!(out, "{count} sandboxes, at most {MAX_SANDBOXES} boot")
            }
            Self::Description { bytes } => write!(
                out,
                "the description takes {} KiB at boot, and the hypervisor has {}: describe fewer \
                 threads or channels",
                bytes.div_ceil(1 << 10),
                HYPERVISOR_HEAP_BYTES >> 10
            ),
        }
    }
}

impl core::error::Error for Limit {}

/// The limits that a whole system is beyond, whatever the machine has.
pub fn beyond(system: &System) -> impl Iterator<Item = Limit> {
    let sandboxes = system.sandboxes.len();
    let too_many_sandboxes =
        (sandboxes > MAX_SANDBOXES).then_some(Limit::Sandboxes { count: sandboxes });
    let bytes = hypervisor_heap(system);
    let too_large = (bytes > HYPERVISOR_HEAP_BYTES).then_some(Limit::Description { bytes });
    [too_many_sandboxes, too_large].into_iter().flatten()
}
