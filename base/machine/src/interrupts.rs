//! Interrupt entry: one stub per vector that saves the general registers and calls one
//! Rust function.

/// The registers of interrupted code, as the stubs of [`interrupt_entry!`](crate::interrupt_entry) push them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Frame {
    /// R15 down to R8, RBP, RDI, RSI, RDX, RCX, RBX, RAX.
    pub registers: [u64; 15],
    /// The vector.
    pub vector: u64,
    /// The error code; zero for vectors without one.
    pub error: u64,
    /// Instruction pointer.
    pub rip: u64,
    /// Code segment; its low two bits are the interrupted ring.
    pub cs: u64,
    /// Flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack segment.
    pub ss: u64,
}

/// Assembly that pushes the general registers as [`Frame::registers`] has them.
#[macro_export]
macro_rules! push_registers {
    () => {
        "push rax
        push rbx
        push rcx
        push rdx
        push rsi
        push rdi
        push rbp
        push r8
        push r9
        push r10
        push r11
        push r12
        push r13
        push r14
        push r15"
    };
}

/// Assembly that takes back what [`push_registers!`](crate::push_registers) has pushed.
#[macro_export]
macro_rules! pop_registers {
    () => {
        "pop r15
        pop r14
        pop r13
        pop r12
        pop r11
        pop r10
        pop r9
        pop r8
        pop rbp
        pop rdi
        pop rsi
        pop rdx
        pop rcx
        pop rbx
        pop rax"
    };
}

/// Bytes between the stubs of two vectors.
pub const STUB_BYTES: u64 = 16;

/// Defines 256 interrupt stubs at the symbol `$stubs`, [`STUB_BYTES`] apart, that push
/// a [`Frame`] and call `$handler`, an `extern "C" fn(&mut Frame)` that must be
/// `#[unsafe(no_mangle)]`; they return to what the frame holds then.
///
/// The handler may use FP registers only if it saves them: see [`crate::fpu`]. The
/// stubs do not swap GS.
#[macro_export]
macro_rules! interrupt_entry {
    ($stubs:literal, $handler:literal) => {
        ::core::arch::global_asm!(
            ".pushsection .text.interrupts, \"ax\", @progbits",
            ".p2align 4",
            concat!(".globl ", $stubs),
            concat!($stubs, ":"),
            ".set vector, 0",
            ".rept 256",
            ".p2align 4",
            // Intel SDM vol. 3 table 6-1: 8, 10 to 14, 17, 21, 29 and 30 push an error code.
            ".if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)",
            "push 0",
            ".endif",
            "push vector",
            concat!("jmp ", $stubs, "_common"),
            ".set vector, vector + 1",
            ".endr",
            ".p2align 4",
            concat!($stubs, "_common:"),
            $crate::push_registers!(),
            "cld",
            "mov rdi, rsp",
            "mov rbx, rsp",
            "and rsp, -16",
            concat!("call ", $handler),
            "mov rsp, rbx",
            $crate::pop_registers!(),
            "add rsp, 16",
            "iretq",
            ".popsection",
        );
    };
}
