//! The memory of a replica as seen from outside: found by the trace record of its
//! process and the page tables of its sandbox.
use crate::emulator::{Directory, Memory, UserPage, user_pages};
use crate::error::{Error, Result};
use crate::record;
use std::fmt;
use tern_abi::layout::{HEAP_BASE, INPUT_PAGE, OUTPUT_PAGE, PROGRAM_BASE};
use tern_config::{ReplicaSet, System};
use tern_trace::Event;
use tern_units::HostPhysical;

/// What a page of a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// Code.
    Text,
    /// Constants.
    Constants,
    /// Variables.
    Data,
    /// Heap.
    Heap,
    /// The page that outputs are left in.
    Output,
    /// Stack.
    Stack,
}

impl Region {
    /// The region of a page that belongs to the program's page list.
    #[must_use]
    pub fn of(page: &UserPage) -> Self {
        let address = page.address;
        if address >= HEAP_BASE.as_u64() && address < INPUT_PAGE.as_u64() {
            Self::Heap
        } else if address == OUTPUT_PAGE.as_u64() {
            Self::Output
        } else if address > OUTPUT_PAGE.as_u64() {
            Self::Stack
        } else if page.executable {
            Self::Text
        } else if page.writable {
            Self::Data
        } else {
            Self::Constants
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Text => "text",
            Self::Constants => "constants",
            Self::Data => "data",
            Self::Heap => "heap",
            Self::Output => "output",
            Self::Stack => "stack",
        })
    }
}

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
