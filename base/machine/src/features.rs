//! What of a processor every image needs, as it is compiled: the bits of CPUID that are looked at
//! on each core before the first instruction that needs them (Intel SDM vol. 2, CPUID; AMD APM
//! vol. 3, appendix E).

/// Bits of leaf 1, ECX.
pub const LEAF_1_ECX: u32 = if_compiled(cfg!(target_feature = "sse3"), 0)
    | if_compiled(cfg!(target_feature = "ssse3"), 9)
    | if_compiled(cfg!(target_feature = "sse4.1"), 19)
    | if_compiled(cfg!(target_feature = "sse4.2"), 20)
    | if_compiled(cfg!(target_feature = "aes"), 25);

/// Bits of leaf 1, EDX: FPU, TSC, MSR, PAE, CMPXCHG8B and CMOV of every x86-64 processor, FXSR,
/// SSE, SSE2.
pub const LEAF_1_EDX: u32 =
    1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 15 | 1 << 24 | 1 << 25 | 1 << 26;

/// Bits of leaf 8000_0001, EDX: long mode and pages that are not executed.
pub const EXTENDED_EDX: u32 = 1 << 29 | 1 << 20;

// A feature that the entry code does not look at would be used without it. Images are built
// without unwinding, as nothing else is.
const _: () = assert!(
    cfg!(not(panic = "abort"))
        || !cfg!(any(
            target_feature = "adx",
            target_feature = "avx",
            target_feature = "bmi1",
            target_feature = "bmi2",
            target_feature = "cmpxchg16b",
            target_feature = "lzcnt",
            target_feature = "movbe",
            target_feature = "pclmulqdq",
            target_feature = "popcnt",
            target_feature = "rdrand",
            target_feature = "rdseed",
            target_feature = "sha",
            target_feature = "sse4a",
            target_feature = "xsave",
        )),
    "add the bit of the new feature above, and its name to the line below"
);

const fn if_compiled(compiled: bool, bit: u32) -> u32 {
    (compiled as u32) << bit
}

/// What a processor lacks that does not have the bits of leaf 8000_0001.
#[macro_export]
macro_rules! long_mode_names {
    () => {
        "64-bit mode with no-execute pages"
    };
}

/// What a processor lacks that does not have the bits of leaf 1.
#[macro_export]
macro_rules! instruction_names {
    () => {
        "FXSR, SSE, SSE2, SSE3, SSSE3, SSE4.1, SSE4.2 or AES instructions"
    };
}
