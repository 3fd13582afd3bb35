//! Interrupt and exception entry: a stub for each vector.
//!
//! Interrupts, and exceptions of programs and threads, arrive on interrupt stack 1,
//! which is the running thread's own context: the processor and the stub push the
//! frame where it has to be. The handler then runs on the interrupt stack proper and
//! returns the context to go on with. Double fault, non-maskable interrupt and machine
//! check arrive on stacks of their own and never return.
use super::system_call_entry::system_call_entry;
use super::vectors::{fatal, interrupt, timer_interrupt};
use crate::cpu::apic::{Counted, Deadline};
use crate::cpu::context::Context;
use crate::cpu::descriptors::Entries;
use core::arch::global_asm;
use core::mem::offset_of;
use tern_machine::push_registers;

unsafe extern "C" {
    /// The first of 256 stubs.
    static vector_stubs: u8;
    /// The timer's own entry, in place of its stub.
    static counted_timer_entry: u8;
    /// The same where the timer takes a deadline, since the time epoch.
    static deadline_timer_entry: u8;
}

/// Returns where interrupts, exceptions and system calls arrive.
#[must_use]
pub fn entries() -> Entries {
    Entries {
        first_stub: &raw const vector_stubs as u64,
        counted_timer: &raw const counted_timer_entry as u64,
        deadline_timer: &raw const deadline_timer_entry as u64,
        system_call: system_call_entry as *const () as u64,
    }
}

// AT&T syntax for the stubs: in Intel syntax the assembler takes `push vector` for a
// memory operand. Intel SDM vol. 3 table 6-1: vectors 8, 10 to 14, 17, 21, 29 and 30
// push an error code.
global_asm!(
    r#"
    .pushsection .text.entry, "ax", @progbits
    .p2align 4
    .globl vector_stubs
vector_stubs:
    .set vector, 0
    .rept 256
    .p2align 4
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
    pushq $0
    .endif
    pushq $vector
    .if vector == 2 || vector == 8 || vector == 18
    jmp fatal_entry
    .else
    jmp interrupt_entry
    .endif
    .set vector, vector + 1
    .endr
    .popsection
    "#,
    options(att_syntax)
);

macro_rules! timer_entry {
    ($name:literal, $access:ty) => {
        global_asm!(
            ".pushsection .text.entry, \"ax\", @progbits",
            ".p2align 4",
            concat!(".globl ", $name),
            concat!(".type ", $name, ", @function"),
            concat!($name, ":"),
            "sub rsp, 16", // no vector and no error code: nobody reads them
            push_registers!(),
            "fxsave64 [rsp - {frame}]",
            "mov rsp, [rip + INTERRUPT_STACK]",
            "cld",
            "call {timer_interrupt}",
            concat!(".size ", $name, ", . - ", $name),
            ".popsection",
            frame = const offset_of!(Context, frame),
            timer_interrupt = sym timer_interrupt::<$access>,
        );
    };
}
timer_entry!("counted_timer_entry", Counted);
timer_entry!("deadline_timer_entry", Deadline);

global_asm!(
    r#"
    .pushsection .text.entry, "ax", @progbits
    .p2align 4
    .type interrupt_entry, @function
interrupt_entry:
"#,
    push_registers!(),
    r#"
    lea rsi, [rsp - {frame}]
    fxsave64 [rsi]
    mov rdi, [rsp + 15 * 8]
    mov rsp, [rip + INTERRUPT_STACK]
    cld
    call {interrupt}
    jmp resume
    .size interrupt_entry, . - interrupt_entry

    .p2align 4
    .type fatal_entry, @function
fatal_entry:
"#,
    push_registers!(),
    r#"
    mov rdi, rsp
    and rsp, -16
    cld
    call {fatal}
    ud2
    .size fatal_entry, . - fatal_entry
    .popsection
    "#,
    frame = const offset_of!(Context, frame),
    interrupt = sym interrupt,
    fatal = sym fatal,
);
