//! The machine's console: serial port COM1 and the debug port 0xE9 of emulators.
//! Usable from the first instruction, without memory other than the stack.
use crate::port;
use core::fmt;

const COM1: u16 = 0x3f8;
const DEBUG: u16 = 0xe9;

/// Bytes that an empty transmitter takes at once: the FIFO of a 16550, which every PC has.
pub const FIFO_BYTES: usize = 16;

/// Reads of the line status before a byte is given up: a port that is absent or stuck
/// must not stop the machine.
const MAX_WAIT: u32 = 100_000;

/// Writes to COM1 and port 0xE9. It holds no state: whoever has several cores puts it
/// behind a lock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Console;

impl Console {
    /// Programs COM1 for 115,200 baud, 8 data bits, no parity, FIFO on, no interrupts.
    ///
    /// # Safety
    /// The caller owns COM1.
    pub unsafe fn initialize(self) {
        // 16550 data sheet: IER, LCR with DLAB, divisor 1, LCR 8N1, FCR, MCR DTR+RTS.
        for (offset, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 7), (4, 3)] {
            // SAFETY: the caller owns COM1.
            unsafe { port::write_u8(COM1 + offset, value) };
        }
    }

    /// Writes one byte, waiting a bounded time for the transmitter.
    pub fn write_byte(self, byte: u8) {
        // SAFETY: console ports; a transmitter moves no data in memory.
        unsafe {
            port::write_u8(DEBUG, byte);
            for _ in 0..MAX_WAIT {
                if is_transmitter_empty() {
                    port::write_u8(COM1, byte);
                    break;
                }
            }
        }
    }

    /// Writes of `bytes` what the transmitter takes at once, if it is empty, without waiting:
    /// two reads and at most [`FIFO_BYTES`] writes of ports, and as many of the debug port where
    /// there is one. Returns whether it wrote any.
    pub fn offer(self, bytes: impl Iterator<Item = u8>) -> bool {
        if !is_transmitter_empty() {
            return false;
        }
        // SAFETY: as above. The debug port reads as its own number where it is one.
        let has_debug = unsafe { port::read_u8(DEBUG) } == DEBUG as u8;
        let mut wrote = false;
        for byte in bytes.take(FIFO_BYTES) {
            // SAFETY: as above.
            unsafe {
                if has_debug {
                    port::write_u8(DEBUG, byte);
                }
                port::write_u8(COM1, byte);
            }
            wrote = true;
        }
        wrote
    }

    /// Writes `bytes`, a carriage return before each line feed.
    pub fn write_bytes(self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.write_byte(b'\r');
            }
            self.write_byte(byte);
        }
    }
}

fn is_transmitter_empty() -> bool {
    const TRANSMITTER_EMPTY: u8 = 1 << 5;
    // SAFETY: reading the line status resets error bits, which nobody looks at.
    unsafe { port::read_u8(COM1 + 5) & TRANSMITTER_EMPTY != 0 }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_bytes(text.as_bytes());
        Ok(())
    }
}
