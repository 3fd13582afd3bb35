//! What a sandbox sees of the processor: the leaves and features that are named here, which it
//! may use. All others, of which new processors have ever more, read as zero: among them
//! virtualization, extended state, performance counters, machine checks, and whatever needs a
//! model-specific register that no sandbox reaches.
//!
//! Sources: Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E.
use tern_machine::cpu::{Cpuid, cpuid};

/// The leaf for a sandbox. `owns_apic` is whether it reaches its x2APIC itself.
#[must_use]
pub fn filtered(leaf: u32, subleaf: u32, owns_apic: bool) -> Cpuid {
    if is_shown(leaf, subleaf) {
        show(leaf, owns_apic, cpuid(leaf, subleaf))
    } else {
        Cpuid::default()
    }
}

/// Vendor (0), features (1, 7), caches (2, 4), power (6), topology (0xb, 0x1f) and clocks (0x15,
/// 0x16); of the extended leaves the first nine and AMD's caches (0x8000_0019, 0x8000_001d) and
/// topology (0x8000_001e).
const fn is_shown(leaf: u32, subleaf: u32) -> bool {
    match leaf {
        0..=2 | 4 | 6 | 0xb | 0x15 | 0x16 | 0x1f => true,
        7 => subleaf == 0,
        _ => matches!(
            leaf,
            0x8000_0000..=0x8000_0008 | 0x8000_0019 | 0x8000_001d | 0x8000_001e
        ),
    }
}

/// The features that a sandbox may use, by bits.
mod features {
    /// Leaf 1, ECX: SSE3, PCLMULQDQ, SSSE3, CMPXCHG16B, PCID, SSE4.1, SSE4.2, MOVBE, POPCNT, AES.
    pub const LEAF_1_ECX: u32 = bits(&[0, 1, 9, 13, 17, 19, 20, 22, 23, 25]);
    /// The same, of an APIC of its own: x2APIC, TSC deadline.
    pub const OWN_APIC: u32 = bits(&[21, 24]);
    /// The same: runs under a hypervisor.
    pub const HYPERVISOR: u32 = bits(&[31]);
    /// Leaf 1, EDX: FPU, VME, DE, PSE, TSC, MSR, PAE, CMPXCHG8B, APIC, PGE, CMOV, PAT, PSE-36, MMX,
    /// FXSR. Leaf 8000_0001 repeats them.
    pub const BASIC: u32 = bits(&[0, 1, 2, 3, 4, 5, 6, 8, 9, 13, 15, 16, 17, 23, 24]);
    /// Leaf 1, EDX: also SYSENTER, CLFLUSH, SSE, SSE2, self-snoop, threads.
    pub const LEAF_1_EDX: u32 = BASIC | bits(&[11, 19, 25, 26, 27, 28]);
    /// Leaf 6, EAX: the APIC timer never stops.
    pub const LEAF_6_EAX: u32 = bits(&[2]);
    /// Leaf 7, EBX: FSGSBASE, BMI1, x87 data pointers (6, 13), SMEP, BMI2, ERMS, INVPCID, ADX,
    /// SMAP, CLFLUSHOPT, CLWB, SHA.
    pub const LEAF_7_EBX: u32 = bits(&[0, 3, 6, 7, 8, 9, 10, 13, 19, 20, 23, 24, 29]);
    /// Leaf 7, ECX: PREFETCHWT1, UMIP, GFNI, five-level paging, CLDEMOTE, MOVDIRI, MOVDIR64B.
    pub const LEAF_7_ECX: u32 = bits(&[0, 2, 8, 16, 25, 27, 28]);
    /// Leaf 8000_0001, ECX: LAHF, threads, MOV CR8, LZCNT, SSE4A, misaligned SSE, PREFETCHW, topology.
    pub const EXTENDED_ECX: u32 = bits(&[0, 1, 4, 5, 6, 7, 8, 22]);
    /// Leaf 8000_0001, EDX: also SYSCALL, NX, MMX extensions, pages of 1 GiB, long mode.
    pub const EXTENDED_EDX: u32 = BASIC | bits(&[11, 20, 22, 26, 29]);
    /// Leaf 8000_0007, EDX: the timestamp counter's rate is constant.
    pub const POWER_EDX: u32 = bits(&[8]);
    /// Leaf 8000_0008, EBX: CLZERO, FP error pointers. Not INVLPGB, RDPRU, MCOMMIT, WBNOINVD, nor
    /// control of speculation.
    pub const ADDRESSES_EBX: u32 = bits(&[0, 2]);

    const fn bits(positions: &[u32]) -> u32 {
        let (mut word, mut at) = (0, 0);
        while at < positions.len() {
            word |= 1 << positions[at];
            at += 1;
        }
        word
    }
}

/// What a sandbox sees of a leaf that is `real`.
const fn show(leaf: u32, owns_apic: bool, real: Cpuid) -> Cpuid {
    use features::{
        ADDRESSES_EBX, EXTENDED_ECX, EXTENDED_EDX, HYPERVISOR, LEAF_1_ECX, LEAF_1_EDX, LEAF_6_EAX,
        LEAF_7_EBX, LEAF_7_ECX, OWN_APIC, POWER_EDX,
    };
    let Cpuid { eax, ebx, ecx, edx } = real;
    match leaf {
        1 => {
            let apic = if owns_apic { OWN_APIC } else { 0 };
            Cpuid {
                ecx: ecx & (LEAF_1_ECX | apic) | HYPERVISOR,
                edx: edx & LEAF_1_EDX,
                ..real
            }
        }
        6 => only(eax & LEAF_6_EAX, 0, 0, 0),
        7 => only(0, ebx & LEAF_7_EBX, ecx & LEAF_7_ECX, 0),
        0x8000_0001 => Cpuid {
            ecx: ecx & EXTENDED_ECX,
            edx: edx & EXTENDED_EDX,
            ..real
        },
        0x8000_0007 => only(0, 0, 0, edx & POWER_EDX),
        0x8000_0008 => only(eax, ebx & ADDRESSES_EBX, ecx, 0),
        _ => real,
    }
}

const fn only(eax: u32, ebx: u32, ecx: u32, edx: u32) -> Cpuid {
    Cpuid { eax, ebx, ecx, edx }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Cpuid = Cpuid {
        eax: u32::MAX,
        ebx: u32::MAX,
        ecx: u32::MAX,
        edx: u32::MAX,
    };

    #[track_caller]
    fn assert_hidden(word: u32, bits: &[u32]) {
        for bit in bits {
            assert_eq!(word & 1 << bit, 0, "bit {bit}");
        }
    }

    #[track_caller]
    fn assert_shown(word: u32, bits: &[u32]) {
        for bit in bits {
            assert_ne!(word & 1 << bit, 0, "bit {bit}");
        }
    }

    #[test]
    fn what_a_sandbox_may_not_use_is_hidden() {
        let first = show(1, true, ALL);
        // Debug store, MONITOR, VMX, SMX, SpeedStep, FMA, XSAVE, OSXSAVE, AVX, RDRAND.
        assert_hidden(first.ecx, &[2, 3, 5, 6, 7, 12, 26, 27, 28, 30]);
        assert_hidden(first.edx, &[7, 12, 14, 21, 22]); // MCE, MTRR, MCA, debug store, thermal
        let seventh = show(7, true, ALL);
        // TSC_ADJUST, SGX, HLE, AVX2, RTM, resource control, AVX-512, RDSEED, trace.
        assert_hidden(seventh.ebx, &[1, 2, 4, 5, 11, 12, 15, 16, 18, 25, 31]);
        // Protection keys, WAITPKG, shadow stacks, VAES, RDPID, key locker.
        assert_hidden(seventh.ecx, &[3, 5, 7, 9, 22, 23]);
        assert_eq!(seventh.edx, 0);
        let extended = show(0x8000_0001, true, ALL);
        // SVM, extended APIC, IBS, XOP, SKINIT, watchdog, FMA4, counters, MWAITX.
        assert_hidden(extended.ecx, &[2, 3, 10, 11, 12, 13, 16, 23, 24, 28, 29]);
        assert_hidden(extended.edx, &[7, 12, 14, 25, 27]); // also FFXSR, RDTSCP
        let addresses = show(0x8000_0008, true, ALL);
        // INVLPGB, RDPRU, MCOMMIT, WBNOINVD, IBPB, IBRS, STIBP, SSBD.
        assert_hidden(addresses.ebx, &[3, 4, 8, 9, 12, 14, 15, 24]);
        assert_eq!(addresses.edx, 0, "counts of INVLPGB and RDPRU");
    }

    #[test]
    fn a_leaf_that_is_not_named_reads_as_zero() {
        // Counters, extended state, SGX, trace, tiles, another hypervisor's, AMD-V, encryption, and
        // beyond the last, where Intel's processors answer with the last.
        for leaf in [
            5,
            0xa,
            0xd,
            0x12,
            0x14,
            0x1d,
            0x4000_0000,
            0x8000_000a,
            0x8000_001f,
            0x7fff_ffff,
        ] {
            assert_eq!(filtered(leaf, 0, true), Cpuid::default(), "{leaf:#x}");
        }
        assert_eq!(filtered(7, 1, true), Cpuid::default());
    }

    #[test]
    fn what_page_hashes_and_the_scheduler_use_stays() {
        let first = show(1, true, ALL);
        assert_shown(first.ecx, &[0, 9, 19, 20, 21, 24, 25]);
        assert_shown(first.edx, &[9, 24, 25, 26]); // APIC, FXSR, SSE, SSE2
        assert_shown(show(7, true, ALL).ebx, &[7, 20, 29]); // SMEP, SMAP, SHA-NI
        assert_shown(show(7, true, ALL).ecx, &[2]); // UMIP
        assert_eq!(show(0x8000_0008, true, ALL).eax, u32::MAX, "address widths");
    }

    #[test]
    fn a_sandbox_without_its_own_apic_sees_no_x2apic() {
        assert_hidden(show(1, false, ALL).ecx, &[21, 24]);
    }
}
