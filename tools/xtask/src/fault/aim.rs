//! Where a fault goes, in a machine that runs a system.
use crate::emulator::Directory;
use crate::error::{Error, Result};
use tern_config::{ReplicaSet, System, ThreadRef};
use tern_fault::target::Target;

/// Where a fault goes.
#[derive(Clone, Copy, Debug)]
pub struct Aim<'a> {
    /// The machine's directory.
    pub directory: &'a Directory,
    /// What runs on the machine.
    pub system: &'a System,
    /// The set that is watched.
    pub set: &'a ReplicaSet,
    /// What is hit.
    pub target: Target,
    /// The thread that is hit.
    pub place: ThreadRef,
    /// The epoch whose job is hit: that one's or a later one's.
    pub epoch: u64,
}

impl Aim<'_> {
    /// Returns the number of the replica that is hit.
    ///
    /// # Errors
    /// If the thread is none.
    pub(super) fn replica(&self) -> Result<usize> {
        let mut replicas = self.set.replicas.iter();
        let replica = replicas.position(|place| *place == self.place);
        replica.ok_or_else(|| {
            let (target, set) = (self.target, &self.set.name);
            Error::input(format!("{target}: there is no such replica of set {set}"))
        })
    }
}
