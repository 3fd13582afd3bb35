//! A guest that attacks: the first word of its command line names how. An attack that
//! needs an address takes it as a second word, in hexadecimal.
//!
//! It waits until 10 ms after the time epoch, says `attacking: NAME`, attacks, and says
//! `survived: …` if the attack returned. The hypervisor is expected to have stopped it
//! by then, or to have refused harmlessly.
#![no_std]
#![no_main]

use core::arch::asm;
use core::fmt::Write;
use tern_abi::boot::ApicAccess;
use tern_abi::directory::ExitReason;
use tern_abi::hypercall::{CONSOLE_WRITE_MAX, Hypercall};
use tern_abi::layout::{CHANNEL_BASE, EXIT_COUNTS_BASE, IMAGE_BASE, TRACE_BASE};
use tern_guests::Guest;
use tern_machine::apic::{COMMAND_FIXED, COMMAND_INIT, COMMAND_NMI, COMMAND_STARTUP, Register};
use tern_machine::cpu::{halt_forever, read_msr, write_msr};
use tern_machine::descriptors::{Gate, InterruptTable};
use tern_machine::port;

tern_guests::guest!();

const APIC_PAGE: u64 = 0xfee0_0000;
const VICTIM: u64 = 0;
const MSR_APIC_BASE: u32 = 0x1b;
const MSR_HOST_SAVE: u32 = 0xc001_0117;
const MSR_PAT: u32 = 0x277;
/// The memory type of what no range register names.
const MSR_MTRR_DEFAULT: u32 = 0x2ff;
const MSR_STAR_OF_NOBODY: u32 = 0x4000_0000;

/// The vector of the exception that the last instruction, of as many bytes, raises: an invalid
/// opcode's, whose handler skips the instruction, or 0 for none.
macro_rules! exception_of {
    ($bytes:literal, $($instruction:literal),+) => {{
        let mut table = InterruptTable::new();
        let handler = invalid_opcode as *const () as u64;
        table.0[6] = Gate::interrupt(handler, 0, 0);
        table.load();
        let vector: u64;
        asm!(
            "xor r15, r15",
            $($instruction,)+
            in("r14") $bytes,
            out("r15") vector,
            out("rax") _,
            out("rcx") _,
            out("rdx") _,
        );
        vector
    }};
}

/// As much text as the console takes at once, in lines.
static BABBLE: [u8; CONSOLE_WRITE_MAX as usize] = {
    let mut text = [b'x'; CONSOLE_WRITE_MAX as usize];
    let mut end = LINE - 1;
    while end < text.len() {
        text[end] = b'\n';
        end += LINE;
    }
    text
};

/// Bytes of a line of [`BABBLE`], its end included.
const LINE: usize = 128;

/// The handler of an invalid opcode of R14 bytes: leaves the vector in R15.
#[unsafe(naked)]
extern "C" fn invalid_opcode() {
    core::arch::naked_asm!("mov r15, 6", "add [rsp], r14", "iretq")
}

/// Called by the entry code.
#[unsafe(no_mangle)]
extern "C" fn start(information: u64, _protocol: u64) -> ! {
    // SAFETY: the entry code hands over what PVH gave it.
    let Some(mut guest) = (unsafe { Guest::read(information) }) else {
        halt_forever()
    };
    let mut words = guest.command_line.split_ascii_whitespace();
    let attack = words.next().unwrap_or("");
    let address = words
        .next()
        .and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
    guest.wait_until(10);
    let _ = writeln!(guest, "attacking: {attack}");
    // SAFETY: this guest is meant to break rules; its own memory is all it can harm.
    let survived = unsafe { perform(&mut guest, attack, address) };
    match survived {
        Some(value) => {
            let _ = writeln!(guest, "survived: {attack} gave {value:#x}");
        }
        None => {
            let _ = writeln!(guest, "no such attack: {attack}");
        }
    }
    halt_forever()
}

/// # Safety
/// There is none: the caller is a test.
unsafe fn perform(guest: &mut Guest, attack: &str, address: Option<u64>) -> Option<u64> {
    let outside = address.unwrap_or(guest.boot.memory_bytes);
    // SAFETY: as the caller says.
    let value = unsafe {
        match attack {
            "memory-read" => read(outside),
            "memory-write" => write(outside),
            "memory-execute" => {
                let code: extern "C" fn() = core::mem::transmute(outside as usize);
                code();
                0
            }
            "apic-page" => {
                let low = (APIC_PAGE + 0x300) as *mut u32;
                low.byte_add(0x10).write_volatile((VICTIM as u32) << 24);
                low.write_volatile(COMMAND_FIXED | 0x40);
                0
            }
            "apic-init-page" => {
                ((APIC_PAGE + 0x300) as *mut u32).write_volatile(COMMAND_INIT);
                0
            }
            "interrupt" => command(VICTIM, COMMAND_FIXED | 0x40),
            "init" => command(VICTIM, COMMAND_INIT),
            "startup" => command(VICTIM, COMMAND_STARTUP | 8),
            "nmi" => command(VICTIM, COMMAND_NMI),
            "broadcast" => command(0, COMMAND_FIXED | 3 << 18 | 0x40),
            // The processor itself refuses these values, or has no such register.
            "command-reserved" => apic(Register::INTERRUPT_COMMAND, 1 << 31 | 1 << 18 | 0x50),
            "entry-absent" => apic(Register::LVT_CORRECTED_ERROR, 1 << 16),
            "entry-reserved" => apic(Register::LVT_LINT0, 1 << 31 | 1 << 16),
            // System management interrupts, where the entry has a delivery mode.
            "entry-error" => apic(Register::LVT_ERROR, 2 << 8 | 0x50),
            // A delivery mode, where a timer has none: system management interrupts.
            "entry-timer" => timer_entry(guest, 2 << 8 | 0x50),
            "apic-hypercall" => {
                guest.call(Hypercall::ApicWrite as u64, 0x31, VICTIM << 24);
                guest.call(Hypercall::ApicWrite as u64, 0x30, u64::from(COMMAND_INIT))
            }
            "port-read" => u64::from(port::read_u8(address.unwrap_or(0x60) as u16)),
            "port-write" => {
                port::write_u8(address.unwrap_or(0x21) as u16, 0);
                0
            }
            "pci" => {
                port::write_u32(0xcf8, 0x8000_0000);
                0
            }
            "msr-read" => read_msr(MSR_HOST_SAVE),
            "msr-write" => msr(MSR_HOST_SAVE),
            "msr-apic-base" => msr(MSR_APIC_BASE),
            "msr-unknown" => read_msr(MSR_STAR_OF_NOBODY),
            "channel-write" | "channel-read" if address.is_none() => return None,
            "channel-write" => write(outside),
            "channel-read" => read(outside),
            "image-write" => write(IMAGE_BASE.as_u64()),
            "exit-counts-write" => write(EXIT_COUNTS_BASE.as_u64()),
            "trace-outside" => {
                write(TRACE_BASE.as_u64() + guest.boot.trace_bytes.next_multiple_of(4096))
            }
            "triple-fault" => {
                InterruptTable::new().load();
                asm!("ud2");
                0
            }
            "exception-loop" => exception_loop(),
            "debug-loop" => debug_loop(),
            "hypercall-arguments" => hypercall_arguments(guest),
            "hypercall-flood" => loop {
                guest.call(Hypercall::Null as u64, 0, 0);
            },
            "console-flood" => loop {
                guest.call(
                    Hypercall::ConsoleWrite as u64,
                    BABBLE.as_ptr() as u64,
                    BABBLE.len() as u64,
                );
            },
            "console-outside" => guest.call(
                Hypercall::ConsoleWrite as u64,
                guest.boot.memory_bytes - 8,
                64,
            ),
            "take" => guest.call(Hypercall::Take as u64, 0, 0),
            "shut-down" => guest.call(Hypercall::ShutDown as u64, 1, 0),
            "doorbell" => guest.call(Hypercall::Doorbell as u64, address.unwrap_or(0), 0),
            "doorbell-flood" => {
                let channels = address.map_or(0..4, |channel| channel..channel + 1);
                loop {
                    for channel in channels.clone() {
                        guest.call(Hypercall::Doorbell as u64, channel, 0);
                    }
                }
            }
            "seal-write" | "seal-other-half" | "seal-word" | "seal-foreign" | "seal-again"
            | "seal-early" | "seal-flood" | "seal-exchange" | "seal-closed" => {
                sealed(guest, attack, address?)?
            }
            "close-first" | "close-beyond" | "close-denied" | "close-early" | "close-flood" => {
                closing(guest, attack, address?)?
            }
            "spin" => loop {
                // Not PAUSE, which yields to the other cores of an emulator.
                asm!("nop");
            },
            // With CR4.OSXSAVE set, so that it is not an invalid opcode.
            "xsetbv" => instruction(|| {
                asm!(
                    "mov {cr4}, cr4",
                    "or {cr4}, 1 << 18",
                    "mov cr4, {cr4}",
                    "xsetbv",
                    cr4 = out(reg) _,
                    in("ecx") 0,
                    in("eax") 7,
                    in("edx") 0,
                )
            }),
            "cr0-cache-disable" => cache_disable(guest),
            // What of it is set afterwards.
            "machine-checks" => {
                const ENABLE: u64 = 1 << 6;
                let cr4: u64;
                asm!(
                    "mov {cr4}, cr4",
                    "or {cr4}, {enable}",
                    "mov cr4, {cr4}",
                    "mov {cr4}, cr4",
                    cr4 = out(reg) cr4,
                    enable = const ENABLE,
                );
                cr4 & ENABLE
            }
            "vmrun" => instruction(|| asm!("vmrun rax", in("rax") 0x10_0000)),
            "vmxon" => {
                let region = 0x10_0000_u64;
                instruction(|| asm!("vmxon [{}]", in(reg) &raw const region))
            }
            "vmclear" => {
                let region = 0x10_0000_u64;
                instruction(|| asm!("vmclear [{}]", in(reg) &raw const region))
            }
            "rdrand" => instruction(|| asm!("rdrand rax", out("rax") _)),
            "rdseed" => instruction(|| asm!("rdseed rax", out("rax") _)),
            "stgi" => instruction(|| asm!("stgi")),
            "clgi" => instruction(|| asm!("clgi")),
            "invd" => instruction(|| asm!("invd")),
            "wbinvd" => instruction(|| asm!("wbinvd")),
            "monitor" => {
                instruction(|| asm!("monitor", in("rax") 0x10_0000, in("ecx") 0, in("edx") 0))
            }
            "rdtscp" => exception_of!(3, "rdtscp"),
            "rdpru" => exception_of!(3, "xor ecx, ecx", ".byte 0x0f, 0x01, 0xfd"),
            "mcommit" => exception_of!(4, ".byte 0xf3, 0x0f, 0x01, 0xfa"),
            "mtrr-write" => msr(MSR_MTRR_DEFAULT),
            "pat-uncached" => pat_uncached(),
            "split-lock" => split_lock(),
            "rdpmc" => instruction(|| asm!("rdpmc", in("ecx") 0, out("eax") _, out("edx") _)),
            _ => return None,
        }
    };
    Some(value)
}

/// # Safety
/// As [`perform`].
unsafe fn read(address: u64) -> u64 {
    // SAFETY: as the caller says.
    unsafe { (address as *const u64).read_volatile() }
}

/// # Safety
/// As [`perform`].
unsafe fn write(address: u64) -> u64 {
    // SAFETY: as the caller says.
    unsafe { (address as *mut u64).write_volatile(0xbad) };
    0
}

/// # Safety
/// As [`perform`].
unsafe fn msr(register: u32) -> u64 {
    // SAFETY: as the caller says.
    unsafe { write_msr(register, 0xfee0_0000) };
    0
}

/// # Safety
/// As [`perform`].
unsafe fn apic(register: Register, value: u64) -> u64 {
    // SAFETY: as the caller says.
    unsafe { write_msr(register.msr(), value) };
    0
}

/// Writes the timer's local entry, and lets the timer fire.
///
/// # Safety
/// As [`perform`].
unsafe fn timer_entry(guest: &Guest, value: u64) -> u64 {
    let registers = [
        (Register::SPURIOUS, 0x1ff),
        (Register::TIMER_DIVIDE, 0b1011),
        (Register::LVT_TIMER, value),
        (Register::TIMER_INITIAL, 1000),
    ];
    let mut refused = 0;
    for (register, value) in registers {
        match guest.boot.apic {
            // SAFETY: as the caller says.
            ApicAccess::X2apic => unsafe { write_msr(register.msr(), value) },
            ApicAccess::Hypercall => {
                let number = Hypercall::ApicWrite as u64;
                refused |= guest.call(number, u64::from(register.0), value);
            }
        }
    }
    guest.wait_until(20);
    refused
}

/// # Safety
/// As [`perform`].
unsafe fn command(destination: u64, command: u32) -> u64 {
    // SAFETY: as the caller says.
    unsafe {
        write_msr(
            Register::INTERRUPT_COMMAND.msr(),
            destination << 32 | u64::from(command),
        )
    };
    0
}

/// Does something with sealed channel number `channel`, of halves of a page each.
///
/// # Safety
/// As [`perform`].
unsafe fn sealed(guest: &Guest, attack: &str, channel: u64) -> Option<u64> {
    const HALF: u64 = 4096;
    let begin = CHANNEL_BASE.as_u64() + (channel << 21);
    let seal = |number| guest.call(Hypercall::Seal as u64, channel, number);
    // SAFETY: as the caller says.
    let value = unsafe {
        match attack {
            // What it may write, and may no longer.
            "seal-write" => {
                write(begin);
                seal(0);
                write(begin)
            }
            "seal-other-half" => write(begin + HALF),
            "seal-word" => write(begin + 2 * HALF),
            "seal-foreign" => seal(0),
            "seal-again" => {
                seal(1);
                seal(1)
            }
            "seal-early" => seal(1 << 40),
            "seal-flood" => loop {
                (0..1000).for_each(|number| {
                    seal(number);
                });
            },
            // What its reader closes: `close-first`.
            "seal-closed" => {
                while read(begin + 2 * HALF) >> 1 <= CLOSED_FIRST {}
                match seal(CLOSED_FIRST - 1) == seal(CLOSED_FIRST) {
                    true => seal(CLOSED_FIRST),
                    false => u64::MAX,
                }
            }
            // What a writer does that keeps to its rights.
            "seal-exchange" => {
                let exchange = |number: u64| {
                    let open = begin + number % 2 * HALF;
                    (open as *mut u64).write_volatile(number);
                    guest.wait_until(20 + number);
                    let is_sealed = seal(20 + number) == 0;
                    is_sealed && read(open) == number && read(begin + 2 * HALF) >> 1 == 21 + number
                };
                (0..50).filter(|number| exchange(*number)).count() as u64
            }
            _ => return None,
        }
    };
    Some(value)
}

/// What `close-first` closes and `seal-closed` would seal: number n begins n milliseconds after
/// the time epoch.
const CLOSED_FIRST: u64 = 20;

/// Closes numbers of the sealed channels that it reads: number `channel`, of halves of a page, is
/// the only one.
///
/// # Safety
/// As [`perform`].
unsafe fn closing(guest: &Guest, attack: &str, channel: u64) -> Option<u64> {
    const HALF: u64 = 4096;
    let word = CHANNEL_BASE.as_u64() + (channel << 21) + 2 * HALF;
    let close = |mask, number| guest.call(Hypercall::Close as u64, mask, number);
    // SAFETY: as the caller says.
    let before = unsafe { read(word) };
    let result = match attack {
        // What a reader does that keeps to its rights.
        "close-first" => {
            guest.wait_until(2 * CLOSED_FIRST);
            close(1, CLOSED_FIRST)
        }
        // One that is its own to close, and some that are not.
        "close-beyond" => close(0b11, 0).max(close(u64::MAX, 0)),
        // It reads the channel, and the description gives it no time to close.
        "close-denied" => close(1, 0),
        "close-early" => close(1, 1 << 40)
            .max(close(1, 1000))
            .max(close(1, u64::MAX)),
        "close-flood" => loop {
            (0..1000).for_each(|number| {
                close(1, number);
            });
        },
        _ => return None,
    };
    // SAFETY: as the caller says.
    let after = unsafe { read(word) };
    let expected = match attack {
        "close-first" => (CLOSED_FIRST + 1) << 1 | before & 1,
        _ => before,
    };
    Some(if after == expected { result } else { after })
}

fn instruction(execute: impl FnOnce()) -> u64 {
    execute();
    0
}

/// Hypercalls with numbers and arguments that make no sense; counts those that
/// succeeded though they should not have.
fn hypercall_arguments(guest: &Guest) -> u64 {
    let mut accepted = 0;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..500_u64 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(round | 1);
        let number = match state >> 60 {
            0..4 => Hypercall::COUNT + (state >> 32),
            4..8 => Hypercall::Doorbell as u64,
            8..12 => Hypercall::ShutDown as u64,
            _ => Hypercall::ConsoleWrite as u64,
        };
        // High arguments: no channel and no address of the sandbox's.
        let result = guest.call(number, state | 1 << 63, u64::MAX - (state >> 40));
        accepted += u64::from(result as i64 >= 0);
    }
    accepted
}

/// Turns caching off, and off for writes too, and uses its memory; what it then reads of the two
/// bits, and how many exits that took.
///
/// # Safety
/// As [`perform`].
unsafe fn cache_disable(guest: &Guest) -> u64 {
    const CACHE_BITS: u64 = 3 << 29;
    let before = guest.exits(ExitReason::ControlRegister);
    let cr0: u64;
    // SAFETY: as the caller says.
    unsafe {
        asm!(
            "mov {cr0}, cr0",
            "or {cr0}, {bits}",
            "mov cr0, {cr0}",
            "mov {cr0}, cr0",
            cr0 = out(reg) cr0,
            bits = in(reg) CACHE_BITS,
        );
        for round in 0..20_000 {
            LOOP_STACK.0.as_ptr().add(round % 4096).read_volatile();
        }
    }
    cr0 & CACHE_BITS | (guest.exits(ExitReason::ControlRegister) - before)
}

/// Names uncached and write-combining memory alone, whichever entry a page selects, and uses its
/// memory; what the register then says.
///
/// # Safety
/// As [`perform`].
unsafe fn pat_uncached() -> u64 {
    const UNCACHED_OR_COMBINING: u64 = 0x0100_0100_0100_0100;
    // SAFETY: as the caller says.
    unsafe {
        write_msr(MSR_PAT, UNCACHED_OR_COMBINING);
        for round in 0..20_000 {
            LOOP_STACK.0.as_ptr().add(round % 4096).read_volatile();
        }
        read_msr(MSR_PAT)
    }
}

/// Locked additions across the border of two cache lines, without end: without detection each
/// locks the bus for all cores.
///
/// # Safety
/// As [`perform`].
unsafe fn split_lock() -> u64 {
    let lines = core::hint::black_box([0_u64; 32]);
    let border = (lines.as_ptr() as u64 + 127) & !63;
    loop {
        // SAFETY: as the caller says; the eight bytes lie inside the array.
        unsafe { asm!("lock add qword ptr [{}], 1", in(reg) border - 4) };
    }
}

#[repr(align(4096))]
struct Unaligned(#[allow(dead_code)] [u8; 4096]);
static LOOP_STACK: Unaligned = Unaligned([0; 4096]);

/// A #DB whose delivery raises #DB without end (CVE-2015-8104): a data breakpoint on
/// the stack that the exception is pushed to.
///
/// # Safety
/// As [`perform`].
unsafe fn debug_loop() -> u64 {
    let mut table = InterruptTable::new();
    let top = LOOP_STACK.0.as_ptr_range().end as u64 - 64;
    // SAFETY: as the caller says. DR7: breakpoint 0 enabled, on writes of 8 bytes.
    unsafe {
        let handler: u64;
        asm!(
            "lea {handler}, [rip + 2f]",
            "jmp 3f",
            "2: iretq",
            "3:",
            handler = out(reg) handler,
        );
        table.0[1] = Gate::interrupt(handler, 0, 0);
        table.load();
        asm!(
            "mov rsp, {top}",
            "mov {scratch}, rsp",
            "sub {scratch}, 8",
            "and {scratch}, -8",
            "mov dr0, {scratch}",
            "mov {scratch}, 0xd0401", // L0 with R/W0 = 01 and LEN0 = 10, bit 10 set
            "mov dr7, {scratch}",
            "4: push 0",
            "pop {scratch}",
            "jmp 4b",
            top = in(reg) top,
            scratch = in(reg) 0_u64,
            options(noreturn)
        );
    }
}

/// Exceptions without end: each #UD handler begins with UD2.
///
/// # Safety
/// As [`perform`].
unsafe fn exception_loop() -> u64 {
    let mut table = InterruptTable::new();
    // SAFETY: as the caller says.
    unsafe {
        let handler: u64;
        asm!(
            "lea {handler}, [rip + 2f]",
            "jmp 3f",
            "2: mov rsp, r15",
            "ud2",
            "3:",
            "mov r15, rsp",
            handler = out(reg) handler,
            out("r15") _,
        );
        table.0[6] = Gate::interrupt(handler, 0, 0);
        table.load();
        asm!("mov r15, rsp", "ud2", options(noreturn));
    }
}
