//! A range of memory that somebody sees, and what may be done with it.
use tern_units::{GuestPhysical, HostPhysical};

/// What a sandbox, or the hypervisor on one core, may do with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read, write and execute: its own memory.
    Full,
    /// Read and write: what it shares as the writer.
    ReadWrite,
    /// Read alone: what it shares as a reader, and the image.
    ReadOnly,
    /// Read and execute: the hypervisor's own code.
    Code,
}

/// A range of the machine's memory that a guest sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Where the guest sees it.
    pub guest: GuestPhysical,
    /// Where it is.
    pub host: HostPhysical,
    /// Its size, a multiple of 4 KiB.
    pub bytes: u64,
    /// What the guest may do with it.
    pub access: Access,
}
