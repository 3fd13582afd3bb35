//! The job loop, and what a job gets and gives.
use crate::system;
use tern_abi::layout::{INPUT_PAGE, OUTPUT_PAGE};
use tern_abi::system_call::{MESSAGE_WORDS, input, output};
use tern_units::{Instant, PAGE_SIZE};

/// A periodic program.
pub trait Program {
    /// Its state before it starts. All zero costs no room in the file.
    const INITIAL: Self;

    /// Called once, as part of the first job, with the argument of the system
    /// description.
    fn start(&mut self, argument: u64) {
        let _ = argument;
    }

    /// One job: called at each release.
    fn job(&mut self, job: &mut Job<'_>);
}

/// What a job gets: frozen at its release, the same for all replicas.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    words: &'a [u64; PAGE_SIZE / 8],
}

impl<'a> Input<'a> {
    /// The epoch: the number of this release, from zero.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.words[input::EPOCH]
    }

    /// The time of this release: the only time that a job sees.
    #[must_use]
    pub const fn release_time(&self) -> Instant {
        Instant::from_nanos(self.words[input::RELEASE_TIME])
    }

    /// Whether the sample is the one asked for; else it came late and the last one stands.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        self.words[input::FRESH] == 1
    }

    /// Number of the sample that the payload holds; zero before the first.
    #[must_use]
    pub const fn sample(&self) -> u64 {
        self.words[input::SAMPLE]
    }

    /// What the device said.
    #[must_use]
    pub fn payload(&self) -> &'a [u64; MESSAGE_WORDS] {
        match self.words[input::PAYLOAD..].first_chunk() {
            Some(payload) => payload,
            None => unreachable!(),
        }
    }
}

/// One job.
#[derive(Debug)]
pub struct Job<'a> {
    /// What it gets.
    pub input: Input<'a>,
    /// What it leaves for the device. It keeps what the last job left.
    pub output: &'a mut [u64; MESSAGE_WORDS],
}

/// Runs a program's jobs for good.
pub fn run<P: Program>(program: &mut P, argument: u64) -> ! {
    program.start(argument);
    loop {
        // SAFETY: the kernel maps both pages for good; it changes the input page only
        // between jobs, when neither is borrowed.
        let mut job = unsafe {
            Job {
                input: Input {
                    words: &*(INPUT_PAGE.as_u64() as *const [u64; PAGE_SIZE / 8]),
                },
                output: &mut *(OUTPUT_PAGE.as_u64() as *mut u64)
                    .add(output::PAYLOAD)
                    .cast::<[u64; MESSAGE_WORDS]>(),
            }
        };
        program.job(&mut job);
        system::job_done();
    }
}
