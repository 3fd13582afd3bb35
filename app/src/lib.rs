//! What a program for Tern links: its entry point, the job loop, the system calls and
//! a panic handler.
//!
//! A program is a type that implements [`Program`], named in [`program!`]. Its value is
//! a static: everything that it remembers from job to job is in there, in pages that
//! the kernel compares between replicas.
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//! struct Counter(u64);
//! impl tern_app::Program for Counter {
//!     const INITIAL: Self = Self(0);
//!     fn job(&mut self, job: &mut tern_app::Job<'_>) {
//!         self.0 += job.input.payload()[0];
//!         job.output[0] = self.0;
//!     }
//! }
//! tern_app::program!(Counter);
//! ```
#![no_std]

mod job;
pub mod system;

pub use job::{Input, Job, Program, run};
#[doc(hidden)]
pub use tern_machine as machine;

use core::cell::UnsafeCell;
use core::fmt::Write;
use core::panic::PanicInfo;

/// Status of a program that ends by a panic.
pub const PANIC_STATUS: u64 = 101;

/// Makes `$program`, a type that implements [`Program`], the program of this binary.
#[macro_export]
macro_rules! program {
    ($program:ty) => {
        $crate::machine::freestanding!();

        static PROGRAM: $crate::Place<$program> =
            $crate::Place::new(<$program as $crate::Program>::INITIAL);

        /// Where the kernel starts the program.
        #[unsafe(no_mangle)]
        extern "C" fn program_entry(argument: u64) -> ! {
            // SAFETY: the kernel enters here once, on the program's only thread.
            $crate::run(unsafe { PROGRAM.take() }, argument)
        }
    };
}

/// Where a program's value is.
#[derive(Debug)]
pub struct Place<T>(UnsafeCell<T>);

// SAFETY: a program has one thread.
unsafe impl<T> Sync for Place<T> {}

impl<T> Place<T> {
    /// A place for `value`.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The value, for good.
    ///
    /// # Safety
    /// Only once.
    #[expect(
        clippy::mut_from_ref,
        reason = "the caller vouches for being the only one"
    )]
    pub unsafe fn take(&self) -> &mut T {
        // SAFETY: the caller vouches for being the only one.
        unsafe { &mut *self.0.get() }
    }
}

/// Writes `text` to the console, formatted, cut at the longest that a log takes.
/// Replicas are refused, without effect.
#[macro_export]
macro_rules! log {
    ($($argument:tt)*) => {
        $crate::log_arguments(format_args!($($argument)*))
    };
}

#[doc(hidden)]
pub fn log_arguments(arguments: core::fmt::Arguments<'_>) {
    let mut text = system::Text::new();
    // Too long a text is cut; there is no other error.
    let _ = text.write_fmt(arguments);
    // A refusal has no effect, as documented.
    let _ = system::log(text.as_str());
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    log!("{info}");
    system::exit(PANIC_STATUS)
}
