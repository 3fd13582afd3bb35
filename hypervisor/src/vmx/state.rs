//! What a VMCS is filled with: controls, the hypervisor's state to come back to, and
//! the state that the PVH protocol demands of a guest at its start.
use super::capabilities::{Capabilities, pin, secondary};
use super::enter::vmx_exit;
use super::fields::{Field, Segment, read, write};
use crate::kept::{MSR_EFER, MSR_PAT, PAT_RESET};
use core::arch::asm;
use tern_machine::cpu::read_msr;
use tern_machine::descriptors::{
    KERNEL_CODE, KERNEL_DATA, TASK, interrupt_table, segment_table, task_base,
};
use tern_units::HostPhysical;

/// Physical addresses of what a guest consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The VMCS.
    pub block: u64,
    /// The top table of its extended page tables.
    pub nested_root: HostPhysical,
    /// Its I/O bitmaps.
    pub ports: u64,
    /// Its MSR bitmap.
    pub registers: u64,
}

/// Bits of CR0 that the guest reads as it wrote them, and that do not change what is so while it
/// runs: caches are on, and floating-point errors are exceptions. What is uncached costs its
/// neighbours memory bandwidth, and the EPT's memory types do not hold where CR0.CD is set (SDM
/// vol. 3 §29.3.7.2).
pub const CR0_OWNED: u64 = CR0_NE | CR0_NW | CR0_CD;
const CR0_NE: u64 = 1 << 5;
/// Not write-through: only together with [`CR0_CD`].
pub const CR0_NW: u64 = 1 << 29;
/// Caches off.
pub const CR0_CD: u64 = 1 << 30;

/// Bits of CR4 that are the guest's: those of features that CPUID shows it (`cpuid.rs`), and of
/// every processor. All others it reads as clear, and gets a general-protection exception for
/// setting one.
///
/// VME, PVI, TSD, DE, PSE, PAE, PGE, PCE, OSFXSR, OSXMMEXCPT, UMIP, LA57, FSGSBASE, PCIDE, SMEP,
/// SMAP. Not MCE, VMXE, SMXE, OSXSAVE, protection keys, shadow stacks, user interrupts.
const CR4_OF_GUEST: u64 = 0x3f | 0x3f << 7 | 1 << 16 | 1 << 17 | 1 << 20 | 1 << 21;

/// Bits of CR4 that are set while the guest runs, whatever it does.
///
/// VT-x demands VMXE. Without MCE a machine check does not exit but shuts the machine down, and
/// it comes to all cores at once (SDM vol. 3 §2.5, chapter 16).
const CR4_SET: u64 = CR4_VMXE | CR4_MCE;
const CR4_VMXE: u64 = 1 << 13;
const CR4_MCE: u64 = 1 << 6;

/// Makes a VMCS current on this core, with everything that its first entry needs.
///
/// # Safety
/// To be called once for each VMCS, in VMX operation, with the core's descriptor tables
/// loaded. The addresses are what they say, and the guest's tables map only its memory.
pub unsafe fn load(addresses: &Addresses, entry: u64) {
    // SAFETY: VT-x was found at boot.
    let capabilities = match unsafe { Capabilities::read() } {
        Ok(capabilities) => capabilities,
        Err(line) => panic!("this core is not like the boot core: {line}"),
    };
    // SAFETY: a page of the guest's own; §25.2 and §25.11.3 have the order: revision,
    // VMCLEAR, VMPTRLD.
    unsafe {
        (addresses.block as *mut u32).write_volatile(capabilities.revision);
        let (cleared, loaded): (u8, u8);
        asm!("vmclear [{}]", "setna {}", in(reg) &addresses.block, lateout(reg_byte) cleared, options(nostack));
        asm!("vmptrld [{}]", "setna {}", in(reg) &addresses.block, lateout(reg_byte) loaded, options(nostack));
        assert!(cleared == 0 && loaded == 0, "VMCLEAR or VMPTRLD");
        controls(&capabilities, addresses);
        host();
        guest(&capabilities, entry);
    }
}

/// Lets the guest of the current VMCS see memory by the tables under `root`.
///
/// # Safety
/// A VMCS is current, and the tables map only its guest's memory.
pub unsafe fn choose_nested_tables(root: HostPhysical) {
    // §25.6.11: write-back, a walk of four levels.
    const POINTER: u64 = 6 | 3 << 3;
    // SAFETY: as the caller vouches.
    unsafe { write(Field::EPT_POINTER, root.as_u64() | POINTER) };
}

/// Lets the guest of the current VMCS reach the ports that the two bitmaps at `ports` allow.
///
/// # Safety
/// A VMCS is current, and the bitmaps allow only its guest's ports.
pub unsafe fn choose_ports(ports: u64) {
    // SAFETY: as the caller vouches.
    unsafe {
        write(Field::IO_BITMAP_A, ports);
        write(Field::IO_BITMAP_B, ports + 4096);
    }
}

/// Lets the next entry of the current VMCS exit before the guest's first instruction, or not: by
/// its preemption timer, which is zero (§26.5.1, §27.7.4).
///
/// # Safety
/// The current VMCS has been filled in.
#[inline(always)]
pub unsafe fn exit_at_once(at_once: bool) {
    let others = read(Field::PIN_CONTROLS) & !u64::from(pin::PREEMPTION_TIMER);
    let timer = if at_once { pin::PREEMPTION_TIMER } else { 0 };
    // SAFETY: as the caller vouches; every processor that is accepted has the timer.
    unsafe { write(Field::PIN_CONTROLS, others | u64::from(timer)) };
}

/// # Safety
/// As [`load`], with the VMCS current.
unsafe fn controls(capabilities: &Capabilities, addresses: &Addresses) {
    let words = &capabilities.controls;
    // #DB and #AC: their delivery can loop inside the processor, out of reach of NMI
    // (CVE-2015-8104, CVE-2015-5307). #MC belongs to the hypervisor.
    const EXCEPTIONS: u64 = 1 << 1 | 1 << 17 | 1 << 18;
    // SAFETY: as the caller vouches. External interrupts go straight to the guest: its
    // core has no others.
    unsafe {
        write(Field::PIN_CONTROLS, words.pin.into());
        write(Field::PROCESSOR_CONTROLS, words.processor.into());
        write(Field::SECONDARY_CONTROLS, words.secondary.into());
        write(Field::EXIT_CONTROLS, words.exit.into());
        write(Field::ENTRY_CONTROLS, words.entry.into());
        write(Field::EXCEPTIONS, EXCEPTIONS);
        write(Field::PAGE_FAULT_MASK, 0);
        write(Field::PAGE_FAULT_MATCH, 0);
        write(Field::CR3_TARGETS, 0);
        write(Field::EXIT_STORED_MSRS, 0);
        write(Field::EXIT_LOADED_MSRS, 0);
        write(Field::ENTRY_LOADED_MSRS, 0);
        write(Field::ENTRY_EVENT, 0);
        write(Field::PREEMPTION_TIMER, 0);
        choose_ports(addresses.ports);
        write(Field::MSR_BITMAP, addresses.registers);
        choose_nested_tables(addresses.nested_root);
        if words.secondary & secondary::VPID != 0 {
            write(Field::VPID, 1); // 0 is the hypervisor's; one guest a core needs no other
        }
        // All else of CR0 and CR4 is the guest's.
        write(Field::CR0_OWNED, CR0_OWNED);
        write(Field::CR0_SEEN, 0);
        write(Field::CR4_OWNED, !CR4_OF_GUEST);
        write(Field::CR4_SEEN, 0);
    }
}

/// # Safety
/// As [`load`], with the VMCS current.
unsafe fn host() {
    let (segments, interrupts) = (segment_table(), interrupt_table());
    let (cr0, cr3, cr4): (u64, u64, u64);
    // SAFETY: reads of this core's own registers; the task descriptor is the one that was loaded.
    unsafe {
        asm!("mov {}, cr0", "mov {}, cr3", "mov {}, cr4", out(reg) cr0, out(reg) cr3, out(reg) cr4, options(nostack));
        let task = task_base(((segments + u64::from(TASK)) as *const [u64; 2]).read());
        write(Field::HOST_CR0, cr0);
        write(Field::HOST_CR3, cr3);
        write(Field::HOST_CR4, cr4);
        write(Field::HOST_CS, KERNEL_CODE.into());
        for data in [Field::HOST_SS, Field::HOST_DS, Field::HOST_ES] {
            write(data, KERNEL_DATA.into());
        }
        write(Field::HOST_FS, 0);
        write(Field::HOST_GS, 0);
        write(Field::HOST_TR, TASK.into());
        write(Field::HOST_FS_BASE, 0);
        write(Field::HOST_GS_BASE, 0);
        write(Field::HOST_TR_BASE, task);
        write(Field::HOST_GDTR_BASE, segments);
        write(Field::HOST_IDTR_BASE, interrupts);
        write(Field::HOST_SYSENTER_CS, 0);
        write(Field::HOST_SYSENTER_ESP, 0);
        write(Field::HOST_SYSENTER_EIP, 0);
        write(Field::HOST_EFER, read_msr(MSR_EFER));
        write(Field::HOST_PAT, read_msr(MSR_PAT));
        write(Field::HOST_RIP, &raw const vmx_exit as u64);
    }
}

/// 32-bit protected mode, flat segments, no paging (Xen's PVH protocol).
///
/// # Safety
/// As [`load`], with the VMCS current.
unsafe fn guest(capabilities: &Capabilities, entry: u64) {
    const CR0_PE_ET: u64 = 0x11;
    const CR0_PE_PG: u64 = 1 << 31 | 1;
    const CODE: u64 = 0xc09b;
    const DATA: u64 = 0xc093;
    const TASK_BUSY: u64 = 0x8b;
    const UNUSABLE: u64 = 1 << 16;
    let flat = u64::from(u32::MAX);
    // An unrestricted guest may clear PE and PG, the other fixed bits not (appendix A.7).
    let cr0 = CR0_PE_ET | capabilities.cr0_fixed & !CR0_PE_PG;
    // SAFETY: as the caller vouches.
    unsafe {
        for (segment, limit, rights) in [
            (Segment::CS, flat, CODE),
            (Segment::SS, flat, DATA),
            (Segment::DS, flat, DATA),
            (Segment::ES, flat, DATA),
            (Segment::FS, flat, DATA),
            (Segment::GS, flat, DATA),
            (Segment::TR, 0x67, TASK_BUSY),
            (Segment::LDTR, 0, UNUSABLE),
        ] {
            write(segment.selector(), 0);
            write(segment.base(), 0);
            write(segment.limit(), limit);
            write(segment.rights(), rights);
        }
        for (field, value) in [
            (Field::GUEST_CR0, cr0),
            (Field::GUEST_CR3, 0),
            (Field::GUEST_CR4, capabilities.cr4_fixed | CR4_SET),
            (Field::GUEST_EFER, 0),
            (Field::GUEST_PAT, PAT_RESET),
            (Field::GUEST_DR7, 0x400),
            (Field::GUEST_DEBUG_CONTROL, 0),
            (Field::GUEST_PENDING_DEBUG, 0),
            (Field::GUEST_RFLAGS, 2),
            (Field::GUEST_RSP, 0),
            (Field::GUEST_RIP, entry),
            (Field::GUEST_GDTR_BASE, 0),
            (Field::GUEST_GDTR_LIMIT, 0),
            (Field::GUEST_IDTR_BASE, 0),
            (Field::GUEST_IDTR_LIMIT, 0),
            (Field::GUEST_SYSENTER_CS, 0),
            (Field::GUEST_SYSENTER_ESP, 0),
            (Field::GUEST_SYSENTER_EIP, 0),
            (Field::GUEST_INTERRUPTIBILITY, 0),
            (Field::GUEST_ACTIVITY, 0),
            (Field::LINK_POINTER, u64::MAX),
        ] {
            write(field, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_cr4_a_guest_has_what_cpuid_shows_it() {
        // By the bits of SDM vol. 3 §2.5.
        let hidden = [6, 13, 14, 15, 18, 19, 22, 23, 24, 25, 27, 28, 32];
        let shown = [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 16, 17, 20, 21];
        for bit in hidden {
            assert_eq!(CR4_OF_GUEST >> bit & 1, 0, "bit {bit}");
        }
        for bit in shown {
            assert_eq!(CR4_OF_GUEST >> bit & 1, 1, "bit {bit}");
        }
    }
}
