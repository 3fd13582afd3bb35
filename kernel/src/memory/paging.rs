//! Page tables: the kernel's own half, the same in every address space, and the
//! mapping of single pages.
//!
//! Sources: Intel SDM vol. 3 §4.5, AMD APM vol. 2 §5.3.
use super::frames::{self, Frame};
use super::layout::{DIRECT_BASE, KERNEL_OFFSET, KernelImage, direct};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use tern_abi::directory::ExitReason;
use tern_abi::layout::{EXIT_COUNTS_BASE, IMAGE_BASE, TRACE_BASE};
use tern_config::partition::{STACK_BASE, STACK_PAGES, STACK_SLOT_PAGES};
use tern_units::{GuestPhysical, PAGE_SIZE};
use x86_64::structures::paging::{PageTable, PageTableFlags as Flags};

const PAGE: u64 = PAGE_SIZE as u64;
const LARGE_PAGE: u64 = 2 << 20;
/// Bits of an entry that hold the frame's address.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// A page-table entry in memory: the processor sets its accessed and dirty bits.
pub type Entry = AtomicU64;

/// What may be done with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Execute and read.
    Execute,
    /// Read.
    Read,
    /// Read and write.
    Write,
}

impl Access {
    fn flags(self) -> Flags {
        match self {
            Self::Execute => Flags::PRESENT,
            Self::Read => Flags::PRESENT | Flags::NO_EXECUTE,
            Self::Write => Flags::PRESENT | Flags::NO_EXECUTE | Flags::WRITABLE,
        }
    }
}

/// Whose pages they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The kernel's: the same in every address space.
    Kernel,
    /// A program's.
    User,
}

impl Owner {
    fn flags(self) -> Flags {
        match self {
            Self::Kernel => Flags::GLOBAL,
            Self::User => Flags::USER_ACCESSIBLE,
        }
    }
}

/// The root of an address space's page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressSpace {
    root: Frame,
}

impl AddressSpace {
    /// The kernel's own address space, with no program in it.
    ///
    /// It maps the kernel image with one permission a section, and in the direct map
    /// the sandbox's memory without execution, and without writing where the image's
    /// code and constants lie. It is not loaded yet.
    #[must_use]
    pub fn kernel(memory_bytes: u64, trace_bytes: u64, image_bytes: u64) -> Self {
        let space = Self {
            root: frames::allocate(),
        };
        let image = KernelImage::running();
        for (from, to, access) in [
            (image.text, image.rodata, Access::Execute),
            (image.rodata, image.data, Access::Read),
            (image.data, image.end, Access::Write),
        ] {
            space.map_range(KERNEL_OFFSET, from, to.as_u64() - from.as_u64(), access);
        }
        let zero = GuestPhysical::new(0);
        let rest = image.data;
        space.map_range(DIRECT_BASE, zero, image.text.as_u64(), Access::Write);
        let constant = rest.as_u64() - image.text.as_u64();
        space.map_range(DIRECT_BASE, image.text, constant, Access::Read);
        let writable = memory_bytes - rest.as_u64();
        space.map_range(DIRECT_BASE, rest, writable, Access::Write);

        space.map_range(DIRECT_BASE, TRACE_BASE, trace_bytes, Access::Write);
        space.map_range(DIRECT_BASE, IMAGE_BASE, image_bytes, Access::Read);
        let counts = size_of::<[u64; ExitReason::ALL.len()]>() as u64;
        space.map_range(DIRECT_BASE, EXIT_COUNTS_BASE, counts, Access::Read);
        // The stacks' pointers exist from the start, so that later address spaces share them.
        let _ = space.table(space.root, STACK_BASE >> 39 & 511, Owner::Kernel);
        space
    }

    /// A new address space with the kernel's half and nothing below it.
    #[must_use]
    pub fn with_kernel_of(kernel: Self) -> Self {
        let root = frames::allocate();
        for index in 256..512 {
            // SAFETY: both frames hold page tables, and an index is below 512.
            unsafe {
                let entry = entries(kernel.root).add(index).read();
                entries(root).add(index).write(entry);
            }
        }
        Self { root }
    }

    /// Its root table.
    #[must_use]
    pub fn root(self) -> GuestPhysical {
        self.root.address()
    }

    /// Maps `bytes` of guest-physical memory at `base` plus their address, for the
    /// kernel, with 2 MiB pages where alignment permits.
    pub fn map_range(self, base: u64, from: GuestPhysical, bytes: u64, access: Access) {
        let end = from.as_u64() + bytes.next_multiple_of(PAGE);
        let mut at = from.as_u64();
        while at < end {
            let large = at.is_multiple_of(LARGE_PAGE) && end - at >= LARGE_PAGE;
            let size = if large { LARGE_PAGE } else { PAGE };
            self.map(
                base + at,
                GuestPhysical::new(at),
                large,
                access,
                Owner::Kernel,
            );
            at += size;
        }
    }

    /// Maps one page for the kernel at `address`.
    pub fn map_kernel_page(self, address: u64, frame: Frame) {
        self.map(
            address,
            frame.address(),
            false,
            Access::Write,
            Owner::Kernel,
        );
    }

    /// Maps one page for a program and returns its entry, whose dirty bit the
    /// processor sets.
    pub fn map_user_page(self, address: u64, frame: Frame, access: Access) -> &'static Entry {
        self.map(address, frame.address(), false, access, Owner::User)
    }

    fn map(
        self,
        address: u64,
        to: GuestPhysical,
        large: bool,
        access: Access,
        owner: Owner,
    ) -> &'static Entry {
        let mut table = self.root;
        let last_shift = if large { 21 } else { 12 };
        for shift in [39, 30, 21, 12] {
            let index = address >> shift & 511;
            if shift == last_shift {
                let size = if large {
                    Flags::HUGE_PAGE
                } else {
                    Flags::empty()
                };
                let flags = access.flags() | owner.flags() | size;
                let entry = entry_of(table, index);
                assert!(
                    entry.load(Ordering::Relaxed) == 0,
                    "page {address:#x} is mapped twice"
                );
                entry.store(to.as_u64() | flags.bits(), Ordering::Relaxed);
                return entry;
            }
            table = self.table(table, index, owner);
        }
        unreachable!("a page is mapped at one of two levels");
    }

    /// The table below entry `index` of `table`, made if there is none.
    fn table(self, table: Frame, index: u64, owner: Owner) -> Frame {
        let entry = entry_of(table, index);
        let value = entry.load(Ordering::Relaxed);
        if value == 0 {
            let below = frames::allocate();
            let user = match owner {
                Owner::User => Flags::USER_ACCESSIBLE,
                Owner::Kernel => Flags::empty(),
            };
            let flags = Flags::PRESENT | Flags::WRITABLE | user;
            entry.store(below.address().as_u64() | flags.bits(), Ordering::Relaxed);
            return below;
        }
        assert!(
            value & Flags::HUGE_PAGE.bits() == 0,
            "a large page is in the way"
        );
        Frame::of_table(GuestPhysical::new(value & ADDRESS))
    }

    /// Loads it: flushes all translations that are not global.
    ///
    /// # Safety
    /// It must map the running code, its stack and its data as the current one does.
    #[inline]
    pub unsafe fn load(self) {
        // SAFETY: the caller vouches for the tables.
        unsafe {
            asm!("mov cr3, {}", in(reg) self.root.address().as_u64(), options(nostack, preserves_flags));
        }
    }
}

fn entries(table: Frame) -> *mut u64 {
    table.bytes().as_ptr().cast()
}

fn entry_of(table: Frame, index: u64) -> &'static Entry {
    const _: () = assert!(size_of::<PageTable>() == PAGE_SIZE);
    let index = (index & 511) as usize;
    // SAFETY: the frame holds a page table for good, in the direct map; the processor
    // writes entries too, so they are atomics.
    unsafe { Entry::from_ptr(entries(table).add(index)) }
}

/// Whether the page was written since the bit was last cleared; clears it. The
/// processor may go on without setting it again until [`flush_page`].
#[inline]
pub fn take_dirty(entry: &Entry) -> bool {
    let dirty = Flags::DIRTY.bits();
    if entry.load(Ordering::Relaxed) & dirty == 0 {
        return false;
    }
    entry.fetch_and(!dirty, Ordering::SeqCst) & dirty != 0
}

/// Forgets the translation of one page of the loaded address space.
#[inline]
pub fn flush_page(address: u64) {
    // SAFETY: INVLPG only drops a cached translation.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
}

/// A kernel stack above its guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack {
    slot: u64,
}

impl Stack {
    /// Maps the stack of `slot`, with [`STACK_PAGES`] pages.
    #[must_use]
    pub fn map(space: AddressSpace, slot: u64) -> Self {
        let stack = Self { slot };
        let bottom = stack.top() - STACK_PAGES * PAGE;
        for page in 0..STACK_PAGES {
            space.map_kernel_page(bottom + page * PAGE, frames::allocate());
        }
        stack
    }

    /// Its first address past the end, 16-byte aligned.
    #[must_use]
    pub const fn top(self) -> u64 {
        STACK_BASE + (self.slot + 1) * STACK_SLOT_PAGES * PAGE
    }

    /// Its slot.
    #[must_use]
    pub const fn slot(self) -> u64 {
        self.slot
    }

    /// The slot whose guard `address` lies in, if it lies in one.
    #[must_use]
    pub const fn guard_slot(address: u64) -> Option<u64> {
        let Some(offset) = address.checked_sub(STACK_BASE) else {
            return None;
        };
        let slot = offset / (STACK_SLOT_PAGES * PAGE);
        let within = offset % (STACK_SLOT_PAGES * PAGE);
        let guard = (STACK_SLOT_PAGES - STACK_PAGES) * PAGE;
        if slot < 4096 && within < guard {
            Some(slot)
        } else {
            None
        }
    }
}

/// The words of shared memory at guest-physical `from`, in the direct map.
#[must_use]
pub fn window(from: GuestPhysical) -> *mut u64 {
    direct(from) as *mut u64
}
