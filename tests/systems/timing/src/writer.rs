//! A replicated program that writes to as many pages of its heap as its argument says, or as
//! the epoch says if that is zero.
#![no_std]
#![no_main]

use tern_abi::layout::HEAP_BASE;
use tern_app::{Job, Program, program};
use tern_units::PAGE_SIZE;

/// Pages written in one epoch after the other, over and over, without an argument. A
/// description gives its program as many pages of heap as the most, at least.
const PAGES: [usize; 4] = [0, 1, 16, 64];

struct Writer {
    pages: u64,
}

impl Program for Writer {
    const INITIAL: Self = Self { pages: 0 };

    fn start(&mut self, argument: u64) {
        self.pages = argument;
    }

    fn job(&mut self, job: &mut Job<'_>) {
        let epoch = job.input.epoch();
        let heap = HEAP_BASE.as_u64() as *mut u64;
        let pages = match self.pages {
            0 => PAGES[epoch as usize % PAGES.len()],
            pages => pages as usize,
        };
        for page in 0..pages {
            // SAFETY: the description gives that much heap, which nothing else uses.
            unsafe { heap.add(page * PAGE_SIZE / 8).write_volatile(epoch) };
        }
        job.output[0] = epoch;
    }
}

program!(Writer);
