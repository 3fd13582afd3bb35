//! The way into a guest and back: everything that VMRUN leaves to software.
use crate::guest::Registers;
use crate::switch::{enter_frame, find_context, leave_frame, load_guest, save_guest};
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
            registers: Registers::ZERO,
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
        enter_frame!(),
        "fxrstor64 [rdi + 0x90]",
        "mov rax, [rdi + 0x78]",
        load_guest!(),
        "vmload rax",
        "vmrun rax",
        "vmsave rax",
        find_context!(),
        "fxsave64 [rdi + 0x90]",
        save_guest!(),
        "mov rax, [rdi + 0x80]",
        "vmload rax",
        leave_frame!(),
    );
}
