//! Text for people: lines on the machine's console, each by one hypercall.
use crate::hypercall;
use crate::masked::Masked;
use crate::memory::layout::KERNEL_OFFSET;
use core::fmt::{self, Write};
use tern_units::GuestPhysical;

/// Longest text of one [`say!`]; what is longer is cut.
const TEXT_MAX: usize = 512;

/// A text in the kernel image, where guest-physical addresses are known.
#[derive(Debug)]
pub struct Text {
    bytes: [u8; TEXT_MAX],
    length: usize,
}

impl Text {
    /// No text.
    pub const fn new() -> Self {
        Self {
            bytes: [0; TEXT_MAX],
            length: 0,
        }
    }

    /// Formats `arguments` and a line's end into it, and writes it to the console.
    ///
    /// # Safety
    /// `self` must be part of the kernel image: a static.
    pub unsafe fn send(&mut self, arguments: fmt::Arguments<'_>) {
        self.length = 0;
        // The only error is a text that is too long; its start is worth writing.
        let _ = self.write_fmt(arguments);
        self.length = self.length.min(TEXT_MAX - 1);
        self.bytes[self.length] = b'\n';
        let at = GuestPhysical::new(self.bytes.as_ptr() as u64 - KERNEL_OFFSET);
        // SAFETY: the kernel image is the sandbox's memory.
        unsafe { hypercall::console_write(at, self.length as u64 + 1) };
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.length..];
        let count = text.len().min(room.len());
        room[..count].copy_from_slice(&text.as_bytes()[..count]);
        self.length += count;
        if count == text.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

static TEXT: Masked<Text> = Masked::new(Text::new());

/// Writes one line to the console: see [`say!`].
pub fn line(arguments: fmt::Arguments<'_>) {
    // SAFETY: TEXT is a static.
    TEXT.with(|text| unsafe { text.send(arguments) });
}

/// Writes one line to the machine's console. Formatting is a non-preemptible section:
/// for boot, faults and programs' own logs.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::console::line(format_args!($($argument)*))
    };
}
