//! Whether a serial port is one: a device shows that it is a 16550 before a sandbox gets its
//! ports, because another device there could reach what is not the sandbox's.
//!
//! Source: National Semiconductor PC16550D data sheet, §8.
use bit_field::BitField;

const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const INTERRUPT_IDENTIFICATION: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;
const MODEM_STATUS: u16 = 6;
const SCRATCH: u16 = 7;

/// Reads of the line's status in which a transmitter that the firmware left busy comes to rest.
const MAX_READS: u32 = 100_000;

/// Ports of a device, by their offset from its first one.
pub trait Ports {
    /// Reads a port.
    fn read(&mut self, offset: u16) -> u8;
    /// Writes a port.
    fn write(&mut self, offset: u16, value: u8);
}

/// A device's answer to [`identify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A 16550 with its FIFOs.
    Uart,
    /// No device: every port reads as ones.
    Absent,
    /// Something else.
    Other,
}

/// Asks the device at eight `ports` what it is, and leaves a serial port with interrupts and
/// FIFOs off.
///
/// Nothing is written where the ports read as no serial port's could, so that another device is
/// left as it is.
pub fn identify(ports: &mut impl Ports) -> Identity {
    if (0..=SCRATCH).all(|offset| ports.read(offset) == 0xff) {
        return Identity::Absent;
    }
    // Whatever the firmware has left: these bits read as zero in every 16550, and its transmitter
    // is empty soon.
    let interrupts = ports.read(INTERRUPT_IDENTIFICATION);
    if interrupts.get_bits(4..6) != 0 || ports.read(MODEM_CONTROL).get_bits(5..8) != 0 {
        return Identity::Other;
    }
    if (0..MAX_READS).all(|_| ports.read(LINE_STATUS).get_bits(5..7) != 3) {
        return Identity::Other;
    }

    // Data bits 8, and the divisor's registers away, or the next test would see those.
    ports.write(LINE_CONTROL, 3);
    ports.write(INTERRUPT_ENABLE, 0);
    if ports.read(INTERRUPT_ENABLE) != 0 {
        return Identity::Other;
    }
    let keeps = |ports: &mut _, value| {
        Ports::write(ports, SCRATCH, value);
        Ports::read(ports, SCRATCH) == value
    };
    if !(keeps(ports, 0x5a) && keeps(ports, 0xa5)) {
        return Identity::Other;
    }
    if !loops_back(ports) || !has_fifos(ports) {
        return Identity::Other;
    }
    Identity::Uart
}

/// Whether the modem's outputs come back as its inputs in loop mode (§8.6.7): nothing but a
/// serial port has that wiring.
fn loops_back(ports: &mut impl Ports) -> bool {
    const LOOP: u8 = 1 << 4;
    let wired = (0..16).all(|outputs: u8| {
        ports.write(MODEM_CONTROL, LOOP | outputs);
        let inputs = ports.read(MODEM_STATUS);
        // DTR, RTS, OUT1, OUT2 come back at DSR, CTS, RI, DCD.
        let pairs = [(0, 5), (1, 4), (2, 6), (3, 7)];
        let comes_back = |&(output, input)| outputs.get_bit(output) == inputs.get_bit(input);
        pairs.iter().all(comes_back)
    });
    ports.write(MODEM_CONTROL, 0);
    wired
}

/// Whether the FIFOs turn on and off (§8.4, §8.5).
fn has_fifos(ports: &mut impl Ports) -> bool {
    let mut identification = |control| {
        ports.write(FIFO_CONTROL, control);
        ports.read(INTERRUPT_IDENTIFICATION).get_bits(6..8)
    };
    identification(1) == 3 && identification(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 16550 as far as [`identify`] looks at it, with faults of others.
    #[derive(Clone, Copy, Default)]
    struct Model {
        registers: [u8; 8],
        divisor: u8,
        fifos: bool,
        /// No scratch register, as in an 8250.
        forgets: bool,
        /// No loop mode.
        open: bool,
        /// FIFOs that do not work, as in a 16550 without the A.
        broken: bool,
    }

    impl Ports for Model {
        fn read(&mut self, offset: u16) -> u8 {
            let control = self.registers[usize::from(MODEM_CONTROL)];
            match offset {
                INTERRUPT_ENABLE if self.registers[3].get_bit(7) => self.divisor,
                INTERRUPT_IDENTIFICATION if self.fifos => 0xc1,
                INTERRUPT_IDENTIFICATION => 1,
                MODEM_STATUS if control.get_bit(4) && !self.open => {
                    control.get_bits(0..1) << 5
                        | control.get_bits(1..2) << 4
                        | control.get_bits(2..4) << 6
                }
                LINE_STATUS => 0x60,
                MODEM_STATUS => 0xb0,
                SCRATCH if self.forgets => 0xff,
                _ => self.registers[usize::from(offset)],
            }
        }

        fn write(&mut self, offset: u16, value: u8) {
            match offset {
                INTERRUPT_ENABLE if self.registers[3].get_bit(7) => self.divisor = value,
                FIFO_CONTROL => self.fifos = value.get_bit(0) && !self.broken,
                _ => self.registers[usize::from(offset)] = value,
            }
        }
    }

    /// Ports that read as they were written, or always the same; counts writes.
    struct Plain {
        bytes: [u8; 8],
        keeps: bool,
        writes: usize,
    }

    impl Ports for Plain {
        fn read(&mut self, offset: u16) -> u8 {
            self.bytes[usize::from(offset)]
        }

        fn write(&mut self, offset: u16, value: u8) {
            self.writes += 1;
            if self.keeps {
                self.bytes[usize::from(offset)] = value;
            }
        }
    }

    #[test]
    fn a_16550_is_known_in_whatever_state_the_firmware_left_it() {
        for left in [
            Model::default(),
            Model {
                fifos: true,
                ..Model::default()
            },
            Model {
                registers: [0x41, 0x0f, 0, 0x83, 0x0b, 0x60, 0xb0, 0x77],
                divisor: 0x0c,
                ..Model::default()
            },
        ] {
            let mut ports = left;
            assert_eq!(identify(&mut ports), Identity::Uart);
            assert!(!ports.fifos && ports.read(INTERRUPT_ENABLE) == 0, "left on");
        }
    }

    #[test]
    fn what_is_nearly_a_16550_is_none() {
        let forgets = Model {
            forgets: true,
            ..Model::default()
        };
        let open = Model {
            open: true,
            ..Model::default()
        };
        let broken = Model {
            broken: true,
            ..Model::default()
        };
        for mut ports in [forgets, open, broken] {
            assert_eq!(identify(&mut ports), Identity::Other);
        }
    }

    #[test]
    fn empty_ports_are_absent_and_other_devices_are_told_apart_from_both() {
        for (byte, keeps, identity) in [
            (0xff, false, Identity::Absent),
            (0xff, true, Identity::Absent),
            (0x00, false, Identity::Other),
            (0x00, true, Identity::Other),
            (0xaa, true, Identity::Other),
        ] {
            let mut ports = Plain {
                bytes: [byte; 8],
                keeps,
                writes: 0,
            };
            assert_eq!(identify(&mut ports), identity, "{byte:#x}");
            assert_eq!(ports.writes, 0, "{byte:#x}: written to");
        }
    }
}
