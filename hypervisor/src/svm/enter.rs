//! The way into a guest and back: everything that VMRUN leaves to software.
use crate::guest::Registers;
use core::mem::offset_of;
use tern_machine::fpu::FpState;

/// What the entry code needs, by fixed offsets.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Context {
    /// General registers. RAX travels in the VMCB, RSP and RIP too.
    pub registers: Registers,
    /// Physical address of the guest's VMCB.
    pub guest_block: u64,
    /// Physical address of a VMCB that holds the hypervisor's own FS, GS, TR, LDTR.
    pub host_block: u64,
    padding: [u64; 1],
    /// The guest's FP registers while the hypervisor runs.
    pub fp: FpState,
}

const _: () = assert!(offset_of!(Context, guest_block) == 0x78);
const _: () = assert!(offset_of!(Context, host_block) == 0x80);
const _: () = assert!(offset_of!(Context, fp) == 0x90);

impl Context {
    /// Registers all zero.
    #[must_use]
    pub const fn new(guest_block: u64, host_block: u64) -> Self {
        Self {
            registers: Registers {
                rax: 0,
                rbx: 0,
                rcx: 0,
                rdx: 0,
                rsi: 0,
                rdi: 0,
                rbp: 0,
                r8: 0,
                r9: 0,
                r10: 0,
                r11: 0,
                r12: 0,
                r13: 0,
                r14: 0,
                r15: 0,
            },
            guest_block,
            host_block,
            padding: [0; 1],
            fp: FpState::INITIAL,
        }
    }
}

/// Enters the guest and returns at its exit, with the global interrupt flag clear as
/// the exit leaves it: in the hypervisor NMI and machine checks wait.
///
/// VMRUN and the exit switch RAX, RSP, RIP, flags, control registers and most segments
/// (APM vol. 2 §15.5); VMLOAD and VMSAVE the rest of the segments and the system-call
/// registers (§15.5.2). The other general registers and the FP state are switched
/// here, FP before any Rust code runs.
///
/// # Safety
/// SVM is enabled on this core, the global interrupt flag is clear, and `context`
/// names a complete VMCB of a guest that cannot reach the hypervisor's memory.
#[unsafe(naked)]
pub unsafe extern "sysv64" fn enter(context: *mut Context) {
    core::arch::naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rdi",
        "fxrstor64 [rdi + 0x90]",
        "mov rax, [rdi + 0x78]",
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
        "vmload rax",
        "vmrun rax",
        "vmsave rax",
        "xchg rdi, [rsp]",
        "fxsave64 [rdi + 0x90]",
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
        "mov rax, [rdi + 0x80]",
        "vmload rax",
        // The hypervisor's compiled code expects the initial FP control words.
        "fninit",
        "push 0x1f80",
        "ldmxcsr [rsp]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
    );
}
