//! The hypervisor's own page tables: memory mapped to itself, code not writable, the
//! rest not executable, and nothing at page zero or below a stack.
use crate::memory::frames::{Frames, OutOfMemory};
use crate::memory::mapping::{Access, Mapping};
use crate::memory::page_tables::{Format, LARGE, Tables};
use crate::ranges::{Range, Ranges};
use core::arch::asm;
use tern_units::{GuestPhysical, HostPhysical, PAGE_SIZE};

/// The entry code maps this much memory to itself; devices lie below it.
pub const LOW_MEMORY: u64 = 4 << 30;

/// I/O APICs and local APICs of a PC: never cached.
const CONTROLLERS: Range = Range {
    start: 0xfec0_0000,
    end: 0xff00_0000,
};

/// Where the hypervisor's own parts are.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// All of the image, from the loader's point of view.
    pub image: Range,
    /// What is executed and read, but not written.
    pub code: Range,
    /// The page below the boot core's stack.
    pub guard: Range,
}

/// Entries of the processor's own tables (AMD APM vol. 2 §5.3, Intel SDM vol. 3 §4.5).
/// Read-only pages are the executable ones.
#[derive(Clone, Copy, Debug)]
struct HostFormat;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const UNCACHED: u64 = 1 << 3 | 1 << 4;
const NO_EXECUTE: u64 = 1 << 63;

impl Format for HostFormat {
    fn table(address: u64) -> u64 {
        address | PRESENT | WRITABLE
    }

    fn page(address: u64, access: Access, large: bool) -> u64 {
        let permissions = match access {
            Access::Full => WRITABLE,
            Access::ReadWrite => WRITABLE | NO_EXECUTE,
            Access::ReadOnly => 0,
        };
        let uncached = (CONTROLLERS.start..CONTROLLERS.end).contains(&address);
        address
            | PRESENT
            | permissions
            | if large { LARGE } else { 0 }
            | if uncached { UNCACHED } else { 0 }
    }

    fn is_present(entry: u64) -> bool {
        entry & PRESENT != 0
    }
}

/// Builds the tables: all below 4 GiB and all of `memory`, without page zero and
/// `guards`; `startup` is the one page that is both written and executed, by cores on
/// their way up.
///
/// # Errors
/// If there is no memory left.
pub fn build(
    frames: &mut Frames,
    memory: &Ranges,
    own: &Own,
    guards: impl Iterator<Item = Range>,
    startup: Range,
) -> Result<HostPhysical, OutOfMemory> {
    let mut data = memory.clone();
    let low = Range {
        start: 0,
        end: LOW_MEMORY,
    };
    data.add(low);
    data.remove(Range::new(0, PAGE_SIZE as u64));
    data.remove(own.code);
    data.remove(own.guard);
    data.remove(startup);
    for guard in guards {
        data.remove(guard);
    }
    let mut tables = Tables::<HostFormat>::new(frames)?;
    let mut map = |range: Range, access| {
        tables.map(
            frames,
            &Mapping {
                guest: GuestPhysical::new(range.start),
                host: HostPhysical::new(range.start),
                bytes: range.bytes(),
                access,
            },
        )
    };
    for range in data.iter() {
        // Memory maps of loaders may end inside a page: that page is nobody's.
        let whole = Range {
            start: range.start.next_multiple_of(PAGE_SIZE as u64),
            end: range.end & !(PAGE_SIZE as u64 - 1),
        };
        if whole.bytes() > 0 {
            map(whole, Access::ReadWrite)?;
        }
    }
    map(own.code, Access::ReadOnly)?;
    map(startup, Access::Full)?;
    Ok(tables.root())
}

/// Switches this core to the tables at `root`.
///
/// # Safety
/// They come from [`build`], and this core's stack is in what they map.
pub unsafe fn load(root: HostPhysical) {
    // SAFETY: as the caller vouches: code, data and stack stay where they are.
    unsafe { asm!("mov cr3, {}", in(reg) root.as_u64(), options(nostack, preserves_flags)) };
}
