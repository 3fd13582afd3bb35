//! What a processor may do that the program does not say: mispredicted paths, and data that it
//! leaves behind in buffers.
//!
//! Once guests run, nothing of another sandbox is mapped on a core ([`crate::boot`]), so that a
//! mispredicted path of the hypervisor has nothing of others to read, and nothing of others comes
//! into the core's first-level cache or its buffers. What the core that booted the machine had there
//! is flushed before the first entry; later entries need no flush. The other thread of a core
//! shares cache and buffers all the time: see [`leaks_between_threads`].
use bit_field::BitField;
use core::arch::asm;
use tern_abi::hypercall::{Hypercall, HypercallError};
use tern_machine::cpu::{cpuid, cpuid_if_present, read_msr, write_msr};
use tern_machine::descriptors::KERNEL_DATA;

/// Returns `index` if it is below `bound`, and else zero: without a branch that could be
/// mispredicted. It comes after the check, where a number of a guest's reaches memory.
#[inline(always)]
#[must_use]
pub fn clamp(index: u64, bound: u64) -> u64 {
    let mask: u64;
    // SAFETY: arithmetic alone. The borrow of the comparison becomes all ones or all zeroes.
    unsafe {
        asm!(
            "cmp {index}, {bound}",
            "sbb {mask}, {mask}",
            index = in(reg) index,
            bound = in(reg) bound,
            mask = out(reg) mask,
            options(pure, nomem, nostack)
        );
    }
    index & mask
}

/// Returns the hypercall with this number, which a guest gave: what is looked up by it, on
/// mispredicted paths too, is found by a number of one.
///
/// # Errors
/// If there is none.
#[inline(always)]
pub fn hypercall(number: u64) -> Result<Hypercall, HypercallError> {
    if number >= Hypercall::COUNT {
        return Err(HypercallError::UnknownNumber);
    }
    Hypercall::try_from(clamp(number, Hypercall::COUNT))
}

/// The register that says which errors an Intel processor does not have.
const ARCH_CAPABILITIES: u32 = 0x10a;
/// The register that flushes the first-level data cache.
const FLUSH_COMMAND: u32 = 0x10b;

/// Bits of CPUID leaf 7, EDX (Intel SDM vol. 2, CPUID).
const CLEARS_BUFFERS: usize = 10;
const HAS_FLUSH_COMMAND: usize = 28;
const HAS_ARCH_CAPABILITIES: usize = 29;

/// Returns what an Intel processor says that it does not have (Intel SDM vol. 4,
/// IA32_ARCH_CAPABILITIES); nothing where there is no such register.
#[must_use]
pub fn arch_capabilities() -> u64 {
    if !cpuid_if_present(7).edx.get_bit(HAS_ARCH_CAPABILITIES) {
        return 0;
    }
    // SAFETY: leaf 7 says that the register exists.
    unsafe { read_msr(ARCH_CAPABILITIES) }
}

/// Returns whether the two threads of a core of this processor read each other's data: an Intel
/// one that does not say it is free of L1TF (bit 0) and MDS (bit 5). AMD's never had either.
#[must_use]
pub fn leaks_between_threads(is_intel: bool, capabilities: u64) -> bool {
    const FREE_OF_L1TF: usize = 0;
    const FREE_OF_MDS: usize = 5;
    is_intel && !(capabilities.get_bit(FREE_OF_L1TF) && capabilities.get_bit(FREE_OF_MDS))
}

/// Returns how far an APIC id is shifted to the number of its core, by leaf 0Bh with subleaf 0:
/// the level of threads (1 in ECX bits 15:8), and its shift (EAX bits 4:0).
#[must_use]
pub fn thread_shift() -> u32 {
    let has_leaf = cpuid_if_present(0xb).ebx != 0;
    let level = cpuid(0xb, 0);
    shift_of_level(if has_leaf { level.eax } else { 0 }, level.ecx)
}

fn shift_of_level(eax: u32, ecx: u32) -> u32 {
    const THREADS: u32 = 1;
    match ecx.get_bits(8..16) {
        THREADS => eax.get_bits(0..5),
        _ => 0,
    }
}

/// Returns the positions of two that are threads of one core among these APIC ids: they differ in
/// the lowest `shift` bits alone.
#[must_use]
pub fn threads_of_one_core(ids: &[u32], shift: u32) -> Option<(usize, usize)> {
    ids.iter().enumerate().find_map(|(second, id)| {
        let is_same_core = |other: &u32| other >> shift == id >> shift;
        let first = ids[..second].iter().position(is_same_core)?;
        Some((first, second))
    })
}

/// Flushes what this core has of the boot in its first-level data cache and buffers, where the
/// processor has a way to. Before its guest is entered for the first time, under the core's own
/// page tables.
pub fn flush_before_first_entry() {
    const FIRST_LEVEL: u64 = 1;
    let features = cpuid_if_present(7).edx;
    if features.get_bit(HAS_FLUSH_COMMAND) {
        // SAFETY: leaf 7 says that the register exists; data is written back, not lost.
        unsafe { write_msr(FLUSH_COMMAND, FIRST_LEVEL) };
    }
    if features.get_bit(CLEARS_BUFFERS) {
        // SAFETY: VERW tests a selector in memory, and with this feature clears buffers besides.
        unsafe { asm!("verw [{}]", in(reg) &KERNEL_DATA, options(nostack)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_below_its_bound_stays_and_any_other_becomes_zero() {
        for (index, bound, clamped) in [
            (0, 0, 0),
            (0, 1, 0),
            (6, 7, 6),
            (7, 7, 0),
            (8, 7, 0),
            (u64::MAX, 7, 0),
            (1 << 63, u64::MAX, 1 << 63),
            (u64::MAX, u64::MAX, 0),
        ] {
            assert_eq!(clamp(index, bound), clamped, "{index:#x} below {bound:#x}");
        }
    }

    #[test]
    fn a_processor_leaks_unless_it_says_that_it_is_free_of_both_errors() {
        const L1TF: u64 = 1;
        const MDS: u64 = 1 << 5;
        for (is_intel, capabilities, leaks) in [
            (true, 0, true),    // no such register, or an old microcode
            (true, L1TF, true), // Cascade Lake before its second stepping
            (true, MDS, true),
            (true, L1TF | MDS, false), // Ice Lake and later
            (true, !(L1TF | MDS), true),
            (false, 0, false),
        ] {
            assert_eq!(
                leaks_between_threads(is_intel, capabilities),
                leaks,
                "Intel {is_intel}, {capabilities:#x}"
            );
        }
    }

    #[test]
    fn two_threads_of_one_core_are_found_wherever_they_stand() {
        for (ids, shift, found) in [
            (&[0, 1, 2, 3][..], 0, None),
            (&[0, 2, 4, 5], 1, Some((2, 3))),
            (&[7, 2, 4, 6], 1, Some((0, 3))),
            (&[0, 2, 4, 6], 1, None),
            (&[5], 4, None),
        ] {
            assert_eq!(threads_of_one_core(ids, shift), found, "{ids:?} by {shift}");
        }
    }

    #[test]
    fn threads_have_a_shift_where_there_is_such_a_level() {
        assert_eq!(shift_of_level(1, 0x100), 1);
        assert_eq!(shift_of_level(0, 0x100), 0); // switched off
        assert_eq!(shift_of_level(4, 0x201), 0); // the level of cores
        assert_eq!(shift_of_level(0, 0), 0);
    }
}
