//! Device interrupts: each line goes to the one core whose sandbox owns the device, or
//! nowhere.
//!
//! Source: Intel 82093AA data sheet, §3.
use bit_field::BitField;
use core::fmt;
use core::ops::Range;
use core::ptr;
use spin::Mutex;
use tern_abi::layout::DEVICE_VECTOR_BASE;
use tern_firmware::acpi::{IoApic, Override, Tables};

const REGISTER_VERSION: u32 = 1;
const REGISTER_REDIRECTION: u32 = 0x10;

/// Bits of a redirection entry (§3.2.4): vector, polarity, trigger mode, mask, destination.
const VECTOR: Range<usize> = 0..8;
const ACTIVE_LOW: usize = 13;
const LEVEL: usize = 15;
const MASK: usize = 16;
const DESTINATION: Range<usize> = 56..64;
/// An entry that delivers nothing.
const MASKED: u64 = 1 << MASK;

/// Why a line cannot be routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// No I/O APIC serves it.
    NoSuchLine,
    /// An I/O APIC cannot name the core with this APIC id.
    OutOfReach(u32),
}

impl fmt::Display for RouteError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchLine => out.write_str("no I/O APIC serves it: correct the description"),
            Self::OutOfReach(core) => write!(
                out,
                "no I/O APIC reaches the core with APIC id {core}: put the sandbox on another core"
            ),
        }
    }
}

/// Masks every input of every I/O APIC.
///
/// # Safety
/// The hypervisor owns the I/O APICs, and their registers are mapped to themselves.
pub unsafe fn mask_all(tables: &Tables) {
    for controller in &tables.io_apics {
        // SAFETY: as the caller vouches.
        unsafe {
            for input in 0..inputs(controller) {
                write_redirection(controller, input, MASKED);
            }
        }
    }
}

/// Routes the legacy interrupt `line` to the core with APIC id `core`, at vector
/// [`DEVICE_VECTOR_BASE`] plus the line; masked if `core` is `None`.
///
/// # Errors
/// If no I/O APIC serves it, or reaches the core.
///
/// # Safety
/// As for [`mask_all`].
pub unsafe fn route(tables: &Tables, line: u8, core: Option<u32>) -> Result<(), RouteError> {
    let special = tables.overrides.iter().find(|entry| entry.line == line);
    let global = special.map_or(u32::from(line), |entry| entry.global);
    // SAFETY: as the caller vouches.
    let serves = |controller: &&IoApic| unsafe {
        let end = controller.first_global + inputs(controller);
        (controller.first_global..end).contains(&global)
    };
    let controller = tables
        .io_apics
        .iter()
        .find(serves)
        .ok_or(RouteError::NoSuchLine)?;
    let entry = match core {
        Some(core) => entry_to(core, DEVICE_VECTOR_BASE + line, special)?,
        None => MASKED,
    };
    // SAFETY: as the caller vouches.
    unsafe { write_redirection(controller, global - controller.first_global, entry) };
    Ok(())
}

/// The entry that delivers `vector` to the core with this APIC id, whose bits are eight without
/// interrupt remapping, of which all ones are all cores.
fn entry_to(core: u32, vector: u8, special: Option<&Override>) -> Result<u64, RouteError> {
    const ALL: u32 = 0xff;
    if core >= ALL {
        return Err(RouteError::OutOfReach(core));
    }
    let mut entry = 0;
    entry.set_bits(VECTOR, vector.into());
    entry.set_bits(DESTINATION, core.into());
    if let Some(special) = special {
        entry.set_bit(LEVEL, special.level);
        entry.set_bit(ACTIVE_LOW, special.active_low);
    }
    Ok(entry)
}

/// How many inputs a controller has (§3.2.2): one more than the number of the last.
///
/// # Safety
/// As for [`mask_all`].
unsafe fn inputs(controller: &IoApic) -> u32 {
    // SAFETY: as the caller vouches.
    unsafe { read(controller, REGISTER_VERSION) }.get_bits(16..24) + 1
}

/// # Safety
/// As for [`mask_all`].
unsafe fn write_redirection(controller: &IoApic, input: u32, entry: u64) {
    let register = REGISTER_REDIRECTION + 2 * input;
    // SAFETY: as the caller vouches. Masked first, so that no half-written entry acts.
    unsafe {
        write(controller, register, MASKED as u32);
        write(controller, register + 1, (entry >> 32) as u32);
        write(controller, register, entry as u32);
    }
}

/// # Safety
/// As for [`mask_all`].
unsafe fn read(controller: &IoApic, register: u32) -> u32 {
    let select = u64::from(controller.address) as *mut u32;
    // SAFETY: as the caller vouches: IOREGSEL, and IOWIN 16 bytes further.
    unsafe {
        ptr::write_volatile(select, register);
        ptr::read_volatile(select.byte_add(0x10))
    }
}

/// # Safety
/// As for [`mask_all`].
unsafe fn write(controller: &IoApic, register: u32, value: u32) {
    let select = u64::from(controller.address) as *mut u32;
    // SAFETY: as for `read`.
    unsafe {
        ptr::write_volatile(select, register);
        ptr::write_volatile(select.byte_add(0x10), value);
    }
}

/// Attempts to be the one core that masks lines.
const MAX_ATTEMPTS: u32 = 1_000_000;

/// The tables that say where the I/O APICs are, once the machine runs.
static TABLES: Mutex<Option<Tables>> = Mutex::new(None);

/// Keeps the tables for [`mask_lines`].
pub fn remember(tables: Tables) {
    *TABLES.lock() = Some(tables);
}

/// Masks the interrupt lines of a sandbox that stopped.
pub fn mask_lines(lines: &[u8]) {
    // A core that failed with the lock keeps it: the lines of this one go to a core that takes no
    // interrupts any more.
    let Some(guard) = (0..MAX_ATTEMPTS).find_map(|_| TABLES.try_lock()) else {
        return;
    };
    let Some(tables) = guard.as_ref() else { return };
    for &line in lines {
        // SAFETY: the hypervisor owns the I/O APICs, one core at a time.
        let masked = unsafe { route(tables, line, None) };
        // A line that was routed at boot exists.
        debug_assert!(masked.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_interrupt_goes_to_another_core_than_the_one_that_is_named() {
        assert_eq!(entry_to(0, 0x33, None), Ok(0x33));
        assert_eq!(entry_to(254, 0x33, None), Ok(254 << 56 | 0x33));
        for core in [255, 256, 0x1_0001] {
            assert_eq!(
                entry_to(core, 0x33, None),
                Err(RouteError::OutOfReach(core))
            );
        }
    }

    #[test]
    fn a_line_signals_as_the_firmware_says() {
        for (level, active_low, bits) in [
            (false, false, 0),
            (true, false, 1 << 15),
            (false, true, 1 << 13),
            (true, true, 1 << 15 | 1 << 13),
        ] {
            let special = Override {
                line: 9,
                global: 20,
                active_low,
                level,
            };
            assert_eq!(entry_to(1, 0x39, Some(&special)), Ok(1 << 56 | bits | 0x39));
        }
    }
}
