//! Who gets which memory, and where a sandbox sees it: computed from the description alone, and
//! carried out by the hypervisor.
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use tern_abi::directory::ExitReason;
use tern_abi::layout::{
    CHANNEL_BASE, EXIT_COUNTS_BASE, HEAP_BASE, IMAGE_BASE, OUTPUT_PAGE, PROGRAM_BASE, STACK_TOP,
    TRACE_BASE,
};
use tern_units::{GuestPhysical, PAGE_SIZE};

use crate::heap::{kernel_heap, private_pages};
use crate::layout::{LARGE_PAGE, channel_address};
use crate::limits::MEMORY_MAX;
use crate::program::Shape;
use crate::system::{Runs, Sandbox, System};

const PAGE: u64 = PAGE_SIZE as u64;

/// Where the sandbox kernel is loaded.
pub const KERNEL_START: u64 = LARGE_PAGE;
/// First address of the kernel's stacks, each above a guard.
pub const STACK_BASE: u64 = 0xffff_a000_0000_0000;
/// Pages of a stack.
pub const STACK_PAGES: u64 = 8;
/// Pages from one stack's slot to the next: the guard below a stack takes the rest.
pub const STACK_SLOT_PAGES: u64 = 16;
/// Stack slots of the handlers; the threads' follow.
pub const HANDLER_STACKS: u64 = 5;

/// Something that a sandbox sees in its guest-physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Where it begins.
    pub guest: GuestPhysical,
    /// Its size, in whole pages.
    pub bytes: u64,
    /// What the sandbox sees there, and may do with it.
    pub view: View,
}

/// What a sandbox sees in a window, and what it may do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Its own memory: read, write, execute.
    Memory,
    /// The system image: read.
    Image,
    /// The counts of its exits: read.
    ExitCounts,
    /// Its trace ring: read, write.
    Trace,
    /// The channel of this index: read, and write if it is the writer.
    Channel {
        /// Index into [`System::channels`].
        index: u32,
        /// Whether the sandbox writes it.
        is_writer: bool,
    },
    /// One half of the sealed channel of this index: read, and write if it is the writer and the
    /// half is open.
    Half {
        /// Index into [`System::channels`].
        index: u32,
        /// 0 or 1.
        half: usize,
        /// Whether the sandbox writes it.
        is_writer: bool,
    },
    /// The word of the seal of the sealed channel of this index: read.
    Seal {
        /// Index into [`System::channels`].
        index: u32,
    },
}

/// Why memory cannot be divided as a description wants it. Each prints as one line that says
/// what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// A sandbox's memory is missing, not in whole large pages, or beyond the limit.
    Memory {
        /// The sandbox.
        sandbox: String,
    },
    /// A channel is outside the place for channels.
    Channels,
}

impl fmt::Display for PlanError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { sandbox } => write!(
                out,
                "sandbox \"{sandbox}\": memory must be a multiple of 2 MiB, at most {} MiB",
                MEMORY_MAX >> 20
            ),
            Self::Channels => {
                out.write_str("the channels do not fit the address space: make them smaller")
            }
        }
    }
}

impl core::error::Error for PlanError {}

/// The windows of the sandbox at `index`, with an image of this size: its memory first.
///
/// # Errors
/// If there is no way to divide memory so.
pub fn windows(system: &System, index: usize, image_bytes: u64) -> Result<Vec<Window>, PlanError> {
    let sandbox = &system.sandboxes[index];
    let memory = sandbox.memory_bytes;
    if memory == 0 || !memory.is_multiple_of(LARGE_PAGE) || memory > MEMORY_MAX {
        return Err(PlanError::Memory {
            sandbox: sandbox.name.clone(),
        });
    }
    let window = |guest, bytes: u64, view| Window {
        guest,
        bytes: bytes.next_multiple_of(PAGE),
        view,
    };
    let counts = size_of::<[u64; ExitReason::ALL.len()]>() as u64;
    let mut windows = Vec::from([
        window(GuestPhysical::new(0), memory, View::Memory),
        window(IMAGE_BASE, image_bytes, View::Image),
        window(EXIT_COUNTS_BASE, counts, View::ExitCounts),
    ]);
    if system.trace_window() > 0 {
        windows.push(window(TRACE_BASE, system.trace_window(), View::Trace));
    }
    let own = index as u32;
    for (channel, index) in system.channels.iter().zip(0..) {
        let guest = channel_address(system, index as usize).ok_or(PlanError::Channels)?;
        let end = guest
            .checked_add(channel.memory_bytes())
            .ok_or(PlanError::Channels)?;
        if guest < CHANNEL_BASE || end > TRACE_BASE {
            return Err(PlanError::Channels);
        }
        let is_writer = channel.writer == own;
        if !is_writer && !channel.readers.contains(&own) {
            continue;
        }
        if channel.seal.is_none() {
            let view = View::Channel { index, is_writer };
            windows.push(window(guest, channel.bytes, view));
            continue;
        }
        let at = |offset| guest.checked_add(offset).ok_or(PlanError::Channels);
        for half in [0, 1] {
            let view = View::Half {
                index,
                half,
                is_writer,
            };
            windows.push(window(at(channel.half_offset(half))?, channel.bytes, view));
        }
        let view = View::Seal { index };
        windows.push(window(at(channel.seal_offset())?, PAGE, view));
    }
    Ok(windows)
}

/// Files of an image, by what they take in memory.
pub trait Files {
    /// The shape of a file; the least that one has, if it is not at hand.
    fn shape(&self, file: &str) -> Shape;
    /// The size of the whole image, or the least that there is.
    fn image_bytes(&self) -> u64;
}

/// No file at hand: each counts as the smallest that there is.
#[derive(Clone, Copy, Debug)]
pub struct NoFiles;

impl Files for NoFiles {
    fn shape(&self, _: &str) -> Shape {
        Shape {
            pages: 1,
            tables: 1,
            end: KERNEL_START + PAGE,
        }
    }

    fn image_bytes(&self) -> u64 {
        PAGE
    }
}

/// Bytes of memory that a sandbox with the sandbox kernel takes: the kernel's image and what is
/// below it, heap, page tables, stacks, and the programs' pages.
///
/// # Errors
/// As [`windows`].
pub fn memory_needed(system: &System, index: usize, files: &impl Files) -> Result<u64, PlanError> {
    let sandbox = &system.sandboxes[index];
    let kernel_end = files.shape(&sandbox.kernel).end.next_multiple_of(PAGE);
    let heap = kernel_heap(system, index, |file| files.shape(file).pages);
    let threads = sandbox.threads().count() as u64;
    let stacks = HANDLER_STACKS + threads;
    let mut tables = Tables::default();
    for window in windows(system, index, files.image_bytes())? {
        // The kernel does not map the sandbox's memory around its own image with large pages.
        let small = match window.view {
            View::Memory => KERNEL_START..kernel_end.next_multiple_of(LARGE_PAGE),
            View::Image
            | View::ExitCounts
            | View::Trace
            | View::Channel { .. }
            | View::Half { .. }
            | View::Seal { .. } => 0..0,
        };
        tables.map(DIRECT, window.guest.as_u64(), window.bytes, &small);
    }
    tables.map_small(IMAGE, KERNEL_START, kernel_end - KERNEL_START);
    tables.map_small(STACKS, 0, stacks * STACK_SLOT_PAGES * PAGE);
    let programs = sandbox.threads().map(|(_, _, thread)| {
        let pages = private_pages(system, &thread.runs, |file| files.shape(file).pages);
        match pages {
            0 => 0,
            // Its input page is one more.
            pages => pages + 1 + program_tables(system, &thread.runs, files),
        }
    });
    let pages = programs
        .fold(0, u64::saturating_add)
        .saturating_add(tables.count())
        .saturating_add(stacks * STACK_PAGES);
    Ok(pages
        .saturating_mul(PAGE)
        .saturating_add(heap)
        .saturating_add(kernel_end))
}

/// Page tables of a program's own: the root, one of pointers, two directories, and those of its
/// segments, heap, input and output, and stack.
fn program_tables(system: &System, runs: &Runs, files: &impl Files) -> u64 {
    const {
        assert!(PROGRAM_BASE.as_u64() >> 30 == HEAP_BASE.as_u64() >> 30);
        assert!(OUTPUT_PAGE.as_u64() >> 30 == (STACK_TOP.as_u64() - 1) >> 30);
    }
    let (file, heap, stack) = match runs {
        Runs::Program {
            file,
            heap_pages,
            stack_pages,
            ..
        } => (file, *heap_pages, *stack_pages),
        Runs::Replica(set) => {
            let set = &system.replica_sets[*set as usize];
            (&set.program, set.heap_pages, set.stack_pages)
        }
        Runs::Nothing | Runs::Voter(_) | Runs::Driver(_) => return 0,
    };
    let in_table = LARGE_PAGE / PAGE;
    let tables = |pages: u32| u64::from(pages).div_ceil(in_table);
    4 + files.shape(file).tables + tables(heap) + 1 + tables(stack)
}

/// Where the kernel's half of the address space has what, as numbers of its places of 512 GiB.
const DIRECT: u64 = 256;
const STACKS: u64 = 320;
const IMAGE: u64 = 511;

/// The page tables of the kernel's half, by level and by what each covers.
#[derive(Default)]
struct Tables(BTreeSet<(u32, u64)>);

impl Tables {
    /// Maps `bytes` from `at`, in the place of this number: with large pages wherever they may
    /// be, but not in `small`.
    fn map(&mut self, place: u64, at: u64, bytes: u64, small: &core::ops::Range<u64>) {
        let end = at + bytes;
        let mut from = at;
        while from < end {
            let is_large = from.is_multiple_of(LARGE_PAGE)
                && end - from >= LARGE_PAGE
                && !small.contains(&from);
            let to = (from / LARGE_PAGE + 1) * LARGE_PAGE;
            if !is_large {
                self.0.insert((0, (place << 18) + from / LARGE_PAGE));
            }
            self.above(place, from);
            from = to.min(end);
        }
    }

    fn map_small(&mut self, place: u64, at: u64, bytes: u64) {
        self.map(place, at, bytes, &(at..at + bytes));
    }

    /// The tables that lead to an address.
    fn above(&mut self, place: u64, at: u64) {
        self.0.insert((1, (place << 9) + (at >> 30)));
        self.0.insert((2, place + (at >> 39)));
    }

    /// All of them, with the root.
    fn count(&self) -> u64 {
        self.0.len() as u64 + 1
    }
}

/// Whether a sandbox boots the sandbox kernel: of another guest nobody knows what it takes.
#[must_use]
pub fn has_own_kernel(sandbox: &Sandbox) -> bool {
    sandbox.kernel == "tern-kernel"
}
