//! The first instructions of a test machine in Bochs: from the reset vector to the
//! 32-bit PVH entry of an image that the emulator has already put into memory.
//!
//! It stands in for BIOS and GRUB, whose 400 million instructions a test does not want.
//! Tables, start information and images come from the host as one memory image; the ROM
//! checks its sum, sets up what firmware sets up and a kernel relies on (the port of the
//! power-management timer, and a model-specific register if told so), and jumps. It uses no memory of the machine, not even a stack.
//!
//! Bochs fills memory blocks in the order of their first use, whatever the address the
//! image is given for (`BX_MEM_C::load_RAM` of version 2.7): reading the image front to
//! back, before anything else, is what puts every block in its place. The sum shows it.
//! The ROM then touches the rest from the lowest address to the highest, and the host
//! knows where in the emulator's memory each address lies.
//!
//! Sources: Intel SDM vol. 3 §10.1 (state after reset) and §10.9 (protected mode); Intel
//! 82371AB (PIIX4) data sheet §7 (power management function); Xen's PVH protocol.
#![no_std]
#![no_main]

use core::arch::global_asm;

global_asm!(
    // What the host fills in. The layout is `xtask`'s too (emulator/bochs/image.rs).
    ".pushsection .rom.parameters, \"a\", @progbits",
    ".ascii \"TERNROM1\"",
    "rom_image: .long 0",        // address of the memory image
    "rom_image_blocks: .long 0", // its size in blocks of 32 bytes
    "rom_image_sum: .long 0",    // the sum of its 32-bit words
    "rom_information: .long 0",  // address of the PVH start information
    "rom_entry: .long 0",        // address of the PVH entry
    "rom_memory_end: .long 0",   // first address past memory
    "rom_register: .long 0",     // a model-specific register to set, unless it is 0,
    "rom_register_low: .long 0", // and its value
    "rom_register_high: .long 0",
    ".popsection",
    ".pushsection .rom.text, \"a\", @progbits",
    ".code16",
    // CS has base 0xffff0000 here; the descriptors are marked as accessed, because the
    // processor could not mark them in a ROM.
    "rom_start:",
    "cli",
    "cld",
    "lgdtl %cs:(rom_segments_pointer - 0xffff0000)",
    "movl %cr0, %eax",
    "andl $0x9fffffff, %eax", // caches on
    "orl $1, %eax",           // protected mode
    "movl %eax, %cr0",
    "ljmpl $8, $rom_protected",
    ".code32",
    "rom_protected:",
    "movl $0x10, %eax",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movl %eax, %fs",
    "movl %eax, %gs",
    "movl %eax, %ss",
    // The sum of the memory image, from its first word to its last.
    "movl rom_image, %esi",
    "movl rom_image_blocks, %ecx",
    "xorl %ebx, %ebx",
    "2:",
    "addl (%esi), %ebx",
    "addl 4(%esi), %ebx",
    "addl 8(%esi), %ebx",
    "addl 12(%esi), %ebx",
    "addl 16(%esi), %ebx",
    "addl 20(%esi), %ebx",
    "addl 24(%esi), %ebx",
    "addl 28(%esi), %ebx",
    "addl $32, %esi",
    "decl %ecx",
    "jnz 2b",
    "cmpl rom_image_sum, %ebx",
    "jne rom_damaged",
    // Every other block of memory, so that the host knows where each is.
    "xorl %esi, %esi",
    "2:",
    "movl (%esi), %eax",
    "addl $0x20000, %esi",
    "cmpl rom_memory_end, %esi",
    "jb 2b",
    // Power-management function of the PIIX4, device 1 function 3: its registers go to
    // port 0xb000 (PMBA, 0x40), access to them on (PMREGMISC, 0x80).
    "movl $0x80000b40, %eax",
    "movw $0xcf8, %dx",
    "outl %eax, %dx",
    "movl $0xb001, %eax",
    "movw $0xcfc, %dx",
    "outl %eax, %dx",
    "movl $0x80000b80, %eax",
    "movw $0xcf8, %dx",
    "outl %eax, %dx",
    "movb $1, %al",
    "movw $0xcfc, %dx",
    "outb %al, %dx",
    "movl rom_register, %ecx",
    "jecxz 2f",
    "movl rom_register_low, %eax",
    "movl rom_register_high, %edx",
    "wrmsr",
    "2:",
    "movl rom_information, %ebx",
    "movl rom_entry, %eax",
    "jmp *%eax",
    "rom_damaged:",
    "movl $rom_damaged_text, %esi",
    "movl $rom_damaged_text_end - rom_damaged_text, %ecx",
    "movw $0xe9, %dx",
    "rep outsb",
    // Bochs's breakpoint: stop here, with whoever started the machine watching.
    "xchgw %bx, %bx",
    "3:",
    "hlt",
    "jmp 3b",
    "rom_damaged_text:",
    ".ascii \"rom: the memory image did not arrive as it was made\\n\"",
    "rom_damaged_text_end:",
    ".balign 8",
    "rom_segments:",
    ".quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff",
    "rom_segments_pointer:",
    ".short 23",
    ".long rom_segments",
    ".popsection",
    ".pushsection .rom.reset, \"a\", @progbits",
    ".code16",
    ".globl rom_reset",
    "rom_reset:",
    "jmp rom_start",
    ".popsection",
    ".code64",
    options(att_syntax)
);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
