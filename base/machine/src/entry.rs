//! The first instructions of an image that is linked where it is loaded: from the
//! 32-bit entry of the PVH protocol to 64-bit Rust.

/// Defines the PVH entry of an image, its note, and the way to long mode: 4 GiB mapped
/// to themselves, SSE on, a stack of 64 KiB. It then calls
/// `extern "C" fn start(information: u64, protocol: u64) -> !` (`#[unsafe(no_mangle)]`)
/// with the address of the start information, and 0 for PVH.
///
/// Another protocol's 32-bit entry may jump to `boot_common` with its information in
/// EDI and its number in ESI.
///
/// The linker script must keep `.note.pvh` in a PT_NOTE segment aligned to 4, and zero
/// `.bss`. A processor without the features that the image is compiled with
/// ([`crate::features`]) gets one line on the console and halts: whatever the compiler made of
/// the first function, nothing that needs them has run.
///
/// Sources: Intel SDM vol. 3 §10.8.5 (entering IA-32e mode), AMD APM vol. 2 §14.6.
#[macro_export]
macro_rules! boot_entry {
    () => {
        ::core::arch::global_asm!(
            ".pushsection .note.pvh, \"a\", @note",
            ".balign 4",
            ".long 4, 8, 18",
            ".asciz \"Xen\"",
            ".quad pvh_entry", // QEMU reads 8 bytes of a 64-bit image's note
            ".popsection",
            ".pushsection .text.boot, \"ax\", @progbits",
            ".code32",
            ".globl pvh_entry",
            ".type pvh_entry, @function",
            "pvh_entry:",
            "movl %ebx, %edi",
            "xorl %esi, %esi",
            ".globl boot_common",
            "boot_common:",
            "cli",
            "cld",
            "movl $boot_stack_top, %esp",
            "movl $boot_no_long_mode_text, %ebp",
            "movl $0x80000000, %eax",
            "cpuid",
            "cmpl $0x80000001, %eax",
            "jb boot_refuse",
            "movl $0x80000001, %eax",
            "cpuid",
            "notl %edx",
            "testl ${extended_edx}, %edx",
            "jnz boot_refuse",
            "movl $boot_no_instructions_text, %ebp",
            "movl $1, %eax",
            "cpuid",
            "notl %ecx",
            "notl %edx",
            "testl ${leaf_1_ecx}, %ecx",
            "jnz boot_refuse",
            "testl ${leaf_1_edx}, %edx",
            "jnz boot_refuse",
            // Page directories: 2048 large pages, present and writable.
            "movl $0x83, %eax",
            "movl $boot_directories, %ecx",
            "2:",
            "movl %eax, (%ecx)",
            "movl $0, 4(%ecx)",
            "addl $8, %ecx",
            "addl $0x200000, %eax",
            "jnc 2b",
            "movl $boot_directories + 3, %eax",
            "movl $boot_pointers, %ecx",
            "movl %eax, (%ecx)",
            "addl $0x1000, %eax",
            "movl %eax, 8(%ecx)",
            "addl $0x1000, %eax",
            "movl %eax, 16(%ecx)",
            "addl $0x1000, %eax",
            "movl %eax, 24(%ecx)",
            "movl $boot_pointers + 3, boot_root",
            "movl $boot_root, %eax",
            "movl %eax, %cr3",
            // Whatever firmware has left: five-level paging would take these tables for others.
            "movl $0x620, %eax", // PAE, OSFXSR, OSXMMEXCPT
            "movl %eax, %cr4",
            // Whole, whatever firmware has left there: with fast FXSAVE of AMD's processors
            // (bit 14), SSE registers would not be saved.
            "movl $0xc0000080, %ecx",
            "movl $0x900, %eax", // EFER: LME, NXE
            "xorl %edx, %edx",
            "wrmsr",
            "movl %cr0, %eax",
            "andl $0x9ffffff3, %eax", // not EM, TS; caches on
            "orl $0x80010003, %eax",  // PG, WP, MP, PE
            "movl %eax, %cr0",
            "lgdt boot_segments_pointer",
            "ljmp $8, $boot_long_mode",
            // Prints the text at EBP.
            "boot_refuse:",
            "movl %ebp, %esi",
            "2:",
            "lodsb",
            "testb %al, %al",
            "jz 3f",
            "outb %al, $0xe9",
            "movw $0x3f8, %dx",
            "outb %al, %dx",
            "movl $0x10000, %ecx", // no receiver loses a character in this time
            "4:",
            "loop 4b",
            "jmp 2b",
            "3:",
            "hlt",
            "jmp 3b",
            ".code64",
            "boot_long_mode:",
            "movl $0x10, %eax",
            "movl %eax, %ds",
            "movl %eax, %es",
            "movl %eax, %ss",
            "xorl %eax, %eax",
            "movl %eax, %fs",
            "movl %eax, %gs",
            "fninit",
            "movl %edi, %edi",
            "movl %esi, %esi",
            "movl $boot_stack_top, %esp",
            "xorl %ebp, %ebp",
            "call start",
            "ud2",
            ".popsection",
            ".pushsection .rodata.boot, \"a\", @progbits",
            ".balign 8",
            "boot_segments:",
            ".quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff",
            "boot_segments_pointer:",
            ".short 23",
            ".long boot_segments",
            "boot_no_long_mode_text:",
            ::core::concat!(
                ".asciz \"tern: cannot start: the processor lacks ",
                $crate::long_mode_names!(),
                ": use an x86-64 processor\\n\"",
            ),
            "boot_no_instructions_text:",
            ::core::concat!(
                ".asciz \"tern: cannot start: the processor lacks ",
                $crate::instruction_names!(),
                ", with which Tern is compiled: use a newer one\\n\"",
            ),
            ".popsection",
            ".pushsection .bss.boot, \"aw\", @nobits",
            ".balign 4096",
            ".globl boot_root",
            "boot_root: .skip 4096",
            ".globl boot_pointers",
            "boot_pointers: .skip 4096",
            ".globl boot_directories",
            "boot_directories: .skip 16384",
            // An image with tables of its own can unmap the page below the stack.
            ".globl boot_stack_guard",
            "boot_stack_guard: .skip 4096",
            "boot_stack: .skip 65536",
            ".globl boot_stack_top",
            "boot_stack_top:",
            ".popsection",
            extended_edx = const $crate::features::EXTENDED_EDX,
            leaf_1_ecx = const $crate::features::LEAF_1_ECX,
            leaf_1_edx = const $crate::features::LEAF_1_EDX,
            options(att_syntax)
        );
    };
}
