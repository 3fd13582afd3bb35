//! The hypervisor's own page tables: memory mapped to itself, code not writable, the
//! rest not executable, and nothing at page zero or below a stack. All memory is mapped at boot;
//! once guests run, each core has tables of its own, without what is others'.
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
    /// The boot core's stack until its guest runs, with the page below it.
    pub boot_stack: Range,
}

/// Entries of the processor's own tables (AMD APM vol. 2 §5.3, Intel SDM vol. 3 §4.5).
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
            Access::ReadOnly => NO_EXECUTE,
            Access::Code => 0,
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

/// Builds the tables of boot: all below 4 GiB and all of `memory`, without page zero and
/// `guards`; `startup` is the one page that is both written and executed, by cores on
/// their way up.
///
/// # Errors
/// If there is no memory left.
pub fn of_boot(
    frames: &mut Frames,
    memory: &Ranges,
    own: &Own,
    guards: impl Iterator<Item = Range>,
    startup: Range,
) -> Result<HostPhysical, OutOfMemory> {
    let page = PAGE_SIZE as u64;
    let mut data = memory.clone();
    data.add(Range {
        start: 0,
        end: LOW_MEMORY,
    });
    data.remove(Range::new(0, page));
    data.remove(own.code);
    data.remove(Range::new(own.boot_stack.start, page));
    data.remove(startup);
    for guard in guards {
        data.remove(guard);
    }

    let mut tables = HostTables::new(frames)?;
    for range in data.iter() {
        // Memory maps of loaders may end inside a page: that page is nobody's.
        let whole = Range {
            start: range.start.next_multiple_of(page),
            end: range.end & !(page - 1),
        };
        if whole.bytes() > 0 {
            map(&mut tables, frames, whole, Access::ReadWrite)?;
        }
    }
    map(&mut tables, frames, own.code, Access::Code)?;
    map(&mut tables, frames, startup, Access::Full)?;
    Ok(tables.root())
}

/// Builds the tables of one core for when its guest runs: the hypervisor's image but for the
/// stack of boot, and `private`, what it reads and writes or only reads on this core.
///
/// # Errors
/// If there is no memory left.
pub fn of_core(
    frames: &mut Frames,
    own: &Own,
    private: &[(Range, Access)],
) -> Result<HostPhysical, OutOfMemory> {
    let mut data = Ranges::new();
    data.add(own.image);
    data.remove(own.code);
    data.remove(own.boot_stack);

    let mut tables = HostTables::new(frames)?;
    for range in data.iter() {
        map(&mut tables, frames, range, Access::ReadWrite)?;
    }
    map(&mut tables, frames, own.code, Access::Code)?;
    for &(range, access) in private {
        map(&mut tables, frames, range, access)?;
    }
    Ok(tables.root())
}

type HostTables = Tables<HostFormat>;

fn map(
    tables: &mut HostTables,
    frames: &mut Frames,
    range: Range,
    access: Access,
) -> Result<(), OutOfMemory> {
    tables.map(
        frames,
        &Mapping {
            guest: GuestPhysical::new(range.start),
            host: HostPhysical::new(range.start),
            bytes: range.bytes(),
            access,
        },
    )
}

/// Switches this core to the tables at `root`.
///
/// # Safety
/// They come from [`of_boot`], and this core's stack is in what they map.
pub unsafe fn load(root: HostPhysical) {
    // SAFETY: as the caller vouches: code, data and stack stay where they are.
    unsafe { asm!("mov cr3, {}", in(reg) root.as_u64(), options(nostack, preserves_flags)) };
}
