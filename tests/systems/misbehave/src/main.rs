//! A program that breaks one rule, chosen by its argument, in its third job. The kernel
//! must stop it alone; `tests` says what each is answered with.
#![no_std]
#![no_main]

use core::arch::asm;
use tern_abi::layout::{INPUT_PAGE, PROGRAM_BASE, STACK_TOP};
use tern_app::{Job, Program, log, program, system};

/// The job in which it happens.
const AT: u64 = 2;

struct Misbehave(u64);

impl Program for Misbehave {
    const INITIAL: Self = Self(0);

    fn start(&mut self, argument: u64) {
        self.0 = argument;
    }

    fn job(&mut self, job: &mut Job<'_>) {
        if job.input.epoch() != AT {
            return;
        }
        // SAFETY: none of it is safe: each breaks a rule on purpose, and the kernel ends
        // the program there.
        unsafe { misbehave(self.0) }
        log!("got away with {}", self.0);
    }
}

unsafe fn misbehave(number: u64) {
    // SAFETY: see the caller.
    unsafe {
        match number {
            0 => write(0, 1),
            1 => write(PROGRAM_BASE.as_u64(), 1),
            2 => write(INPUT_PAGE.as_u64(), 1),
            3 => write(STACK_TOP.as_u64(), 1),
            4 => read(0xffff_8000_0020_0000),
            5 => read(0xffff_ffff_8020_0000),
            6 => read(0x0000_8000_0000_0000),
            7 => execute_stack(),
            8 => drop(overflow_stack(0)),
            9 => asm!("cli"),
            10 => asm!("hlt"),
            11 => asm!("in al, dx", in("dx") 0x2f8_u16, out("al") _),
            12 => asm!("rdtsc", out("eax") _, out("edx") _),
            13 => asm!("rdmsr", in("ecx") 0x1b_u32, out("eax") _, out("edx") _),
            14 => asm!("mov cr3, {}", in(reg) 0_u64),
            15 => asm!("int 0x42"),
            16 => asm!("int 0x80"),
            17 => asm!("ud2"),
            18 => asm!("int3"),
            19 => {
                asm!("div {0:r}", in(reg) 0_u64, inlateout("rax") 1_u64 => _, inlateout("rdx") 0_u64 => _)
            }
            20 => asm!("vmmcall", inlateout("rax") 5_u64 => _, in("rdi") 0_u64),
            21 => asm!("rdpmc", in("ecx") 0_u32, out("eax") _, out("edx") _),
            22 => asm!("wrmsr", in("ecx") 0x830_u32, in("eax") 0x500_u32, in("edx") 0_u32),
            23 => bad_system_calls(),
            24 => trap_flag_into_system_call(),
            25 => asm!("mov rsp, {}", "push rax", in(reg) 0x8000_0000_0000_0000_u64),
            26 => system::exit(26),
            27 => panic!("on purpose"),
            28 => loop {
                core::hint::spin_loop();
            },
            29 => foreign_segments(),
            30 => masked_float_exceptions(),
            31 => cpuid(),
            32 => asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop", "nop"),
            33 => shadowed_trap(),
            34 => shadowed_debug_interrupt(),
            35 => asm!("rdtscp", out("eax") _, out("edx") _, out("ecx") _),
            // RDPRU.
            36 => {
                asm!(".byte 0x0f, 0x01, 0xfd", in("ecx") 0_u32, lateout("eax") _, lateout("edx") _)
            }
            _ => {}
        }
    }
}

unsafe fn write(address: u64, value: u64) {
    // SAFETY: see `misbehave`. By assembly: the compiler makes nothing of a null pointer.
    unsafe { asm!("mov [{}], {}", in(reg) address, in(reg) value) };
}

unsafe fn read(address: u64) {
    // SAFETY: see `misbehave`.
    unsafe { asm!("mov {0}, [{0}]", inout(reg) address => _) };
}

unsafe fn execute_stack() {
    let code = [0xc3_u8; 16];
    // SAFETY: see `misbehave`.
    unsafe { asm!("call {}", in(reg) code.as_ptr(), clobber_abi("C")) };
}

#[inline(never)]
fn overflow_stack(depth: u64) -> u64 {
    let room = core::hint::black_box([depth; 64]);
    if depth == u64::MAX {
        return 0;
    }
    overflow_stack(depth + 1) + room[(depth % 64) as usize]
}

/// CPUID is the hypervisor's to refuse.
unsafe fn cpuid() {
    core::hint::black_box(core::arch::x86_64::__cpuid(1));
}

/// Every refusal must leave the program running.
unsafe fn bad_system_calls() {
    for (number, first, second) in [
        (5_u64, 0_u64, 0_u64),
        (u64::MAX, 0, 0),
        (1, 0, 8),
        (1, 0xffff_8000_0020_0000, 8),
        (1, u64::MAX, 8),
        (1, PROGRAM_BASE.as_u64(), 257),
        (1, PROGRAM_BASE.as_u64(), u64::MAX),
        (1, STACK_TOP.as_u64() - 4, 8),
    ] {
        let result: i64;
        // SAFETY: see `misbehave`.
        unsafe {
            asm!("syscall", inlateout("rax") number => result, in("rdi") first, in("rsi") second, lateout("rcx") _, lateout("r11") _);
        }
        if result >= 0 {
            log!("system call {number} with {first:#x} and {second} returned {result}");
            system::exit(1);
        }
    }
    log!("every bad system call was refused");
}

/// SYSCALL must clear the trap flag in the kernel, whatever the program set.
unsafe fn trap_flag_into_system_call() {
    // SAFETY: see `misbehave`.
    unsafe {
        asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "syscall", inlateout("rax") 3_u64 => _, lateout("rcx") _, lateout("r11") _);
    }
}

/// The same with the trap held back by a load of SS until SYSCALL (CVE-2018-8897).
unsafe fn shadowed_trap() {
    // SAFETY: see `misbehave`.
    unsafe {
        asm!("mov ecx, ss", "pushfq", "or qword ptr [rsp], 0x100", "popfq", "mov ss, ecx", "syscall", inlateout("rax") 3_u64 => _, lateout("rcx") _, lateout("r11") _);
    }
}

/// INT1 where a single-step trap waits behind a load of SS: the hypervisor gets the debug
/// exception with the load's shadow still there.
unsafe fn shadowed_debug_interrupt() {
    // SAFETY: see `misbehave`.
    unsafe {
        asm!("mov ecx, ss", "pushfq", "or qword ptr [rsp], 0x100", "popfq", "mov ss, ecx", ".byte 0xf1", lateout("rcx") _);
    }
}

/// Selectors of its own in every data segment register: nobody else may see them.
unsafe fn foreign_segments() {
    // SAFETY: see `misbehave`.
    unsafe {
        asm!("mov ds, {0:e}", "mov es, {0:e}", "mov fs, {0:e}", "mov gs, {0:e}", in(reg) 0x1b_u32);
    }
}

/// Unmasked SSE exceptions and another rounding: the kernel must not stumble over them.
unsafe fn masked_float_exceptions() {
    let control = 0x6000_u32;
    // SAFETY: see `misbehave`.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const control) };
    system::null();
    log!("went on with other float settings");
}

program!(Misbehave);
