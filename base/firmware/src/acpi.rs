//! What the hypervisor asks of ACPI: which cores and I/O APICs there are (MADT), and which
//! ports are the firmware's, the power-management timer among them (FADT).
//!
//! A parser of these two static tables needs no interpreter, so none is carried: the
//! whole of it is bounds-checked reads. Source: ACPI specification 6.5, §§5.2.5 to
//! 5.2.12.
use crate::fadt::{self, FixedPorts};
use alloc::vec::Vec;
use arrayvec::ArrayVec;

/// The most cores that are used.
pub const MAX_CORES: usize = 64;

/// An interrupt line whose number or signalling differs from the legacy default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// The legacy line.
    pub line: u8,
    /// The global interrupt it arrives at.
    pub global: u32,
    /// Whether it is active low.
    pub active_low: bool,
    /// Whether it is level triggered.
    pub level: bool,
}

/// An I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Physical address of its registers.
    pub address: u32,
    /// First global interrupt that it serves.
    pub first_global: u32,
}

/// The power-management timer: 3,579,545 ticks a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerTimer {
    /// Its I/O port.
    pub port: u16,
}

/// What the tables say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Local APIC ids of the usable cores, in the order of the MADT: neither disabled
    /// nor named twice.
    pub cores: ArrayVec<u32, MAX_CORES>,
    /// I/O APICs.
    pub io_apics: Vec<IoApic>,
    /// Interrupt source overrides.
    pub overrides: Vec<Override>,
    /// The ports of fixed hardware, which no sandbox may have.
    pub fixed_ports: FixedPorts,
}

impl Tables {
    /// Returns the power-management timer, if there is one at an I/O port.
    #[must_use]
    pub fn timer(&self) -> Option<PowerTimer> {
        fadt::power_timer(&self.fixed_ports).map(|port| PowerTimer { port })
    }
}

/// Why the tables cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcpiError {
    /// No root pointer.
    NoRoot,
    /// A table's checksum or length is wrong.
    Damaged,
    /// There is no MADT.
    NoMadt,
}

impl core::fmt::Display for AcpiError {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str(match self {
            Self::NoRoot => {
                "no ACPI root pointer: boot through PVH or Multiboot2 with ACPI enabled"
            }
            Self::Damaged => "an ACPI table is damaged: update the firmware",
            Self::NoMadt => {
                "ACPI lists no interrupt controllers (MADT): enable the APIC in the firmware"
            }
        })
    }
}

/// Physical memory, for reading.
pub trait Memory {
    /// The bytes there; `None` if that is not readable memory.
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]>;
}

/// Reads the tables from the root pointer at `root`.
///
/// # Errors
/// If a table that is needed is absent or damaged.
pub fn read(memory: &impl Memory, root: u64) -> Result<Tables, AcpiError> {
    let pointer = memory.bytes(root, 20).ok_or(AcpiError::NoRoot)?;
    if &pointer[..8] != b"RSD PTR " || !sums_to_zero(pointer) {
        return Err(AcpiError::NoRoot);
    }
    let extended = pointer[15] >= 2;
    let (list, width) = if extended {
        let pointer = memory.bytes(root, 36).ok_or(AcpiError::NoRoot)?;
        (word(pointer, 24, 8), 8)
    } else {
        (word(pointer, 16, 4), 4)
    };
    let list = table(memory, list)?;
    let entries = list[36..]
        .chunks_exact(width)
        .map(|entry| word(entry, 0, width));
    let mut found = Tables::default();
    let mut madt_seen = false;
    for address in entries {
        match memory.bytes(address, 4) {
            Some(b"APIC") => {
                read_madt(table(memory, address)?, &mut found);
                madt_seen = true;
            }
            Some(b"FACP") => {
                found.fixed_ports = fadt::fixed_ports(table(memory, address)?);
            }
            _ => {}
        }
    }
    if madt_seen {
        Ok(found)
    } else {
        Err(AcpiError::NoMadt)
    }
}

/// The root pointer in the BIOS area of a PC, for loaders that do not pass it: on a
/// 16-byte boundary from 0xE0000 to 0xFFFFF (§5.2.5.1).
#[must_use]
pub fn find_root(memory: &impl Memory) -> Option<u64> {
    (0xe_0000..0x10_0000_u64).step_by(16).find(|&address| {
        memory
            .bytes(address, 20)
            .is_some_and(|bytes| &bytes[..8] == b"RSD PTR " && sums_to_zero(bytes))
    })
}

fn read_madt(madt: &[u8], found: &mut Tables) {
    let mut rest = madt.get(44..).unwrap_or(&[]);
    while rest.len() >= 2 {
        let length = usize::from(rest[1]);
        let Some(entry) = rest.get(..length).filter(|entry| entry.len() >= 2) else {
            return;
        };
        rest = &rest[length..];
        match (entry[0], length) {
            (0, 8..) => add_core(found, u32::from(entry[3]), word(entry, 4, 4)),
            (1, 12..) => found.io_apics.push(IoApic {
                address: word(entry, 4, 4) as u32,
                first_global: word(entry, 8, 4) as u32,
            }),
            (2, 10..) => {
                let flags = word(entry, 8, 2);
                found.overrides.push(Override {
                    line: entry[3],
                    global: word(entry, 4, 4) as u32,
                    active_low: flags & 3 == 3,
                    level: flags >> 2 & 3 == 3,
                });
            }
            (9, 16..) => add_core(found, word(entry, 4, 4) as u32, word(entry, 8, 4)),
            _ => {}
        }
    }
}

fn add_core(found: &mut Tables, id: u32, flags: u64) {
    const ENABLED: u64 = 1;
    if flags & ENABLED != 0 && !found.cores.contains(&id) {
        // Further cores stay unused.
        let _ = found.cores.try_push(id);
    }
}

/// A whole table, its length and checksum checked; at least its 36-byte header.
fn table(memory: &impl Memory, address: u64) -> Result<&[u8], AcpiError> {
    let header = memory.bytes(address, 36).ok_or(AcpiError::Damaged)?;
    let length = word(header, 4, 4) as usize;
    let whole = memory.bytes(address, length).ok_or(AcpiError::Damaged)?;
    if length < 36 || !sums_to_zero(whole) {
        return Err(AcpiError::Damaged);
    }
    Ok(whole)
}

fn sums_to_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

fn word(bytes: &[u8], at: usize, width: usize) -> u64 {
    let mut value = [0; 8];
    value[..width].copy_from_slice(&bytes[at..at + width]);
    u64::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;
    use std::vec::Vec;

    struct Flat(Vec<u8>);

    impl Memory for Flat {
        fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
            let start = usize::try_from(address).ok()?;
            self.0.get(start..start.checked_add(length)?)
        }
    }

    fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
        bytes[at..at + value.len()].copy_from_slice(value);
    }

    fn seal(bytes: &mut [u8], checksum: usize) {
        let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        bytes[checksum] = bytes[checksum].wrapping_sub(sum);
    }

    /// Version 2 root pointer at 0, XSDT at 64, MADT at 256, FADT at 512.
    fn machine(madt_entries: &[&[u8]]) -> Flat {
        let mut bytes = vec![0; 1024];
        put(&mut bytes, 0, b"RSD PTR ");
        bytes[15] = 2;
        put(&mut bytes, 24, &64_u64.to_le_bytes());
        seal(&mut bytes[..20], 8);
        put(&mut bytes, 64, b"XSDT");
        put(&mut bytes, 68, &52_u32.to_le_bytes());
        put(&mut bytes, 100, &256_u64.to_le_bytes());
        put(&mut bytes, 108, &512_u64.to_le_bytes());
        seal(&mut bytes[64..116], 9);
        let entries: Vec<u8> = madt_entries.concat();
        let length = 44 + entries.len();
        put(&mut bytes, 256, b"APIC");
        put(&mut bytes, 260, &(length as u32).to_le_bytes());
        put(&mut bytes, 300, &entries);
        seal(&mut bytes[256..256 + length], 9);
        put(&mut bytes, 512, b"FACP");
        put(&mut bytes, 516, &116_u32.to_le_bytes());
        put(&mut bytes, 588, &0x608_u32.to_le_bytes());
        seal(&mut bytes[512..628], 9);
        Flat(bytes)
    }

    #[test]
    fn cores_that_are_disabled_or_named_twice_do_not_count() {
        let tables = read(
            &machine(&[
                &[0, 8, 0, 4, 1, 0, 0, 0],
                &[0, 8, 1, 5, 0, 0, 0, 0],
                &[0, 8, 2, 4, 1, 0, 0, 0],
                &[0, 8, 3, 2, 1, 0, 0, 0],
                &[9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0],
            ]),
            0,
        )
        .unwrap();
        assert_eq!(tables.cores[..], [4, 2, 256]);
        assert_eq!(tables.timer(), Some(PowerTimer { port: 0x608 }));
    }

    #[test]
    fn io_apics_and_overrides_are_found() {
        let tables = read(
            &machine(&[
                &[1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0],
                &[2, 10, 0, 9, 20, 0, 0, 0, 0xf, 0],
                &[2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
            ]),
            0,
        )
        .unwrap();
        assert_eq!(
            tables.io_apics,
            [IoApic {
                address: 0xfec0_0000,
                first_global: 0
            }]
        );
        assert_eq!(
            tables.overrides,
            [
                Override {
                    line: 9,
                    global: 20,
                    active_low: true,
                    level: true
                },
                Override {
                    line: 0,
                    global: 2,
                    active_low: false,
                    level: false
                },
            ]
        );
    }

    #[test]
    fn damage_is_found_and_bad_entry_lengths_end_the_list() {
        let mut damaged = machine(&[]);
        damaged.0[262] ^= 1;
        assert_eq!(read(&damaged, 0), Err(AcpiError::Damaged));
        assert_eq!(read(&Flat(vec![0; 64]), 0), Err(AcpiError::NoRoot));
        let endless = machine(&[&[0, 0, 0, 0], &[0, 8, 0, 4, 1, 0, 0, 0]]);
        assert!(read(&endless, 0).unwrap().cores.is_empty());
        let overlong = machine(&[&[0, 200, 0, 4]]);
        assert!(read(&overlong, 0).unwrap().cores.is_empty());
    }
}
