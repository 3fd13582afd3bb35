//! Device interrupts: each line goes to the one core whose sandbox owns the device, or
//! nowhere.
//!
//! Source: Intel 82093AA data sheet, §3.
use bit_field::BitField;
use core::fmt;
use core::ops::Range;
use core::ptr;
use spin::Mutex;
use tern_firmware::acpi::{IoApic, Override, Tables};

const REGISTER_VERSION: u32 = 1;
const REGISTER_REDIRECTION: u32 = 0x10;

/// Bits of a redirection entry (§3.2.4): vector, polarity, mask, destination; all others zero: a fixed
/// interrupt at an edge.
const VECTOR: Range<usize> = 0..8;
const ACTIVE_LOW: usize = 13;
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
    /// The firmware says that it is level triggered: whatever else may be connected to it
    /// could hold it active, and nobody would serve that.
    Level,
}

/// Where a line leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// APIC id of the core.
    pub core: u32,
    /// The vector there.
    pub vector: u8,
}

impl fmt::Display for RouteError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchLine => out.write_str("no I/O APIC serves it: correct the description"),
            Self::OutOfReach(core) => write!(
                out,
                "no I/O APIC reaches the core with APIC id {core}: put the sandbox on another core"
            ),
            Self::Level => out.write_str(
                "the firmware says that it is level triggered, so other devices may share it: \
                 give the device a line of its own",
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

/// Routes the legacy interrupt `line` to `target`; masked if that is `None`.
///
/// # Errors
/// If no I/O APIC serves it, or reaches the core, or the line is one that devices share.
///
/// # Safety
/// As for [`mask_all`].
pub unsafe fn route(tables: &Tables, line: u8, target: Option<Target>) -> Result<(), RouteError> {
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
    let entry = match target {
        Some(target) => entry_to(target, special)?,
        None => MASKED,
    };
    // SAFETY: as the caller vouches.
    unsafe { write_redirection(controller, global - controller.first_global, entry) };
    Ok(())
}

/// The entry that delivers a line to its target, whose core has eight bits without interrupt
/// remapping, of which all ones are all cores. `special` is what the firmware says of the line.
fn entry_to(target: Target, special: Option<&Override>) -> Result<u64, RouteError> {
    const ALL: u32 = 0xff;
    if target.core >= ALL {
        return Err(RouteError::OutOfReach(target.core));
    }
    if special.is_some_and(|special| special.level) {
        return Err(RouteError::Level);
    }
    let mut entry = 0;
    entry.set_bits(VECTOR, target.vector.into());
    entry.set_bits(DESTINATION, target.core.into());
    entry.set_bit(
        ACTIVE_LOW,
        special.is_some_and(|special| special.active_low),
    );
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

/// Masks the interrupt lines of a sandbox that stopped. Without any the controllers are not
/// touched: they are not mapped then.
pub fn mask_lines(lines: &[u8]) {
    if lines.is_empty() {
        return;
    }
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

    const TARGET: Target = Target {
        core: 2,
        vector: 0xe3,
    };

    #[test]
    fn no_interrupt_goes_to_another_core_than_the_one_that_is_named() {
        let to = |core| entry_to(Target { core, ..TARGET }, None);
        assert_eq!(to(0), Ok(0xe3));
        assert_eq!(to(254), Ok(254 << 56 | 0xe3));
        for core in [255, 256, 0x1_0001] {
            assert_eq!(to(core), Err(RouteError::OutOfReach(core)));
        }
    }

    #[test]
    fn a_line_that_devices_may_share_is_refused_and_others_signal_as_the_firmware_says() {
        let special = |active_low, level| Override {
            line: 9,
            global: 20,
            active_low,
            level,
        };
        let plain = 2 << 56 | 0xe3;
        for (special, wanted) in [
            (special(false, false), Ok(plain)),
            (special(true, false), Ok(plain | 1 << 13)),
            (special(false, true), Err(RouteError::Level)),
            (special(true, true), Err(RouteError::Level)),
        ] {
            assert_eq!(entry_to(TARGET, Some(&special)), wanted, "{special:?}");
        }
    }
}
