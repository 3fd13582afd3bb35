//! Device interrupts: each line goes to the one core whose sandbox owns the device, or
//! nowhere.
//!
//! Source: Intel 82093AA data sheet, §3.
use core::fmt;
use core::ptr;
use spin::Mutex;
use tern_abi::layout::DEVICE_VECTOR_BASE;
use tern_firmware::acpi::{IoApic, Override, Tables};

const REGISTER_VERSION: u32 = 1;
const REGISTER_REDIRECTION: u32 = 0x10;
const MASKED: u64 = 1 << 16;
const LEVEL: u64 = 1 << 15;
const ACTIVE_LOW: u64 = 1 << 13;

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
            let inputs = read(controller, REGISTER_VERSION) >> 16 & 0xff;
            for input in 0..=inputs {
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
    let signalling = special.map_or(0, signalling);
    // SAFETY: as the caller vouches.
    let serves = |controller: &&IoApic| unsafe {
        let inputs = (read(controller, REGISTER_VERSION) >> 16 & 0xff) + 1;
        (controller.first_global..controller.first_global + inputs).contains(&global)
    };
    let controller = tables
        .io_apics
        .iter()
        .find(serves)
        .ok_or(RouteError::NoSuchLine)?;
    let entry = match core {
        Some(core) => destination(core)? | u64::from(DEVICE_VECTOR_BASE + line) | signalling,
        None => MASKED,
    };
    // SAFETY: as the caller vouches.
    unsafe { write_redirection(controller, global - controller.first_global, entry) };
    Ok(())
}

/// The bits that name the core with this APIC id: eight without interrupt remapping, of which
/// all ones are all cores.
fn destination(core: u32) -> Result<u64, RouteError> {
    match core {
        0..0xff => Ok(u64::from(core) << 56),
        _ => Err(RouteError::OutOfReach(core)),
    }
}

fn signalling(entry: &Override) -> u64 {
    let mut bits = 0;
    if entry.level {
        bits |= LEVEL;
    }
    if entry.active_low {
        bits |= ACTIVE_LOW;
    }
    bits
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

/// The tables that say where the I/O APICs are, once the machine runs.
static TABLES: Mutex<Option<Tables>> = Mutex::new(None);

/// Keeps the tables for [`mask_lines`].
pub fn remember(tables: Tables) {
    *TABLES.lock() = Some(tables);
}

/// Masks the interrupt lines of a sandbox that stopped.
pub fn mask_lines(lines: &[u8]) {
    let guard = TABLES.lock();
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
        assert_eq!(destination(0), Ok(0));
        assert_eq!(destination(254), Ok(254 << 56));
        for core in [255, 256, 0x1_0001] {
            assert_eq!(destination(core), Err(RouteError::OutOfReach(core)));
        }
    }
}
