//! A sandbox kernel as a fault tool sees it: where the timer's interrupt arrives, and where
//! the image has room for code of the tool's own.
use crate::build;
use crate::emulator::{Directory, Memory};
use crate::error::{Context, Error, Result};
use crate::symbols::Symbols;
use elf::ElfBytes;
use elf::abi::{PF_X, PT_LOAD};
use elf::endian::LittleEndian;
use tern_config::System;
use tern_units::{HostPhysical, PAGE_SIZE};

/// Where the kernel takes the timer's interrupt once time has begun: counted, and as a
/// deadline.
const TIMER_ENTRIES: [&str; 2] = ["counted_timer_entry", "deadline_timer_entry"];
/// Bytes of room.
const ROOM: usize = 32;

/// The places in a kernel's code that a fault tool uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Where the timer's interrupt arrives.
    pub timer: Vec<u64>,
    /// The kernel's address of [`ROOM`] bytes behind the end of its code: executable, and
    /// never executed.
    pub room: u64,
    /// The machine's address of them.
    pub frame: HostPhysical,
}

impl Kernel {
    /// Finds those places in the kernel of the sandbox with this number.
    ///
    /// # Errors
    /// If its kernel is another one, or its code ends too close to a page's end.
    pub fn find(
        memory: &Memory,
        directory: &Directory,
        system: &System,
        sandbox: usize,
    ) -> Result<Self> {
        let described = &system.sandboxes[sandbox];
        let path = build::binary(&described.kernel)?;
        let doing = || format!("looking for the timer's interrupt in {}", path.display());
        let missing = |what: &str| Error::input(format!("{}: it has no {what}", doing()));

        let symbols = Symbols::read(&path)?;
        let timer: Vec<_> = TIMER_ENTRIES
            .iter()
            .filter_map(|name| symbols.address(name))
            .collect();
        if timer.len() < TIMER_ENTRIES.len() {
            return Err(missing(&TIMER_ENTRIES.join(" and ")));
        }

        // The code is one segment that begins at a page; the rest of its last page is nobody's.
        let bytes = std::fs::read(&path).context(doing)?;
        let file = ElfBytes::<LittleEndian>::minimal_parse(&bytes).context(doing)?;
        let segments = file.segments().ok_or_else(|| missing("segments"))?;
        let code = segments
            .iter()
            .find(|it| it.p_type == PT_LOAD && it.p_flags & PF_X != 0)
            .ok_or_else(|| missing("code"))?;
        let room = (code.p_vaddr + code.p_memsz).next_multiple_of(PAGE_SIZE as u64) - ROOM as u64;
        let entry = &directory.entries[sandbox];
        let frame = HostPhysical::new(entry.memory + code.p_paddr + (room - code.p_vaddr));
        if memory.bytes(frame, ROOM)? != [0; ROOM] {
            return Err(missing(&format!("{ROOM} free bytes behind its code")));
        }
        Ok(Self { timer, room, frame })
    }
}
