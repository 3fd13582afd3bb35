//! Why the guest left: the processor's exit codes in the words that both vendors share (AMD APM
//! vol. 2, appendix C).
use super::vmcb::{Block, exit_code, get};
use crate::guest::{Event, Exit};
use bit_field::BitField;
use tern_units::GuestPhysical;

/// Returns the reason of the exit that just happened.
#[inline(always)]
pub fn decode(block: &Block) -> Exit {
    match get!(block, control.exit_code) {
        exit_code::VMMCALL => Exit::Hypercall,
        exit_code::CPUID => Exit::Cpuid,
        exit_code::MSR if !get!(block, control.exit_info_1).get_bit(0) => Exit::ReadMsr,
        _ => decode_rare(block),
    }
}

#[cold]
#[inline(never)]
fn decode_rare(block: &Block) -> Exit {
    let information = get!(block, control.exit_info_1);
    match get!(block, control.exit_code) {
        exit_code::MSR => Exit::WriteMsr,
        exit_code::IO => port(information),
        // §15.25.6: the low bits as in a page fault's error code.
        exit_code::NESTED_PAGE_FAULT => Exit::Memory {
            address: GuestPhysical::new(get!(block, control.exit_info_2)),
            error: information.get_bits(0..5),
        },
        code @ exit_code::EXCEPTION..=exit_code::EXCEPTION_LAST => {
            const ALIGNMENT_CHECK: u8 = 17;
            const MACHINE_CHECK: u8 = 18;
            match (code - exit_code::EXCEPTION) as u8 {
                MACHINE_CHECK => Exit::MachineCheck,
                vector => Exit::Exception(Event {
                    vector,
                    error: (vector == ALIGNMENT_CHECK).then_some(information as u32),
                }),
            }
        }
        exit_code::CR0_WRITE => Exit::WriteCr0,
        exit_code::NMI => Exit::Nmi,
        exit_code::INTERRUPT => Exit::Interrupt,
        exit_code::INIT => Exit::Init,
        exit_code::SHUTDOWN => Exit::Shutdown,
        // CPUID shows none of them: they raise what an instruction does that the processor does
        // not have, as under VT-x.
        exit_code::RDTSCP | exit_code::RDPRU | exit_code::MCOMMIT => {
            Exit::Exception(Event::INVALID_OPCODE)
        }
        exit_code::RDPMC => Exit::Instruction("RDPMC"),
        exit_code::INVD => Exit::Instruction("INVD"),
        exit_code::INVLPGA => Exit::Instruction("INVLPGA"),
        exit_code::TASK_SWITCH => Exit::Instruction("a task switch"),
        exit_code::VMRUN => Exit::Instruction("VMRUN"),
        exit_code::VMLOAD => Exit::Instruction("VMLOAD"),
        exit_code::VMSAVE => Exit::Instruction("VMSAVE"),
        exit_code::STGI => Exit::Instruction("STGI"),
        exit_code::CLGI => Exit::Instruction("CLGI"),
        exit_code::SKINIT => Exit::Instruction("SKINIT"),
        exit_code::WBINVD => Exit::Instruction("WBINVD"),
        exit_code::MONITOR => Exit::Instruction("MONITOR"),
        exit_code::MWAIT | exit_code::MWAIT_CONDITIONAL => Exit::Instruction("MWAIT"),
        exit_code::XSETBV => Exit::Instruction("XSETBV"),
        exit_code::INVLPGB => Exit::Instruction("INVLPGB"),
        exit_code::TLBSYNC => Exit::Instruction("TLBSYNC"),
        exit_code::INVALID | exit_code::INVALID_32 => Exit::InvalidState,
        code => Exit::Other(code),
    }
}

/// APM vol. 2 §15.10.2: bit 0 for IN, bit 2 for a string instruction, the bytes in bits 6:4, and
/// the port in bits 31:16.
fn port(information: u64) -> Exit {
    Exit::Port {
        port: information.get_bits(16..32) as u16,
        write: !information.get_bit(0),
        bytes: information.get_bits(4..7) as u8,
        is_string: information.get_bit(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::frames::tests::of_host;
    use crate::svm::vmcb::{Vmcb, set};

    #[test]
    fn a_port_access_keeps_its_port_direction_and_bytes() {
        for (information, number, write, bytes, is_string) in [
            (0x03f8_0011, 0x3f8, false, 1, false),
            (0x02f8_0020, 0x2f8, true, 2, false),
            (0x0cf8_0040, 0xcf8, true, 4, false),
            (0x02f8_001c, 0x2f8, true, 1, true),
        ] {
            let access = Exit::Port {
                port: number,
                write,
                bytes,
                is_string,
            };
            assert_eq!(port(information), access, "{information:#x}");
        }
    }

    #[test]
    fn an_exit_code_of_the_manual_is_a_reason() {
        let mut frames = of_host(1 << 20);
        // SAFETY: all zeroes is a VMCB.
        let block = Block::new(unsafe { frames.place::<Vmcb>().unwrap() });
        // APM vol. 2, table C-1.
        for (code, reason) in [
            (0x81, Exit::Hypercall),
            (0x72, Exit::Cpuid),
            (0x65, Exit::WriteCr0),
            (0x61, Exit::Nmi),
            (0x7f, Exit::Shutdown),
            (0x52, Exit::MachineCheck),
            // RDTSCP, RDPRU, MCOMMIT.
            (0x87, Exit::Exception(Event::INVALID_OPCODE)),
            (0x8e, Exit::Exception(Event::INVALID_OPCODE)),
            (0xa3, Exit::Exception(Event::INVALID_OPCODE)),
            // An entry that the processor refuses, by its code of 64 or of 32 bits.
            (u64::MAX, Exit::InvalidState),
            (0xffff_ffff, Exit::InvalidState),
            (0x1234, Exit::Other(0x1234)),
        ] {
            set!(block, control.exit_code, code);
            assert_eq!(decode(&block), reason, "{code:#x}");
        }
    }
}
