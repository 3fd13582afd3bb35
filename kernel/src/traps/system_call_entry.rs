//! Where SYSCALL arrives, and the two calls that are served there.
//!
//! SYSCALL (Intel SDM vol. 2, AMD APM vol. 2 §6.1.1) leaves the stack alone, RIP in RCX
//! and RFLAGS in R11; interrupts are off by the flag mask. The program's state goes to
//! its stored context, then the thread returns from `enter_user`.
//!
//! Two calls do not leave ring 3 in that sense, and are served on the handlers' stack,
//! which nobody uses in thread context. FP registers are saved before Rust code runs:
//!
//! * the null call keeps what Rust may change, and returns by IRET: SYSRET would need
//!   care for addresses that are not canonical and for stack segments on AMD processors;
//! * a program that gives way leaves its state where an interrupt would: in its thread's
//!   context.
use crate::cpu::context::{Context, EntryBlock, RETURN_FLAGS};
use crate::{thread, trace};
use core::arch::global_asm;
use core::mem::{offset_of, size_of};
use tern_abi::system_call::SystemCall;
use tern_machine::descriptors::{USER_CODE, USER_DATA};
use tern_machine::fpu::FpState;
use tern_machine::push_registers;
use tern_trace::Event;

unsafe extern "C" {
    /// Where SYSCALL arrives.
    pub fn system_call_entry();
}

/// Serves the null call: it leaves a record. Interrupts are off.
extern "C" fn serve_null() {
    trace::record_masked(Event::SystemCall {
        thread: thread::current_masked().0,
        number: SystemCall::Null as u32,
    });
}

/// Lets the server's other threads run first, and returns the context to go on with.
/// Interrupts are off, and the program's state is in its thread's context. What it leaves
/// in the trace is the switch.
extern "C" fn serve_give_way() -> *const Context {
    thread::give_way()
}

global_asm!(
    r#"
    .pushsection .text.context, "ax", @progbits
    .p2align 4
    .globl system_call_entry
    .type system_call_entry, @function
system_call_entry:
    mov [rip + system_call_rsp], rsp
    cmp rax, {null}
    je 2f
    cmp rax, {give_way}
    je 3f
    mov rsp, [rip + CURRENT]
    mov rsp, [rsp + {user_end}]
    push {user_data}
    push qword ptr [rip + system_call_rsp]
    push r11
    push {user_code}
    push rcx
    push 0
    push 0
"#,
    push_registers!(),
    r#"
    fxsave64 [rsp - {frame}]
    mov rbx, [rip + CURRENT]
    mov rsp, [rbx + {kernel_rsp}]
    xor eax, eax
    jmp leave_user

2:  mov rsp, [rip + INTERRUPT_STACK]     // the null call
    and r11d, {user_flags}               // no trap flag, as after every call
    push {user_data}
    push qword ptr [rip + system_call_rsp]
    push r11
    push {user_code}
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    sub rsp, {float_room}                // 11 words are pushed: this aligns to 16
    fxsave64 [rsp]
    call {serve_null}
    fxrstor64 [rsp]
    add rsp, {float_room}
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    xor ecx, ecx                         // what Rust left in them is the kernel's
    xor r11d, r11d
    xor eax, eax
    iretq

3:  mov rsp, [rip + CURRENT]             // giving way
    add rsp, {context_size}
    and r11d, {user_flags}
    push {user_data}
    push qword ptr [rip + system_call_rsp]
    push r11
    push {user_code}
    push rcx
    push 0
    push 0
    xor eax, eax
"#,
    push_registers!(),
    r#"
    fxsave64 [rsp - {frame}]
    mov rsp, [rip + INTERRUPT_STACK]
    call {serve_give_way}
    jmp resume
    .size system_call_entry, . - system_call_entry
    .popsection

    .pushsection .bss.context, "aw", @nobits
    .p2align 3
system_call_rsp:
    .skip 8
    .popsection
    "#,
    frame = const offset_of!(Context, frame),
    user_end = const offset_of!(EntryBlock, user_context_end),
    kernel_rsp = const offset_of!(EntryBlock, kernel_rsp),
    user_data = const USER_DATA,
    user_code = const USER_CODE,
    null = const SystemCall::Null as u64,
    give_way = const SystemCall::GiveWay as u64,
    serve_null = sym serve_null,
    serve_give_way = sym serve_give_way,
    float_room = const size_of::<FpState>() + 8,
    context_size = const size_of::<Context>(),
    user_flags = const RETURN_FLAGS,
);
