//! How memory is cached on this core: the hypervisor's page attribute table, the range registers
//! of the firmware, and whether a locked access across cache lines is an exception.
//!
//! Sources: Intel SDM vol. 3 §§10.3.2 (split locks), 12.11 and 12.12; AMD APM vol. 2 §§7.7, 7.8.
use crate::kept::{MSR_PAT, PAT_RESET};
use core::arch::asm;
use tern_machine::cpu::{cpuid_if_present, read_msr, write_msr};

/// Gives this core the page attribute table that the hypervisor's page tables, and AMD's nested
/// ones, are made for, whatever the firmware has left.
///
/// # Safety
/// Interrupts are off.
pub unsafe fn set_page_attributes() {
    // SAFETY: every processor with long mode has the register. Caches and translations are
    // flushed around the change, as the manuals demand; the hypervisor maps nothing global.
    unsafe {
        if read_msr(MSR_PAT) == PAT_RESET {
            return;
        }
        asm!("wbinvd", options(nostack));
        write_msr(MSR_PAT, PAT_RESET);
        asm!(
            "wbinvd",
            "mov {root}, cr3",
            "mov cr3, {root}",
            root = out(reg) _,
            options(nostack)
        );
    }
}

/// A number that is the same on cores whose firmware gave memory the same types; 0 without range
/// registers.
#[must_use]
pub fn ranges() -> u64 {
    const RANGE_REGISTERS: u32 = 1 << 12;
    const CAPABILITY: u32 = 0xfe;
    const VARIABLE: u32 = 0x200;
    const DEFAULT: u32 = 0x2ff;
    const FIXED: [u32; 11] = [
        0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f,
    ];
    if cpuid_if_present(1).edx & RANGE_REGISTERS == 0 {
        return 0;
    }
    // SAFETY: the processor has range registers, as many as this one says.
    let read = |register| unsafe { read_msr(register) };
    let capability = read(CAPABILITY);
    let (variable, has_fixed) = (capability as u32 & 0xff, capability & 1 << 8 != 0);
    let fixed = FIXED.into_iter().filter(|_| has_fixed);
    let registers = [DEFAULT]
        .into_iter()
        .chain(fixed)
        .chain(VARIABLE..VARIABLE + 2 * variable);
    summary(registers.map(read))
}

/// A number that differs where one of `values` does, but for one in 2⁶⁴ (FNV-1a, by words).
fn summary(values: impl Iterator<Item = u64>) -> u64 {
    values.fold(0xcbf2_9ce4_8422_2325, |sum: u64, value| {
        (sum ^ value)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23)
    })
}

/// Makes a locked access across two cache lines an exception (#AC) on this core, where its
/// processor can: else it locks the bus for all cores.
///
/// # Safety
/// Nothing that runs on this core makes such an access, but for guests.
pub unsafe fn refuse_split_locks() {
    const HAS_CAPABILITIES: u32 = 1 << 30;
    const CORE_CAPABILITIES: u32 = 0xcf;
    const TEST_CONTROL: u32 = 0x33;
    const SPLIT_LOCK_IS_EXCEPTION: u64 = 1 << 29;
    if cpuid_if_present(7).edx & HAS_CAPABILITIES == 0 {
        return;
    }
    // SAFETY: leaf 7 says that the register exists, and its bit 5 that the other one has the bit.
    unsafe {
        if detects_split_locks(read_msr(CORE_CAPABILITIES)) {
            write_msr(
                TEST_CONTROL,
                read_msr(TEST_CONTROL) | SPLIT_LOCK_IS_EXCEPTION,
            );
        }
    }
}

/// Whether a core with these capabilities can (Intel SDM vol. 4, IA32_CORE_CAPABILITIES).
const fn detects_split_locks(capabilities: u64) -> bool {
    capabilities & 1 << 5 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_in_any_range_register_is_seen() {
        let same = [
            0xc06_u64,
            0,
            0x0606_0606_0606_0606,
            0x8000_0000,
            0xf_8000_0800,
        ];
        let of = |values: &[u64]| summary(values.iter().copied());
        for at in 0..same.len() {
            for bit in 0..64 {
                let mut other = same;
                other[at] ^= 1 << bit;
                assert_ne!(of(&other), of(&same), "word {at}, bit {bit}");
            }
        }
        let mut exchanged = same;
        exchanged.swap(3, 4);
        assert_ne!(of(&exchanged), of(&same), "in order");
    }

    #[test]
    fn a_core_detects_split_locks_by_bit_5() {
        assert!(detects_split_locks(1 << 5));
        assert!(!detects_split_locks(!(1 << 5)));
    }
}
