//! Why the guest left: the processor's reasons in the words that both vendors share
//! (Intel SDM vol. 3, appendix C and §28.2).
use super::fields::{Field, read};
use super::state;
use crate::guest::{Event, Exit};
use bit_field::BitField;
use core::arch::asm;
use tern_units::GuestPhysical;

const DEBUG: u8 = 1;
const NMI: u8 = 2;
const MACHINE_CHECK: u8 = 18;

/// Returns that the last entry was refused as such, and why.
#[cold]
#[inline(never)]
pub fn refused() -> Exit {
    Exit::EntryRefused(read(Field::INSTRUCTION_ERROR))
}

/// Returns the reason of the exit that just happened.
pub fn decode() -> Exit {
    const ENTRY_FAILED: usize = 31;
    let reason = read(Field::EXIT_REASON);
    if reason.get_bit(ENTRY_FAILED) {
        return match reason as u16 {
            41 => Exit::MachineCheck,
            _ => Exit::InvalidState,
        };
    }
    match reason as u16 {
        0 => exception(),
        1 => Exit::Interrupt,
        2 => Exit::Shutdown,
        3 | 4 => Exit::Init,
        9 => Exit::Instruction("a task switch"),
        10 => Exit::Cpuid,
        11 => Exit::Instruction("GETSEC"),
        13 => Exit::Instruction("INVD"),
        15 => Exit::Instruction("RDPMC"),
        18 => Exit::Hypercall,
        19..=27 | 50 | 53 => Exit::Instruction("an instruction of VT-x"),
        28 => control_register(read(Field::QUALIFICATION)),
        30 => port(read(Field::QUALIFICATION)),
        31 => Exit::ReadMsr,
        32 => Exit::WriteMsr,
        36 => Exit::Instruction("MWAIT"),
        39 => Exit::Instruction("MONITOR"),
        52 => at_once(),
        48 => memory(read(Field::GUEST_PHYSICAL), read(Field::QUALIFICATION)),
        54 => Exit::Instruction("WBINVD"),
        55 => Exit::Instruction("XSETBV"),
        57 => Exit::Instruction("RDRAND"),
        61 => Exit::Instruction("RDSEED"),
        other => Exit::Other(u64::from(other)),
    }
}

/// The exit that was asked for has happened: the next entry runs the guest again.
fn at_once() -> Exit {
    // SAFETY: the guest of the current VMCS has just left.
    unsafe { state::exit_at_once(false) };
    Exit::AtOnce
}

/// Table 28-5: bytes less one in bits 2:0, direction in bit 3, a string instruction in bit 4, the
/// port in bits 31:16.
fn port(qualification: u64) -> Exit {
    Exit::Port {
        port: qualification.get_bits(16..32) as u16,
        write: !qualification.get_bit(3),
        bytes: qualification.get_bits(0..3) as u8 + 1,
        is_string: qualification.get_bit(4),
    }
}

/// Table 28-7: read, write and fetch in bits 0 to 2; as a page fault's error code says
/// it, write is bit 1 and fetch bit 4.
fn memory(address: u64, qualification: u64) -> Exit {
    let mut error = 0;
    error.set_bit(1, qualification.get_bit(1));
    error.set_bit(4, qualification.get_bit(2));
    Exit::Memory {
        address: GuestPhysical::new(address),
        error,
    }
}

/// Table 28-3: the register in bits 3:0, and what is done in 5:4, a MOV to it being 0. CLTS and LMSW do not exit, as no bit that they write is the hypervisor's.
fn control_register(qualification: u64) -> Exit {
    const TO_CR0: u64 = 0;
    const TO_CR4: u64 = 4;
    match qualification & 0x3f {
        TO_CR0 => Exit::WriteCr0,
        TO_CR4 => Exit::WriteCr4,
        _ => Exit::Other(28),
    }
}

/// §25.9.2: vector in bits 7:0, error code valid in bit 11.
fn exception() -> Exit {
    const HAS_ERROR: usize = 11;
    let event = read(Field::EXIT_EVENT);
    match event as u8 {
        NMI => Exit::Nmi,
        MACHINE_CHECK => Exit::MachineCheck,
        vector => {
            if vector == DEBUG {
                record_debug_status(read(Field::QUALIFICATION));
            }
            let error = read(Field::EXIT_EVENT_ERROR) as u32;
            Exit::Exception(Event {
                vector,
                error: event.get_bit(HAS_ERROR).then_some(error),
            })
        }
    }
}

/// An exit for #DB leaves DR6 as it was; its delivery sets it (§28.2.1, table 28-1).
fn record_debug_status(qualification: u64) {
    const CAUSES: u64 = 0x600f; // breakpoints 0 to 3, debug registers accessed, single step
    // SAFETY: DR6 is the guest's; the hypervisor sets no breakpoints.
    unsafe {
        let mut status: u64;
        asm!("mov {}, dr6", out(reg) status, options(nomem, nostack, preserves_flags));
        status |= qualification & CAUSES;
        asm!("mov dr6, {}", in(reg) status, options(nomem, nostack, preserves_flags));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_access_keeps_its_port_and_direction() {
        let read = Exit::Port {
            port: 0x3f8,
            write: false,
            bytes: 1,
            is_string: false,
        };
        let write = Exit::Port {
            port: 0xcf8,
            write: true,
            bytes: 4,
            is_string: false,
        };
        let string = Exit::Port {
            port: 0x2f8,
            write: true,
            bytes: 2,
            is_string: true,
        };
        assert_eq!(port(0x03f8_0008), read);
        assert_eq!(port(0x0cf8_0003), write);
        assert_eq!(port(0x02f8_0031), string);
    }

    #[test]
    fn a_write_of_a_control_register_is_told_from_others() {
        assert_eq!(control_register(0x300), Exit::WriteCr0);
        assert_eq!(control_register(0xf04), Exit::WriteCr4);
        // CLTS, LMSW, and a MOV from CR0.
        for other in [0x20, 0x30, 0x10] {
            assert_eq!(control_register(other), Exit::Other(28));
        }
    }

    #[test]
    fn a_violation_has_the_error_code_of_a_page_fault() {
        for (qualification, error) in [(0x181, 0), (0x182, 2), (0x184, 0x10), (0x183, 2)] {
            let Exit::Memory { error: seen, .. } = memory(0x1000, qualification) else {
                panic!("not a memory exit");
            };
            assert_eq!(seen, error, "qualification {qualification:#x}");
        }
    }
}
