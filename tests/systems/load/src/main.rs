//! A periodic load: each job does the amount of work that its argument says, and leaves
//! a number that only that work leads to.
#![no_std]
#![no_main]

use tern_app::{Job, Program, program};

/// Steps of the generator in one unit of work: some 200,000 instructions.
const STEPS_PER_UNIT: u64 = 20_000;

struct Load {
    units: u64,
    state: u64,
}

impl Program for Load {
    const INITIAL: Self = Self { units: 0, state: 0 };

    /// `argument` is the units of work of each job; 0 stands for 1.
    fn start(&mut self, argument: u64) {
        self.units = argument.max(1);
        self.state = argument | 1;
    }

    fn job(&mut self, job: &mut Job<'_>) {
        let mut state = core::hint::black_box(self.state);
        for _ in 0..self.units.saturating_mul(STEPS_PER_UNIT) {
            // Marsaglia's xorshift: the compiler cannot shorten it.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
        }
        self.state = state;
        job.output[0] = state;
    }
}

program!(Load);
