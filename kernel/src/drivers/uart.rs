//! The registers of a 16550 serial port.
//!
//! Source: National Semiconductor PC16550D data sheet, §8.
use tern_machine::port;
use tern_trace::LineErrors;

/// Registers, as offsets from the first port.
const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;
const SCRATCH: u16 = 7;

const ENABLE_RECEIVED: u8 = 1 << 0;
const ENABLE_TRANSMITTER_EMPTY: u8 = 1 << 1;
const STATUS_RECEIVED: u8 = 1 << 0;
const STATUS_OVERRUN: u8 = 1 << 1;
const STATUS_PARITY: u8 = 1 << 2;
const STATUS_FRAMING: u8 = 1 << 3;
const STATUS_BREAK: u8 = 1 << 4;
const STATUS_TRANSMITTER_EMPTY: u8 = 1 << 5;
/// How ports read at which nothing is.
const NOTHING: u8 = 0xff;

/// Bytes that the transmitter's FIFO takes once it is empty.
pub const TRANSMIT_FIFO: usize = 16;

/// A port that the hypervisor lets this sandbox reach.
#[derive(Debug)]
pub struct Uart {
    first_port: u16,
}

/// The status of a line: reading it clears the errors that it tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineStatus(u8);

impl LineStatus {
    /// Whether it is that of a port at which nothing is, as far as this register tells.
    pub const fn may_be_nothing(self) -> bool {
        self.0 == NOTHING
    }

    /// Whether there is a received byte.
    pub const fn has_received(self) -> bool {
        self.0 & STATUS_RECEIVED != 0
    }

    /// Whether the transmitter takes [`TRANSMIT_FIFO`] bytes.
    pub const fn transmitter_is_empty(self) -> bool {
        self.0 & STATUS_TRANSMITTER_EMPTY != 0
    }

    /// Adds its errors to `errors`.
    pub fn count(self, errors: &mut LineErrors) {
        let one_if = |flag: u8| u16::from(self.0 & flag != 0);
        errors.overruns = errors.overruns.saturating_add(one_if(STATUS_OVERRUN));
        errors.parity = errors.parity.saturating_add(one_if(STATUS_PARITY));
        errors.framing = errors.framing.saturating_add(one_if(STATUS_FRAMING));
        errors.breaks = errors.breaks.saturating_add(one_if(STATUS_BREAK));
    }
}

impl Uart {
    /// The port at `first_port`.
    #[must_use]
    pub const fn new(first_port: u16) -> Self {
        Self { first_port }
    }

    /// Its first port.
    pub const fn first_port(&self) -> u16 {
        self.first_port
    }

    /// 8N1, FIFOs on and cleared, interrupt output on (OUT2), data terminal ready, request to
    /// send; no interrupts yet. The port interrupts for eight bytes, or fewer that have been
    /// there for the time of four.
    pub fn start(&self) {
        for (register, value) in [
            (INTERRUPT_ENABLE, 0),
            (LINE_CONTROL, 0x80),
            (DATA, 1),
            (INTERRUPT_ENABLE, 0),
            (LINE_CONTROL, 0x03),
            (FIFO_CONTROL, 0x87),
            (MODEM_CONTROL, 0x0b),
        ] {
            self.write(register, value);
        }
    }

    /// Whether something at the port keeps what is written to the scratch register.
    pub fn answers(&self) -> bool {
        [0x5a, 0xa5].into_iter().all(|value| {
            self.write(SCRATCH, value);
            self.read(SCRATCH) == value
        })
    }

    /// The status of the line.
    pub fn status(&self) -> LineStatus {
        LineStatus(self.read(LINE_STATUS))
    }

    /// Takes a received byte, which is there.
    pub fn receive(&self) -> u8 {
        self.read(DATA)
    }

    /// Hands a byte to the transmitter, which has room.
    pub fn send(&self, byte: u8) {
        self.write(DATA, byte);
    }

    /// Lets the port interrupt for received bytes, and with `transmit` for an empty
    /// transmitter. Its line is edge-triggered: a cause that is there already raises it, as
    /// it was low.
    pub fn listen(&self, transmit: bool) {
        let transmit = if transmit {
            ENABLE_TRANSMITTER_EMPTY
        } else {
            0
        };
        self.write(INTERRUPT_ENABLE, ENABLE_RECEIVED | transmit);
    }

    /// Keeps the port from interrupting, and its line low.
    pub fn mute(&self) {
        self.write(INTERRUPT_ENABLE, 0);
    }

    fn read(&self, register: u16) -> u8 {
        // SAFETY: the hypervisor lets only the device's owner reach its ports; a serial
        // port moves no memory.
        unsafe { port::read_u8(self.first_port + register) }
    }

    fn write(&self, register: u16, value: u8) {
        // SAFETY: as for `read`.
        unsafe { port::write_u8(self.first_port + register, value) };
    }
}
