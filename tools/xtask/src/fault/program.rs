//! The memory of a replica as seen from outside: found by the trace record of its
//! process and the page tables of its sandbox.
use crate::emulator::{Directory, Memory, UserPage, user_pages};
use crate::error::{Error, Result};
use crate::record;
use tern_abi::layout::{INPUT_PAGE, PROGRAM_BASE};
use tern_config::{ReplicaSet, System};
use tern_trace::Event;
use tern_units::HostPhysical;

/// A replica's pages.
#[derive(Clone, Debug)]
pub struct ReplicaPages {
    /// Index of its sandbox.
    pub sandbox: usize,
    /// The sandbox's page-table root, guest-physical.
    pub root: u64,
    /// The pages that a program of the set has in every replica, in the order of their
    /// addresses; the input page is not among them.
    pub pages: Vec<UserPage>,
}

impl ReplicaPages {
    /// Finds the pages of replica number `replica` of `set`.
    ///
    /// # Errors
    /// If its sandbox has not recorded its process, or its page tables lead nowhere.
    pub fn find(
        memory: &Memory,
        directory: &Directory,
        system: &System,
        set: &ReplicaSet,
        replica: usize,
    ) -> Result<Self> {
        let missing = || Error::failure(format!("set {} has no replica {replica}", set.name));
        let place = set.replicas.get(replica).ok_or_else(missing)?;
        let sandbox = place.sandbox as usize;
        let described = system.sandboxes.get(sandbox).ok_or_else(missing)?;
        let entry = directory.entries.get(sandbox).ok_or_else(missing)?;
        let number = described
            .thread_number(place.server, place.thread)
            .ok_or_else(missing)?;
        let core = record::core(memory, entry, &described.name)?;
        let root = core
            .events()
            .filter_map(std::result::Result::ok)
            .find_map(|(_, event)| match event {
                Event::Process { thread, root_frame } if u32::from(thread) == number => {
                    Some(u64::from(root_frame) << 12)
                }
                _ => None,
            })
            .ok_or_else(|| {
                let name = &described.name;
                Error::failure(format!(
                    "the trace of {name} does not name the replica's process"
                ))
            })?;
        let mut pages = user_pages(memory, HostPhysical::new(entry.memory), root)?;
        pages.retain(|page| {
            page.address >= PROGRAM_BASE.as_u64() && page.address != INPUT_PAGE.as_u64()
        });
        Ok(Self {
            sandbox,
            root,
            pages,
        })
    }
}
