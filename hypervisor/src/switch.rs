//! The parts of the way into a guest and back that do not depend on the vendor, as pieces of
//! assembly. RDI points to [`crate::guest::Registers`], which begin the vendor's context.
//! RAX, RSP and the instruction pointer are the vendor's to switch.

core::arch::global_asm!(
    ".pushsection .rodata.switch, \"a\", @progbits",
    ".balign 4",
    ".globl hypervisor_initial_mxcsr",
    "hypervisor_initial_mxcsr: .long 0x1f80",
    ".popsection",
);

/// Pushes what the caller's convention keeps, and RDI, which [`save_guest`] takes back.
macro_rules! enter_frame {
    () => {
        "push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        push rdi"
    };
}

/// Returns to the caller of [`enter_frame`], with the FP control words that compiled code
/// expects.
macro_rules! leave_frame {
    () => {
        "fninit
        ldmxcsr [rip + hypervisor_initial_mxcsr]
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        ret"
    };
}

/// Loads the guest's registers, RDI last.
macro_rules! load_guest {
    () => {
        "mov rbx, [rdi + 0x08]
        mov rcx, [rdi + 0x10]
        mov rdx, [rdi + 0x18]
        mov rsi, [rdi + 0x20]
        mov rbp, [rdi + 0x30]
        mov r8, [rdi + 0x38]
        mov r9, [rdi + 0x40]
        mov r10, [rdi + 0x48]
        mov r11, [rdi + 0x50]
        mov r12, [rdi + 0x58]
        mov r13, [rdi + 0x60]
        mov r14, [rdi + 0x68]
        mov r15, [rdi + 0x70]
        mov rdi, [rdi + 0x28]"
    };
}

/// Takes RDI back from the stack and leaves the guest's there, so that [`save_guest`] can
/// store it.
macro_rules! find_context {
    () => {
        "xchg rdi, [rsp]"
    };
}

/// Stores the guest's registers and takes its RDI from the stack; RAX is overwritten.
macro_rules! save_guest {
    () => {
        "mov [rdi + 0x08], rbx
        mov [rdi + 0x10], rcx
        mov [rdi + 0x18], rdx
        mov [rdi + 0x20], rsi
        mov [rdi + 0x30], rbp
        mov [rdi + 0x38], r8
        mov [rdi + 0x40], r9
        mov [rdi + 0x48], r10
        mov [rdi + 0x50], r11
        mov [rdi + 0x58], r12
        mov [rdi + 0x60], r13
        mov [rdi + 0x68], r14
        mov [rdi + 0x70], r15
        pop rax
        mov [rdi + 0x28], rax"
    };
}

pub(crate) use {enter_frame, find_context, leave_frame, load_guest, save_guest};
