//! What this processor's VT-x can do: the capability registers, and control words that
//! respect them (Intel SDM vol. 3, appendix A).
use crate::speculation;
use bit_field::BitField;
use tern_machine::cpu::read_msr;

const BASIC: u32 = 0x480;
const CR0_FIXED_0: u32 = 0x486;
const CR4_FIXED_0: u32 = 0x488;
const SECONDARY: u32 = 0x48b;
const EPT_VPID: u32 = 0x48c;
const TRUE_PIN: u32 = 0x48d;
const TRUE_PROCESSOR: u32 = 0x48e;
const TRUE_EXIT: u32 = 0x48f;
const TRUE_ENTRY: u32 = 0x490;

/// Pin-based controls (§25.6.1).
pub mod pin {
    #![allow(missing_docs)]
    pub const NMI_EXITING: u32 = 1 << 3;
    pub const PREEMPTION_TIMER: u32 = 1 << 6;
}

/// Primary processor-based controls (§25.6.2).
pub mod processor {
    #![allow(missing_docs)]
    pub const MWAIT_EXITING: u32 = 1 << 10;
    pub const RDPMC_EXITING: u32 = 1 << 11;
    pub const IO_BITMAPS: u32 = 1 << 25;
    pub const MSR_BITMAPS: u32 = 1 << 28;
    pub const MONITOR_EXITING: u32 = 1 << 29;
    pub const SECONDARY: u32 = 1 << 31;
}

/// Secondary processor-based controls (§25.6.2).
pub mod secondary {
    #![allow(missing_docs)]
    pub const EPT: u32 = 1 << 1;
    pub const VPID: u32 = 1 << 5;
    pub const WBINVD_EXITING: u32 = 1 << 6;
    pub const UNRESTRICTED_GUEST: u32 = 1 << 7;
    pub const RDRAND_EXITING: u32 = 1 << 11;
    pub const INVPCID: u32 = 1 << 12;
    pub const RDSEED_EXITING: u32 = 1 << 16;
}

/// VM-exit controls (§25.7.1).
pub mod exit {
    #![allow(missing_docs)]
    pub const SAVE_DEBUG_CONTROLS: u32 = 1 << 2;
    pub const HOST_64_BIT: u32 = 1 << 9;
    pub const SAVE_PAT: u32 = 1 << 18;
    pub const LOAD_PAT: u32 = 1 << 19;
    pub const SAVE_EFER: u32 = 1 << 20;
    pub const LOAD_EFER: u32 = 1 << 21;
}

/// VM-entry controls (§25.8.1).
pub mod entry {
    #![allow(missing_docs)]
    pub const LOAD_DEBUG_CONTROLS: u32 = 1 << 2;
    pub const LOAD_PAT: u32 = 1 << 14;
    pub const LOAD_EFER: u32 = 1 << 15;
}

/// The control words of a guest on this processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Controls {
    /// Pin-based.
    pub pin: u32,
    /// Primary processor-based.
    pub processor: u32,
    /// Secondary processor-based.
    pub secondary: u32,
    /// VM-exit.
    pub exit: u32,
    /// VM-entry.
    pub entry: u32,
}

/// The processor's capabilities, read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// First word of every VMCS and VMXON region.
    pub revision: u32,
    /// What guests run with.
    pub controls: Controls,
    /// Bits of CR0 that must be set in VMX operation.
    pub cr0_fixed: u64,
    /// Bits of CR4 that must be set in VMX operation.
    pub cr4_fixed: u64,
}

impl Capabilities {
    /// Reads them.
    ///
    /// # Errors
    /// What is missing, as a line.
    ///
    /// # Safety
    /// The processor has VT-x.
    pub unsafe fn read() -> Result<Self, &'static str> {
        const TRUE_CONTROLS: u64 = 1 << 55;
        const TOO_OLD: &str =
            "the processor's VT-x has no unrestricted guests: use a newer processor";
        const NO_TIMER: &str =
            "the processor's VT-x has no preemption timer: use a newer processor";
        // SAFETY: the register exists with VT-x (appendix A.1).
        let basic = unsafe { read_msr(BASIC) };
        if basic & TRUE_CONTROLS == 0 {
            return Err(TOO_OLD);
        }
        // SAFETY: these exist with bit 55 of the basic register (A.2).
        let msr = |register| unsafe { read_msr(register) };
        let processor = adjust(
            msr(TRUE_PROCESSOR),
            processor::MWAIT_EXITING
                | processor::RDPMC_EXITING
                | processor::IO_BITMAPS
                | processor::MSR_BITMAPS
                | processor::MONITOR_EXITING
                | processor::SECONDARY,
            0,
        )
        .ok_or(TOO_OLD)?;
        // The secondary controls exist now, and with EPT its own register (A.3.3, A.10).
        let secondary = adjust(
            msr(SECONDARY),
            secondary::EPT | secondary::UNRESTRICTED_GUEST | secondary::WBINVD_EXITING,
            secondary::VPID
                | secondary::RDRAND_EXITING
                | secondary::INVPCID
                | secondary::RDSEED_EXITING,
        )
        .ok_or(TOO_OLD)?;
        if !ept_is_usable(msr(EPT_VPID)) {
            return Err(
                "the processor's VT-x lacks large pages or write-back tables in EPT: use a newer processor",
            );
        }
        // Activated where an exit is wanted at once.
        let pin = adjust(msr(TRUE_PIN), pin::NMI_EXITING | pin::PREEMPTION_TIMER, 0);
        let exit = adjust(
            msr(TRUE_EXIT),
            exit::SAVE_DEBUG_CONTROLS
                | exit::HOST_64_BIT
                | exit::SAVE_PAT
                | exit::LOAD_PAT
                | exit::SAVE_EFER
                | exit::LOAD_EFER,
            0,
        );
        let entry = adjust(
            msr(TRUE_ENTRY),
            entry::LOAD_DEBUG_CONTROLS | entry::LOAD_PAT | entry::LOAD_EFER,
            0,
        );
        Ok(Self {
            revision: basic as u32 & 0x7fff_ffff,
            controls: Controls {
                pin: pin.ok_or(NO_TIMER)? & !pin::PREEMPTION_TIMER,
                processor,
                secondary,
                exit: exit.ok_or(TOO_OLD)?,
                entry: entry.ok_or(TOO_OLD)?,
            },
            cr0_fixed: msr(CR0_FIXED_0),
            cr4_fixed: msr(CR4_FIXED_0),
        })
    }
}

/// A control word with all of `required`, what the processor allows of `optional`, and
/// what it insists on, by a capability register: bits that must be 1 in its low half,
/// that may be 1 in its high half (A.3.1). `None` if it does not allow `required`.
fn adjust(capability: u64, required: u32, optional: u32) -> Option<u32> {
    let (must, may) = (capability as u32, (capability >> 32) as u32);
    let word = required | optional & may | must;
    (word & !may == 0).then_some(word)
}

/// Whether the processor says that no change of a page's size makes it stop while it fetches
/// instructions from there (CVE-2018-12207; Intel SDM vol. 4, IA32_ARCH_CAPABILITIES, bit 6).
#[must_use]
pub fn takes_large_code() -> bool {
    const PAGE_SIZE_CHANGE_IS_SOUND: usize = 6;
    speculation::arch_capabilities().get_bit(PAGE_SIZE_CHANGE_IS_SOUND)
}

/// Four-level walks, write-back tables, 2 MiB pages, INVEPT of all contexts (A.10).
fn ept_is_usable(capability: u64) -> bool {
    const WALK_4: u64 = 1 << 6;
    const WRITE_BACK: u64 = 1 << 14;
    const LARGE_PAGES: u64 = 1 << 16;
    const INVEPT: u64 = 1 << 20;
    const ALL_CONTEXTS: u64 = 1 << 26;
    let needed = WALK_4 | WRITE_BACK | LARGE_PAGES | INVEPT | ALL_CONTEXTS;
    capability & needed == needed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_word_keeps_to_what_the_processor_allows_and_demands() {
        for (must, may, required, optional, word) in [
            (0x16_u64, 0xff_u64, 0x08, 0x00, Some(0x1e)),
            (0x16, 0x1e, 0x08, 0x60, Some(0x1e)),
            (0x16, 0x5e, 0x08, 0x60, Some(0x5e)),
            (0x16, 0x16, 0x08, 0x00, None),
            (0x00, 0x00, 0x00, 0x01, Some(0)),
        ] {
            let capability = may << 32 | must;
            assert_eq!(
                adjust(capability, required, optional),
                word,
                "{must:#x} to {may:#x}"
            );
        }
    }
}
