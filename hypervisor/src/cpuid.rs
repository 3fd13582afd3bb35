//! What a sandbox sees of the processor: all that it may use, and nothing of
//! virtualization, extended state, performance counters or machine checks.
use tern_machine::cpu::{Cpuid, cpuid};

/// The leaf for a sandbox. `owns_apic` is whether it reaches its x2APIC itself.
#[must_use]
pub fn filtered(leaf: u32, subleaf: u32, owns_apic: bool) -> Cpuid {
    let real = if is_hidden(leaf) {
        Cpuid::default()
    } else {
        cpuid(leaf, subleaf)
    };
    hide(leaf, subleaf, owns_apic, real)
}

/// Leaves that read as zero: MONITOR (5), performance counters (0xa), extended state
/// (0xd), resource control (0xf, 0x10), SGX (0x12), trace (0x14), other hypervisors
/// (0x4000_00xx), AMD-V (0x8000_000a), IBS (0x8000_001b), encryption (0x8000_001f).
fn is_hidden(leaf: u32) -> bool {
    matches!(leaf, 5 | 0xa | 0xd | 0xf | 0x10 | 0x12 | 0x14)
        || matches!(leaf, 0x4000_0000..=0x4fff_ffff)
        || matches!(leaf, 0x8000_000a | 0x8000_001b | 0x8000_001f)
}

fn hide(leaf: u32, subleaf: u32, owns_apic: bool, real: Cpuid) -> Cpuid {
    let mut seen = real;
    match (leaf, subleaf) {
        (1, _) => {
            // MONITOR, VMX, SMX, FMA, PDCM, XSAVE, OSXSAVE, AVX, F16C, RDRAND.
            seen.ecx &= !(1 << 3
                | 1 << 5
                | 1 << 6
                | 1 << 12
                | 1 << 15
                | 1 << 26
                | 1 << 27
                | 1 << 28
                | 1 << 29
                | 1 << 30);
            if !owns_apic {
                seen.ecx &= !(1 << 21 | 1 << 24); // x2APIC, TSC deadline
            }
            seen.ecx |= 1 << 31; // runs under a hypervisor
            seen.edx &= !(1 << 7 | 1 << 12 | 1 << 14); // MCE, MTRR, MCA
        }
        (7, 0) => {
            // AVX2, INVPCID stays, RTM, PQM, PQE, AVX-512 (F, DQ, IFMA, PF, ER, CD, BW,
            // VL), RDSEED, processor trace.
            seen.ebx &= !(1 << 5
                | 1 << 11
                | 1 << 12
                | 1 << 15
                | 1 << 16
                | 1 << 17
                | 1 << 18
                | 1 << 21
                | 1 << 25
                | 0xf << 26 & !(1 << 29)
                | 1 << 30
                | 1 << 31);
            // AVX-512 VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ; VAES, VPCLMULQDQ; keys; TPAUSE.
            seen.ecx &= !(1 << 1
                | 1 << 3
                | 1 << 4
                | 1 << 5
                | 1 << 6
                | 1 << 9
                | 1 << 10
                | 1 << 11
                | 1 << 12
                | 1 << 14);
            seen.edx = 0;
        }
        (7, _) => seen = Cpuid::default(),
        (0x8000_0001, _) => {
            // SVM, IBS, XOP, SKINIT, FMA4, performance counters, MWAITX.
            seen.ecx &= !(1 << 2
                | 1 << 10
                | 1 << 11
                | 1 << 12
                | 1 << 16
                | 1 << 23
                | 1 << 24
                | 1 << 28
                | 1 << 29);
            seen.edx &= !(1 << 7 | 1 << 12 | 1 << 14);
        }
        _ => {}
    }
    seen
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

    #[test]
    fn virtualization_and_extended_state_are_hidden() {
        let features = hide(1, 0, true, ALL).ecx;
        for bit in [3, 5, 26, 27, 28, 30] {
            assert_eq!(features & 1 << bit, 0, "leaf 1 ECX bit {bit}");
        }
        assert_eq!(hide(0x8000_0001, 0, true, ALL).ecx & (1 << 2 | 1 << 12), 0);
        assert_eq!(filtered(0x8000_000a, 0, true), Cpuid::default());
        assert_eq!(filtered(0xd, 0, true), Cpuid::default());
    }

    #[test]
    fn what_page_hashes_and_the_scheduler_use_stays() {
        let features = hide(1, 0, true, ALL);
        for bit in [0, 9, 19, 20, 21, 24, 25] {
            assert_ne!(features.ecx & 1 << bit, 0, "leaf 1 ECX bit {bit}");
        }
        assert_ne!(hide(7, 0, true, ALL).ebx & 1 << 29, 0, "SHA-NI");
    }

    #[test]
    fn a_sandbox_without_its_own_apic_sees_no_x2apic() {
        assert_eq!(hide(1, 0, false, ALL).ecx & (1 << 21 | 1 << 24), 0);
    }
}
