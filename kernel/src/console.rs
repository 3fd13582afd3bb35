//! Text for people: lines on the machine's console, each by one hypercall that does not wait for
//! the serial line. What the line has not taken is asked for again while the core is idle.
use crate::hypercall;
use crate::memory::layout::KERNEL_OFFSET;
use crate::sync::interrupt_cell::InterruptCell;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};
use tern_units::GuestPhysical;

/// Bytes that the hypervisor has not printed yet, as far as is known.
static LEFT: AtomicU64 = AtomicU64::new(0);

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

    /// Formats `arguments` and a line's end into it.
    pub fn format(&mut self, arguments: fmt::Arguments<'_>) {
        self.length = 0;
        // The only error is a text that is too long; its start is worth writing.
        let _ = self.write_fmt(arguments);
        self.length = self.length.min(TEXT_MAX - 1);
        self.bytes[self.length] = b'\n';
        self.length += 1;
    }

    fn copy(&mut self, other: &Self) {
        self.length = other.length;
        self.bytes[..other.length].copy_from_slice(&other.bytes[..other.length]);
    }

    /// Writes it to the console.
    ///
    /// # Safety
    /// `self` must be part of the kernel image: a static.
    pub unsafe fn send(&self) {
        let at = GuestPhysical::new(self.bytes.as_ptr() as u64 - KERNEL_OFFSET);
        // SAFETY: the kernel image is the sandbox's memory.
        let left = unsafe { hypercall::console_write(at, self.length as u64) };
        LEFT.store(left, Ordering::Relaxed);
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

static TEXT: InterruptCell<Text> = InterruptCell::new(Text::new());

/// Returns whether the hypervisor has text of this sandbox's left to print.
#[inline(always)]
pub fn is_left() -> bool {
    LEFT.load(Ordering::Relaxed) > 0
}

/// Asks the hypervisor once to print on, and returns whether anything is left then.
pub fn drain() -> bool {
    LEFT.store(hypercall::console_drain(), Ordering::Relaxed);
    is_left()
}

/// The most that [`make_room`] asks for: the line takes all that the hypervisor keeps of this
/// sandbox's text in a tenth of it.
const MAX_ASKED: u32 = 10_000_000;

/// Waits until the hypervisor has printed all of this sandbox's text, so that it takes what comes
/// now. For the kernel's last words.
pub fn make_room() {
    let _ = (0..MAX_ASKED).find(|_| !drain());
}

/// Writes one line to the console: see [`say!`].
pub fn line(arguments: fmt::Arguments<'_>) {
    let mut own = Text::new();
    own.format(arguments);
    TEXT.with(|text| {
        text.copy(&own);
        // SAFETY: TEXT is a static.
        unsafe { text.send() }
    });
}

/// Writes one line to the machine's console. Not its formatting, but its hypercall is a
/// non-preemptible section: for boot, faults and programs' own logs.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::console::line(format_args!($($argument)*))
    };
}
