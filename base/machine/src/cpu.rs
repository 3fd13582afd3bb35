//! Single instructions of the processor that both images use.
use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, _rdtsc};

/// What CPUID returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpuid {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

/// CPUID for `leaf` and `subleaf`, whether the processor has that leaf or not.
#[must_use]
pub fn cpuid(leaf: u32, subleaf: u32) -> Cpuid {
    let result = __cpuid_count(leaf, subleaf);
    Cpuid {
        eax: result.eax,
        ebx: result.ebx,
        ecx: result.ecx,
        edx: result.edx,
    }
}

/// CPUID for `leaf` and subleaf 0; all zeroes where the processor does not have it.
#[must_use]
pub fn cpuid_if_present(leaf: u32) -> Cpuid {
    if leaf > cpuid(leaf & 0x8000_0000, 0).eax {
        return Cpuid::default();
    }
    cpuid(leaf, 0)
}

/// The timestamp counter.
#[inline]
#[must_use]
pub fn timestamp() -> u64 {
    // SAFETY: RDTSC reads a counter; long mode implies its presence.
    unsafe { _rdtsc() }
}

/// Reads a model-specific register.
///
/// # Safety
/// The register must exist on this processor, or the read raises #GP.
#[inline]
#[must_use]
pub unsafe fn read_msr(register: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller vouches for the register.
    unsafe {
        asm!("rdmsr", in("ecx") register, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
///
/// # Safety
/// The register must exist and take the value, and what it changes must keep the
/// running code valid.
#[inline]
pub unsafe fn write_msr(register: u32, value: u64) {
    // SAFETY: the caller vouches for register and value.
    unsafe {
        asm!("wrmsr", in("ecx") register, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nostack, preserves_flags));
    }
}

/// Lets machine checks raise their exception: without CR4.MCE they shut the processor down
/// (Intel SDM vol. 3 §2.5, AMD APM vol. 2 §9.3.1).
///
/// # Safety
/// This core's interrupt table has a gate for vector 18.
pub unsafe fn enable_machine_checks() {
    const MACHINE_CHECK_ENABLE: u64 = 1 << 6;
    // SAFETY: every processor with long mode has the bit; the caller vouches for the gate.
    unsafe {
        asm!(
            "mov {cr4}, cr4",
            "or {cr4}, {bit}",
            "mov cr4, {cr4}",
            cr4 = out(reg) _,
            bit = const MACHINE_CHECK_ENABLE,
            options(nomem, nostack)
        );
    }
}

/// Waits for an interrupt; returns at once if one is pending and allowed.
#[inline]
pub fn halt() {
    // SAFETY: HLT touches no memory.
    unsafe { asm!("hlt", options(nomem, nostack, preserves_flags)) };
}

/// Stops this core for good. Non-maskable interrupts wake it only to halt again.
pub fn halt_forever() -> ! {
    loop {
        // SAFETY: CLI and HLT touch no memory.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// Reads CR2, the address of the last page fault.
#[must_use]
pub fn page_fault_address() -> u64 {
    let address;
    // SAFETY: reading CR2 has no effect; ring 0 is where these images run.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) };
    address
}
