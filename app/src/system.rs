//! The system calls: see `tern_abi::system_call`.
use core::arch::asm;
use core::fmt;
use tern_abi::system_call::{LOG_MAX, SystemCall, SystemCallError};

/// Makes a system call; negative results are errors.
fn call(number: SystemCall, first: u64, second: u64) -> i64 {
    let result: i64;
    // SAFETY: the kernel changes RAX, RCX, R11, and at a job's end the input page.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as u64 => result,
            in("rdi") first,
            in("rsi") second,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack)
        );
    }
    result
}

/// Ends the job; returns at the next release, with its epoch.
pub fn job_done() -> u64 {
    call(SystemCall::JobDone, 0, 0) as u64
}

/// Writes `text`, or what of it whole characters fit into [`LOG_MAX`] bytes, to the console.
///
/// # Errors
/// [`SystemCallError::NotPermitted`] to replicas of a voted program.
pub fn log(text: &str) -> Result<(), SystemCallError> {
    let text = beginning(text, LOG_MAX as usize);
    match call(SystemCall::Log, text.as_ptr() as u64, text.len() as u64) {
        0 => Ok(()),
        value if value == SystemCallError::NotPermitted as i64 => {
            Err(SystemCallError::NotPermitted)
        }
        value if value == SystemCallError::UnknownNumber as i64 => {
            Err(SystemCallError::UnknownNumber)
        }
        _ => Err(SystemCallError::BadArgument),
    }
}

/// The longest beginning of `text` of whole characters in at most `bytes` bytes: the kernel
/// refuses part of one.
fn beginning(text: &str, bytes: usize) -> &str {
    let mut ends = (0..=text.len().min(bytes)).rev();
    let end = ends.find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// Ends the program for good.
pub fn exit(status: u64) -> ! {
    call(SystemCall::Exit, status, 0);
    // The kernel does not come back from it.
    loop {
        core::hint::spin_loop();
    }
}

/// Does nothing: the smallest round trip, for measuring.
pub fn null() {
    call(SystemCall::Null, 0, 0);
}

/// Lets the other runnable threads of its server run first.
pub fn give_way() {
    call(SystemCall::GiveWay, 0, 0);
}

/// A text of the longest that a log takes.
#[derive(Debug)]
pub struct Text {
    bytes: [u8; LOG_MAX as usize],
    length: usize,
}

impl Text {
    /// No text.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; LOG_MAX as usize],
            length: 0,
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or("")
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LOG_MAX as usize - self.length;
        let fitting = beginning(text, room);
        let end = self.length + fitting.len();
        self.bytes[self.length..end].copy_from_slice(fitting.as_bytes());
        self.length = end;
        if fitting.len() == text.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}
