//! The console, shared by all cores a line at a time.
use crate::ending;
use arrayvec::ArrayVec;
use core::fmt::{self, Write};
use spin::{Mutex, MutexGuard};
use tern_machine::console::Console;

static TURN: Mutex<()> = Mutex::new(());

/// Attempts to get the console before a line is written without it: a core that died
/// with the lock must not silence the others.
const MAX_ATTEMPTS: u32 = 50_000_000;

/// Prints one line of the hypervisor's: `tern: …`.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {
        $crate::console::print_line(format_args!("tern: {}\n", format_args!($($text)*)))
    };
}

/// Prints `line` whole, without another core's output in between.
pub fn print_line(line: fmt::Arguments<'_>) {
    let turn = turn();
    if turn.is_none() && ending::is_ending() {
        ending::rest(); // the last line is being printed, or has been
    }
    // The console's writes do not fail.
    let _ = Console.write_fmt(line);
}

/// Takes the console from all other cores for good: what the caller writes is the last.
#[must_use]
pub fn keep() -> Console {
    core::mem::forget(turn());
    Console
}

fn turn() -> Option<MutexGuard<'static, ()>> {
    (0..MAX_ATTEMPTS).find_map(|_| {
        core::hint::spin_loop();
        TURN.try_lock()
    })
}

/// The line that a sandbox is writing: it is printed when complete, so that sandboxes'
/// lines do not mix.
#[derive(Clone, Debug)]
pub struct LineBuffer {
    name: &'static str,
    line: ArrayVec<u8, 256>,
}

impl LineBuffer {
    /// An empty line of the sandbox `name`.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            line: ArrayVec::new(),
        }
    }

    /// Adds `bytes`; prints each line that they complete, and a line that is too long
    /// in pieces. What is not printable ASCII becomes a question mark.
    pub fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' || self.line.is_full() {
                self.flush();
            }
            if byte != b'\n' {
                let printable = byte == b'\t' || (b' '..=b'~').contains(&byte);
                self.line.push(if printable { byte } else { b'?' });
            }
        }
    }

    /// Prints what is there of a line.
    pub fn flush(&mut self) {
        let text = core::str::from_utf8(&self.line).unwrap_or("?");
        print_line(format_args!("[{}] {text}\n", self.name));
        self.line.clear();
    }

    /// Prints an unfinished line, if there is one.
    pub fn finish(&mut self) {
        if !self.line.is_empty() {
            self.flush();
        }
    }
}
