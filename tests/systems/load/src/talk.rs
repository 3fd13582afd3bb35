//! A periodic load that talks: each job does one unit of work and says which job it was, or with
//! an argument says that many long lines instead.
#![no_std]
#![no_main]

use tern_app::{Job, Program, log, program};

/// Steps of the generator in each job, as many as in one unit of the program `load`.
const STEPS: u64 = 20_000;

struct Talk {
    lines: u64,
    state: u64,
}

impl Program for Talk {
    const INITIAL: Self = Self { lines: 0, state: 1 };

    /// `argument` is the number of lines of each job; 0 stands for work and one short line.
    fn start(&mut self, argument: u64) {
        self.lines = argument;
    }

    fn job(&mut self, job: &mut Job<'_>) {
        for line in 0..self.lines {
            log!("line {line} of {}: {:->200}", self.lines, "");
        }
        if self.lines == 0 {
            let mut state = core::hint::black_box(self.state);
            for _ in 0..STEPS {
                // Marsaglia's xorshift: the compiler cannot shorten it.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
            }
            self.state = state;
            log!("job {} is done", job.input.epoch());
        }
        job.output[0] = self.state;
    }
}

program!(Talk);
