//! The replicated program: the controller over memory of its own.
#![no_std]
#![no_main]

use tern_abi::layout::HEAP_BASE;
use tern_app::{Job, Program, program};
use tern_pendulum::{
    Controller, Entry, FILTERS, Filter, HEAP_PAGES, Input, LOG_ENTRIES, State, command, sample,
};

/// What is in the heap, whose pages are zero at the start.
#[repr(C)]
struct Heap {
    bank: [Filter; FILTERS],
    log: [Entry; LOG_ENTRIES],
}

const _: () = assert!(size_of::<Heap>() == HEAP_PAGES * 4096);

struct Pendulum {
    state: State,
}

impl Program for Pendulum {
    const INITIAL: Self = Self {
        state: State::START,
    };

    fn job(&mut self, job: &mut Job<'_>) {
        // SAFETY: the system description gives the program HEAP_PAGES pages of heap; the
        // kernel maps them writable and zeroed at HEAP_BASE, and all zeros are valid
        // filters and entries. This is the only reference, on the only thread.
        let heap = unsafe { &mut *(HEAP_BASE.as_u64() as *mut Heap) };
        let mut controller = Controller {
            state: &mut self.state,
            bank: &mut heap.bank,
            log: &mut heap.log,
        };
        let payload = job.input.payload();
        let output = controller.job(&Input {
            epoch: job.input.epoch(),
            fresh: job.input.is_fresh(),
            sample: job.input.sample(),
            position: f64::from_bits(payload[sample::POSITION]),
            angle: f64::from_bits(payload[sample::ANGLE]),
        });
        job.output[command::FORCE] = output.force.to_bits();
        job.output[command::CHECK] = output.check;
    }
}

program!(Pendulum);
