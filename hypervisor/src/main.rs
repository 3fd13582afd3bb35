//! The hypervisor's image: entry points of both boot protocols, the allocator, and
//! what a panic does.
#![no_std]
#![no_main]

use core::panic::PanicInfo;
use tern_config::heap::HYPERVISOR_HEAP_BYTES;
use tern_hypervisor::boot;
use tern_hypervisor::faults;
use tern_hypervisor::memory::host_tables::Own;
use tern_hypervisor::ranges::Range;
use tern_machine::bump::SealedBump;
use tern_machine::console::Console;

tern_machine::freestanding!();
tern_machine::boot_entry!();

// The Multiboot2 header (specification 2.0, §3.1) and the entry of that protocol:
// 32-bit protected mode, EBX with the address of the boot information.
core::arch::global_asm!(
    ".pushsection .boot.header, \"a\", @progbits",
    ".balign 8",
    "multiboot_header:",
    ".long 0xe85250d6, 0, multiboot_header_end - multiboot_header",
    ".long -(0xe85250d6 + multiboot_header_end - multiboot_header)",
    ".short 6, 0", // modules at page boundaries
    ".long 8",
    ".short 0, 0", // end
    ".long 8",
    "multiboot_header_end:",
    ".popsection",
    ".pushsection .text.boot, \"ax\", @progbits",
    ".code32",
    ".globl multiboot_entry",
    "multiboot_entry:",
    "movl %ebx, %edi",
    "movl $1, %esi",
    "jmp boot_common",
    ".code64",
    ".popsection",
    options(att_syntax)
);

#[global_allocator]
static ALLOCATOR: SealedBump<{ HYPERVISOR_HEAP_BYTES as usize }> = SealedBump::new();

unsafe extern "C" {
    static hypervisor_start: u8;
    static hypervisor_text_end: u8;
    static boot_stack_guard: u8;
    static boot_stack_top: u8;
    static hypervisor_end: u8;
}

/// Called by the entry code on the boot core.
#[unsafe(no_mangle)]
extern "C" fn start(information: u64, protocol: u64) -> ! {
    let start = &raw const hypervisor_start as u64;
    let own = Own {
        image: Range {
            start,
            end: &raw const hypervisor_end as u64,
        },
        code: Range {
            start,
            end: &raw const hypervisor_text_end as u64,
        },
        boot_stack: Range {
            start: &raw const boot_stack_guard as u64,
            end: &raw const boot_stack_top as u64,
        },
    };
    // SAFETY: this is the entry code's state, and COM1 is the hypervisor's console.
    unsafe {
        Console.initialize();
        boot::boot(information, protocol, &own, || ALLOCATOR.seal())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    faults::panic(info)
}
