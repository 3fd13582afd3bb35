//! The first instructions: from the PVH entry in 32-bit protected mode to Rust in the
//! higher half, and what the start information says.
use crate::memory::layout::{DIRECT_BASE, KERNEL_OFFSET};
use core::arch::global_asm;
use tern_abi::boot::SandboxBoot;
use tern_machine::cpu::cpuid;
use tern_machine::pvh::Start;
use tern_units::GuestPhysical;

// The PVH entry (Xen's `docs/misc/pvh.pandoc`): 32-bit protected mode, flat segments,
// paging off, EBX = guest-physical address of the start information.
//
// The boot tables map the first GiB three times, with 2 MiB pages: identical, at the
// kernel's offset, and at the direct map's base. They live until `memory::paging`
// has built the real ones.
global_asm!(
    r#"
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18
    .asciz "Xen"
    .long pvh_entry - {offset}

    .section .text.boot, "ax"
    .code32
    .global pvh_entry
    .type pvh_entry, @function
pvh_entry:
    cld
    mov edi, offset boot_directory - {offset}
    mov eax, 0x83                       // present, writable, 2 MiB
2:  mov [edi], eax
    add edi, 8
    add eax, 0x200000
    cmp eax, 0x40000083
    jb 2b
    mov eax, offset boot_directory - {offset}
    or eax, 3
    mov [boot_low_pointers - {offset}], eax
    mov [boot_high_pointers - {offset} + 8 * 510], eax
    mov eax, offset boot_low_pointers - {offset}
    or eax, 3
    mov [boot_root - {offset}], eax
    mov [boot_root - {offset} + 8 * 256], eax
    mov eax, offset boot_high_pointers - {offset}
    or eax, 3
    mov [boot_root - {offset} + 8 * 511], eax

    mov eax, 0x6a0                      // CR4: PAE, PGE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov eax, offset boot_root - {offset}
    mov cr3, eax
    mov ecx, 0xc0000080                 // EFER: SCE, LME, NXE
    rdmsr
    or eax, 0x901
    wrmsr
    mov eax, 0x80010023                 // CR0: PG, WP, NE, MP, PE
    mov cr0, eax
    lgdt [boot_gdt_pointer - {offset}]
    .byte 0xea                          // far jump to 64-bit code
    .long 3f - {offset}
    .word 8
    .code64
3:  movabs rax, offset higher_half
    jmp rax
higher_half:
    lea rsp, [rip + boot_stack_end]
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    mov edi, ebx
    xor ebp, ebp
    call {start}
    ud2
    .size pvh_entry, . - pvh_entry

    .section .rodata.boot, "a"
    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff            // 64-bit code, ring 0
boot_gdt_pointer:
    .word 15
    .long boot_gdt - {offset}

    .section .bss.boot, "aw", @nobits
    .balign 4096
boot_root: .skip 4096
boot_low_pointers: .skip 4096
boot_high_pointers: .skip 4096
boot_directory: .skip 4096
    .skip 16384
boot_stack_end:
    "#,
    offset = const KERNEL_OFFSET,
    start = sym crate::start,
);

/// What the start information holds that the kernel needs.
#[derive(Clone, Copy, Debug)]
pub struct BootFacts {
    /// Facts about the machine and the sandbox.
    pub sandbox: SandboxBoot,
    /// Where the system image is.
    pub image: GuestPhysical,
    /// Its length in bytes.
    pub image_bytes: u64,
    /// Where the words are that this sandbox alone is given.
    pub keys: GuestPhysical,
    /// Their length in bytes.
    pub keys_bytes: u64,
}

/// Copies what the start information says out of the memory that it lies in.
///
/// # Safety
/// `at` is what the PVH entry found in EBX, and the boot tables are in place.
///
/// # Errors
/// What is wrong with it, as one line.
pub unsafe fn read_start_information(at: GuestPhysical) -> Result<BootFacts, &'static str> {
    // SAFETY: the loader put the information into memory that the boot tables map.
    let start = unsafe { Start::read(at.as_u64(), DIRECT_BASE) }
        .ok_or("no PVH start information: boot the kernel through the PVH entry")?;
    let mut modules = start.modules();
    let (Some(image), Some(facts), Some(keys)) = (modules.next(), modules.next(), modules.next())
    else {
        return Err("the start information names fewer than three boot modules");
    };
    if facts.bytes < size_of::<[u64; SandboxBoot::WORDS]>() as u64 {
        return Err("boot module 1 is too short for the sandbox's boot words");
    }
    let words = (DIRECT_BASE + facts.address) as *const [u64; SandboxBoot::WORDS];
    // SAFETY: the loader vouches for the module's range; its length was checked.
    let sandbox = SandboxBoot::from_words(&unsafe { words.read_unaligned() })
        .ok_or("boot module 1 does not hold the sandbox's boot words")?;
    Ok(BootFacts {
        sandbox,
        image: GuestPhysical::new(image.address),
        image_bytes: image.bytes,
        keys: GuestPhysical::new(keys.address),
        keys_bytes: keys.bytes,
    })
}

/// Checks that the processor has what the kernel is compiled for and cannot run without.
///
/// # Errors
/// What it lacks, as one line.
pub fn check_processor() -> Result<(), &'static str> {
    const AES: u32 = 1 << 25;
    const SSE4_2: u32 = 1 << 20;
    let features = cpuid(1, 0).ecx;
    if features & AES == 0 {
        return Err("the processor has no AES instructions, which page hashing needs");
    }
    if features & SSE4_2 == 0 {
        return Err("the processor has no SSE4.2, which the kernel is compiled for");
    }
    Ok(())
}
