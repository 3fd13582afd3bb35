//! Writes to its local APIC that a guest has the hypervisor make: which values reach the register.
//! Others the processor might refuse, or take for an interrupt to somebody else.
use tern_machine::apic::{LVT_MASKED, Register, TIMER_PERIODIC, TIMER_TSC_DEADLINE};

/// The vector of the interrupt command that writing `value` to the x2APIC's `register` is,
/// if it is one of fixed delivery to the core itself.
#[must_use]
pub fn interrupt_to_self(register: u32, value: u64, own_id: u32) -> Option<u32> {
    const DELIVERY_AND_MODE: u64 = 0xf << 8; // delivery mode, logical destination
    const SHORTHAND: u64 = 3 << 18;
    const SHORTHAND_SELF: u64 = 1 << 18;
    const FIRST_VECTOR: u32 = 32;
    let to_self = match value & SHORTHAND {
        SHORTHAND_SELF => true,
        0 => value >> 32 == u64::from(own_id),
        _ => false,
    };
    let vector = value as u32 & 0xff;
    let is_fixed = value & DELIVERY_AND_MODE == 0 && vector >= FIRST_VECTOR;
    (register == Register::INTERRUPT_COMMAND.msr() && to_self && is_fixed).then_some(vector)
}

/// Whether `register` is a local entry with a delivery mode, which may name system management
/// interrupts, and `value` masks it. The error entry has one on AMD's processors (APM vol. 2
/// figure 16-15).
#[must_use]
pub fn is_masked_local_entry(register: u32, value: u64) -> bool {
    let local_entries = [
        Register::LVT_CORRECTED_ERROR,
        Register::LVT_THERMAL,
        Register::LVT_PERFORMANCE,
        Register::LVT_LINT0,
        Register::LVT_LINT1,
        Register::LVT_ERROR,
    ];
    let masked = value & u64::from(LVT_MASKED) != 0;
    masked && local_entries.iter().any(|entry| entry.msr() == register)
}

/// Whether `value` is a timer's local entry: a vector, masked or not, in a mode that the timer
/// has. The bits of other entries' delivery mode are reserved in this one (Intel SDM vol. 3
/// figure 11-8, AMD APM vol. 2 figure 16-8); there are emulators that heed them all the same.
#[must_use]
pub fn is_timer_entry(value: u64, takes_deadlines: bool) -> bool {
    const VECTOR: u32 = 0xff;
    let modes = TIMER_PERIODIC
        | if takes_deadlines {
            TIMER_TSC_DEADLINE
        } else {
            0
        };
    let has_one_mode = value & u64::from(modes) != u64::from(TIMER_PERIODIC | TIMER_TSC_DEADLINE);
    value & !u64::from(VECTOR | LVT_MASKED | modes) == 0 && has_one_mode
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_command_reaches_nobody_but_its_sender() {
        const OWN: u32 = 2;
        for (value, allowed, what) in [
            (0x4_0041, true, "shorthand self"),
            (2 << 32 | 0x41, true, "own id"),
            (0x8004_0041, true, "reserved bits"),
            (3 << 32 | 0x41, false, "another core"),
            (0xffff_ffff << 32 | 0x41, false, "broadcast id"),
            (0x8_0041, false, "all"),
            (0xc_0041, false, "all but self"),
            (0x4_0500, false, "INIT to self"),
            (2 << 32 | 0x500, false, "INIT to own id"),
            (2 << 32 | 0x608, false, "start-up to own id"),
            (2 << 32 | 0x441, false, "NMI to own id"),
            (2 << 32 | 0x841, false, "logical destination"),
            (2 << 32 | 0x1f, false, "a vector of the exceptions"),
        ] {
            let vector = interrupt_to_self(0x830, value, OWN);
            assert_eq!(vector, allowed.then_some(0x41), "{what}");
        }
    }

    #[test]
    fn local_entries_with_a_delivery_mode_stay_masked() {
        // Corrected errors, thermal sensor, performance counters, pins, errors.
        for entry in [0x82f, 0x833, 0x834, 0x835, 0x836, 0x837] {
            assert!(is_masked_local_entry(entry, 0x1_0000), "{entry:#x}");
            assert!(!is_masked_local_entry(entry, 0x200), "SMI by {entry:#x}");
        }
        assert!(!is_masked_local_entry(0x83a, 0x1_0000), "not one");
    }

    #[test]
    fn a_timer_entry_is_a_vector_and_a_mode() {
        for (value, plain, with_deadlines, what) in [
            (0x40, true, true, "one-shot"),
            (0x1_0040, true, true, "masked"),
            (0x2_0040, true, true, "periodic"),
            (0x4_0040, false, true, "deadline"),
            (0x6_0040, false, false, "no mode"),
            (0x240, false, false, "system management interrupt"),
            (0x440, false, false, "NMI"),
            (0x8_0040, false, false, "reserved bit"),
            (1 << 32 | 0x40, false, false, "more than 32 bits"),
        ] {
            assert_eq!(is_timer_entry(value, false), plain, "{what}");
            assert_eq!(is_timer_entry(value, true), with_deadlines, "{what}");
        }
    }
}
