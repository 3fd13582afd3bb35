//! The plant as a program, for a sandbox that stands for the world outside: its inputs are
//! the controller's outputs, its outputs the samples. Its argument is the seed.
#![no_std]
#![no_main]

use tern_app::{Job, Program, program};
use tern_pendulum::{Pendulum, plant};

struct Plant(Option<Pendulum>);

impl Program for Plant {
    const INITIAL: Self = Self(None);

    fn start(&mut self, seed: u64) {
        self.0 = Some(Pendulum::new(seed));
    }

    fn job(&mut self, job: &mut Job<'_>) {
        let output = job.input.is_fresh().then(|| job.input.payload());
        if let Some(pendulum) = &mut self.0 {
            *job.output = plant::words(pendulum.answer(output));
        }
    }
}

program!(Plant);
