//! The way into a guest and back: everything that VM entry and exit leave to software.
use crate::guest::Registers;
use crate::switch::{enter_frame, find_context, leave_frame, load_guest, save_guest};
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
        enter_frame!(),
        "mov eax, 0x6c14", // host RSP
        "vmwrite rax, rsp",
        "fxrstor64 [rdi + 0x80]",
        "test sil, sil",
        "mov rax, [rdi]",
        load_guest!(),
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
        find_context!(),
        "fxsave64 [rdi + 0x80]",
        "mov [rdi], rax",
        save_guest!(),
        "xor eax, eax",
        "4:",
        leave_frame!(),
    );
}
