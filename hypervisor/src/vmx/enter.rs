//! The way into a guest and back: everything that VM entry and exit leave to software.
use crate::guest::Registers;
use core::mem::offset_of;
use tern_machine::fpu::FpState;

/// What the entry code needs, by fixed offsets.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Context {
    /// General registers. RSP and RIP travel in the VMCS.
    pub registers: Registers,
    padding: u64,
    /// The guest's FP registers while the hypervisor runs.
    pub fp: FpState,
}

const _: () = assert!(offset_of!(Context, fp) == 0x80);

impl Context {
    /// With these registers, and FP in its initial state.
    #[must_use]
    pub const fn new(registers: Registers) -> Self {
        Self {
            registers,
            padding: 0,
            fp: FpState::INITIAL,
        }
    }
}

core::arch::global_asm!(
    ".pushsection .rodata.vmx, \"a\", @progbits",
    ".balign 4",
    "vmx_initial_mxcsr: .long 0x1f80",
    ".popsection",
);

unsafe extern "C" {
    /// Where exits go: inside [`enter`].
    pub static vmx_exit: u8;
}

/// Enters the guest of the current VMCS and returns at its exit; true if the processor
/// refused the entry and there was no guest to leave. Interrupts are off afterwards.
///
/// Entry and exit switch RSP, RIP, flags, control registers, segments, SYSENTER
/// registers, EFER and PAT (Intel SDM vol. 3 §§27.3, 28.3, 28.5). The other general
/// registers and the FP state are switched here, FP before any Rust code runs. STAR to
/// SFMASK and the kernel GS base stay the guest's: the hypervisor does not use them.
///
/// # Safety
/// The core is in VMX operation with a complete VMCS current, whose host RIP is
/// [`vmx_exit`] and whose guest cannot reach the hypervisor's memory. `resume` is
/// whether this VMCS was launched before.
#[unsafe(naked)]
pub unsafe extern "sysv64" fn enter(context: *mut Context, resume: bool) -> bool {
    core::arch::naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rdi",
        "mov eax, 0x6c14", // host RSP
        "vmwrite rax, rsp",
        "fxrstor64 [rdi + 0x80]",
        "test sil, sil",
        "mov rax, [rdi]",
        "mov rbx, [rdi + 0x08]",
        "mov rcx, [rdi + 0x10]",
        "mov rdx, [rdi + 0x18]",
        "mov rsi, [rdi + 0x20]",
        "mov rbp, [rdi + 0x30]",
        "mov r8, [rdi + 0x38]",
        "mov r9, [rdi + 0x40]",
        "mov r10, [rdi + 0x48]",
        "mov r11, [rdi + 0x50]",
        "mov r12, [rdi + 0x58]",
        "mov r13, [rdi + 0x60]",
        "mov r14, [rdi + 0x68]",
        "mov r15, [rdi + 0x70]",
        "mov rdi, [rdi + 0x28]",
        "jne 2f",
        "vmlaunch",
        "jmp 3f",
        "2:",
        "vmresume",
        "3:",
        "pop rdi",
        "mov eax, 1",
        "jmp 4f",
        ".globl vmx_exit",
        "vmx_exit:",
        "xchg rdi, [rsp]",
        "fxsave64 [rdi + 0x80]",
        "mov [rdi], rax",
        "mov [rdi + 0x08], rbx",
        "mov [rdi + 0x10], rcx",
        "mov [rdi + 0x18], rdx",
        "mov [rdi + 0x20], rsi",
        "mov [rdi + 0x30], rbp",
        "mov [rdi + 0x38], r8",
        "mov [rdi + 0x40], r9",
        "mov [rdi + 0x48], r10",
        "mov [rdi + 0x50], r11",
        "mov [rdi + 0x58], r12",
        "mov [rdi + 0x60], r13",
        "mov [rdi + 0x68], r14",
        "mov [rdi + 0x70], r15",
        "pop rax",
        "mov [rdi + 0x28], rax",
        "xor eax, eax",
        "4:",
        // The hypervisor's compiled code expects the initial FP control words.
        "fninit",
        "ldmxcsr [rip + vmx_initial_mxcsr]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
    );
}
