//! Exceptions: their names, and what one of a program tells.

/// The page fault's vector.
pub const PAGE_FAULT: u64 = 14;

/// An exception that a program raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramFault {
    /// The exception's vector; [`ProgramFault::BAD_CONTEXT`] where the stored context
    /// could not be entered.
    pub vector: u64,
    /// The processor's error code.
    pub error: u64,
    /// The address of a page fault, else the instruction's.
    pub address: u64,
    /// The instruction pointer.
    pub instruction: u64,
}

impl ProgramFault {
    /// In place of a vector: the stored context is no program's.
    pub const BAD_CONTEXT: u64 = 0x100;

    /// The exception's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        exception_name(self.vector)
    }
}

/// The name of an exception (Intel SDM vol. 3 table 6-1).
#[must_use]
pub fn exception_name(vector: u64) -> &'static str {
    const NAMES: [&str; 22] = [
        "divide error",
        "debug",
        "non-maskable interrupt",
        "breakpoint",
        "overflow",
        "bound range exceeded",
        "invalid opcode",
        "device not available",
        "double fault",
        "coprocessor segment overrun",
        "invalid task segment",
        "segment not present",
        "stack fault",
        "general protection",
        "page fault",
        "reserved exception",
        "x87 floating point",
        "alignment check",
        "machine check",
        "SIMD floating point",
        "virtualization",
        "control protection",
    ];
    match NAMES.get(vector as usize) {
        Some(name) => name,
        None if vector == ProgramFault::BAD_CONTEXT => "bad saved context",
        None => "reserved exception",
    }
}
