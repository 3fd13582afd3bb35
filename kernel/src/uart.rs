//! The registers of a 16550 serial port.
//!
//! Source: National Semiconductor PC16550D data sheet, §8.
use tern_machine::port;

/// Registers, as offsets from the first port.
const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const INTERRUPT_IDENTIFICATION: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;

const ENABLE_RECEIVED: u8 = 1 << 0;
const ENABLE_TRANSMITTER_EMPTY: u8 = 1 << 1;
const NO_INTERRUPT_PENDING: u8 = 1 << 0;
const STATUS_RECEIVED: u8 = 1 << 0;
const STATUS_TRANSMITTER_EMPTY: u8 = 1 << 5;

/// Bytes that the transmitter's FIFO takes once it is empty.
pub const TRANSMIT_FIFO: usize = 16;

/// A port that the hypervisor lets this sandbox reach.
#[derive(Debug)]
pub struct Uart {
    first_port: u16,
}

impl Uart {
    /// The port at `first_port`.
    #[must_use]
    pub const fn new(first_port: u16) -> Self {
        Self { first_port }
    }

    /// 8N1, FIFOs on and cleared with a trigger level of 1 byte, interrupt output on
    /// (OUT2), data terminal ready, request to send; no interrupts yet.
    pub fn start(&self) {
        for (register, value) in [
            (INTERRUPT_ENABLE, 0),
            (LINE_CONTROL, 0x80),
            (DATA, 1),
            (INTERRUPT_ENABLE, 0),
            (LINE_CONTROL, 0x03),
            (FIFO_CONTROL, 0x07),
            (MODEM_CONTROL, 0x0b),
        ] {
            self.write(register, value);
        }
    }

    /// Takes a received byte, if there is one.
    pub fn receive(&self) -> Option<u8> {
        self.has_received().then(|| self.read(DATA))
    }

    fn has_received(&self) -> bool {
        self.read(LINE_STATUS) & STATUS_RECEIVED != 0
    }

    /// Whether the transmitter takes [`TRANSMIT_FIFO`] bytes.
    pub fn transmitter_is_empty(&self) -> bool {
        self.read(LINE_STATUS) & STATUS_TRANSMITTER_EMPTY != 0
    }

    /// Hands a byte to the transmitter, which has room.
    pub fn send(&self, byte: u8) {
        self.write(DATA, byte);
    }

    /// Lets the port interrupt for received bytes, and with `transmit` for an empty
    /// transmitter. Whether it has nothing to say yet: its line is edge-triggered, and only
    /// once no cause is pending does the next one interrupt.
    pub fn listen(&self, transmit: bool) -> bool {
        let transmit = if transmit {
            ENABLE_TRANSMITTER_EMPTY
        } else {
            0
        };
        self.write(INTERRUPT_ENABLE, ENABLE_RECEIVED | transmit);
        self.read(INTERRUPT_IDENTIFICATION) & NO_INTERRUPT_PENDING != 0 && !self.has_received()
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
