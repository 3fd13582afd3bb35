//! A periodic load in the finest units: each job does as many steps as its argument says, some
//! ten instructions each, and leaves a number that only they lead to.
#![no_std]
#![no_main]

use tern_app::{Job, Program, program};

struct Steps {
    steps: u64,
    state: u64,
}

impl Program for Steps {
    const INITIAL: Self = Self { steps: 0, state: 0 };

    /// `argument` is the steps of each job.
    fn start(&mut self, argument: u64) {
        self.steps = argument;
        self.state = argument | 1;
    }

    fn job(&mut self, job: &mut Job<'_>) {
        let mut state = core::hint::black_box(self.state);
        for _ in 0..self.steps {
            // Marsaglia's xorshift: the compiler cannot shorten it.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
        }
        self.state = state;
        job.output[0] = state;
    }
}

program!(Steps);
