//! AMD-V: enabling it on a core, building a guest, running it (AMD APM vol. 2, §15).
pub mod bitmaps;
pub mod cr0;
mod enter;
mod exits;
pub mod vmcb;

use crate::event_word;
use crate::guest::{Event, Exit, Guest, MOST_CHOICES, Reach, Refused, Registers, Start};
use crate::kept::{self, MSR_EFER, MSR_PAT, PAT_RESET};
use crate::memory::frames::{Frames, OutOfMemory};
use crate::memory::mapping::{Access, Mapping};
use crate::memory::page_tables::{Format, LARGE, Tables};
use crate::permissions;
use crate::speculation::clamp;
use arrayvec::ArrayVec;
use bit_field::BitField;
use bitmaps::{IoPermissions, MsrPermissions};
use core::arch::asm;
use cr0::Mode;
use enter::Context;
use tern_machine::cpu::{cpuid_if_present, read_msr, write_msr};
use tern_units::{GuestPhysical, HostPhysical};
use vmcb::{Block, Control, Saved, Segment, Vmcb, exit_code, get, intercept, set};

const MSR_VM_CR: u32 = 0xc001_0114;
const MSR_HOST_SAVE: u32 = 0xc001_0117;

const EFER_SVME: u64 = 1 << 12;
/// Flushes all translations, at the next entry (APM vol. 2 §15.16.1).
const FLUSH_ALL: u32 = 1;

/// Whether the boot processor has AMD-V at all (CPUID leaf 8000_0001h, ECX bit 2).
#[must_use]
pub fn is_present() -> bool {
    cpuid_if_present(0x8000_0001).ecx & 1 << 2 != 0
}

/// What the boot processor, which has AMD-V, lacks of it, as one line; `None` if nothing.
#[must_use]
pub fn missing() -> Option<&'static str> {
    // SAFETY: processors with SVM have VM_CR (APM vol. 2 §15.30.1), and this one does.
    let control = unsafe { read_msr(MSR_VM_CR) };
    lacks(cpuid_if_present(0x8000_000a).edx, control)
}

/// What is missing with these features (CPUID leaf 8000_000Ah, EDX) and this VM_CR.
fn lacks(features: u32, control: u64) -> Option<&'static str> {
    const NESTED_PAGING: u32 = 1;
    const DISABLED: u64 = 1 << 4;
    if features & NESTED_PAGING == 0 {
        return Some("the processor's AMD-V has no nested paging: use a newer processor");
    }
    if control & DISABLED != 0 {
        return Some("AMD-V is switched off by the firmware: turn SVM on in its setup");
    }
    None
}

/// Enables AMD-V on this core, `save_area` being a page for the processor's own use.
///
/// # Safety
/// The processor has AMD-V, and the page is this core's alone.
pub unsafe fn enable(save_area: HostPhysical) {
    // SAFETY: the registers exist with SVM; the page is given to the processor.
    unsafe {
        write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_SVME);
        write_msr(MSR_HOST_SAVE, save_area.as_u64());
    }
}

/// Entries of AMD's nested page tables, which are those of long mode; accesses of a
/// guest count as user accesses (APM vol. 2 §15.25.5).
#[derive(Clone, Copy, Debug)]
pub struct NestedFormat;

impl Format for NestedFormat {
    fn table(address: u64) -> u64 {
        address | PRESENT | WRITABLE | USER
    }

    fn page(address: u64, access: Access, large: bool) -> u64 {
        let permissions = match access {
            Access::Full => WRITABLE,
            Access::ReadWrite => WRITABLE | NO_EXECUTE,
            Access::ReadOnly => NO_EXECUTE,
            Access::Code => 0,
        };
        address | PRESENT | USER | permissions | if large { LARGE } else { 0 }
    }

    fn is_present(entry: u64) -> bool {
        entry & PRESENT != 0
    }
}

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const NO_EXECUTE: u64 = 1 << 63;

/// A guest under AMD-V.
#[derive(Debug)]
pub struct SvmGuest {
    block: Block,
    context: Context,
    has_next_rip: bool,
    /// The page attribute table that the guest sees.
    pat: u64,
    /// Where its own memory, from its address 0 on, is, and its bytes.
    memory: (u64, u64),
    /// Its I/O bitmaps, without a shared device and with it.
    ports: [u64; 2],
    /// The top tables of its nested tables, by [`Reach::choices`].
    roots: ArrayVec<HostPhysical, MOST_CHOICES>,
}

/// The page attribute table that a guest's accesses go by: write-back, whichever of its eight
/// entries a page of the guest's selects. Its own would be combined with the type of the nested
/// page, and uncached wins (APM vol. 2 §15.25.8).
const PAT_WRITE_BACK: u64 = 0x0606_0606_0606_0606;

impl SvmGuest {
    /// A guest in the state that the PVH protocol demands: 32-bit protected mode, flat
    /// segments, no paging, EBX with its start information.
    ///
    /// # Errors
    /// If there is no memory left.
    pub fn build(frames: &mut Frames, reach: &Reach, start: Start) -> Result<Self, OutOfMemory> {
        const NEXT_RIP_SAVE: u32 = 1 << 3;
        let mut roots = ArrayVec::new();
        for choice in reach.choices() {
            let mut tables = Tables::<NestedFormat>::new(frames)?;
            for mapping in reach.memory_by(choice) {
                tables.map(frames, &mapping)?;
            }
            roots.push(tables.root());
        }
        let (ports, registers): ([&IoPermissions; 2], &MsrPermissions) =
            permissions::allow(frames, reach)?;
        let ports = ports.map(|it| &raw const *it as u64);
        // SAFETY: all zeroes is a VMCB.
        let block = unsafe { frames.place::<Vmcb>()? };
        let host_block = frames.page()?.as_u64();
        control(&mut block.control);
        block.control.io_permissions = ports[0];
        block.control.msr_permissions = &raw const *registers as u64;
        block.control.nested_root = roots[0].as_u64();
        begin(&mut block.saved, start.entry);
        let block = Block::new(block);
        let is_own = |it: &&Mapping| it.guest == GuestPhysical::new(0);
        let own = reach.memory.iter().find(is_own);
        let mut context = Context::new(block.as_ptr() as u64, host_block);
        context.registers.rbx = start.start_info;
        Ok(Self {
            block,
            context,
            has_next_rip: cpuid_if_present(0x8000_000a).edx & NEXT_RIP_SAVE != 0,
            pat: PAT_RESET,
            memory: own.map_or((0, 0), |own| (own.host.as_u64(), own.bytes)),
            ports,
            roots,
        })
    }

    /// What decides on the guest's addresses.
    fn mode(&self) -> Mode {
        const LONG: usize = 9; // L, bit 53 of the descriptor
        Mode {
            cr0: get!(self.block, saved.cr0),
            cr3: get!(self.block, saved.cr3),
            cr4: get!(self.block, saved.cr4),
            efer: get!(self.block, saved.efer) & !EFER_SVME,
            long_code: get!(self.block, saved.cs).attributes.get_bit(LONG),
        }
    }

    /// The MOV to CR0 at the guest's instruction pointer: its source and its bytes.
    fn move_to_cr0(&self, mode: &Mode) -> Option<(u8, u64)> {
        let (base, rip) = (get!(self.block, saved.cs).base, get!(self.block, saved.rip));
        let linear = if mode.is_64_bit() {
            rip
        } else {
            base.wrapping_add(rip)
        };
        let mut code = ArrayVec::<u8, { cr0::INSTRUCTION_BYTES }>::new();
        while !code.is_full() {
            let at = linear.wrapping_add(code.len() as u64);
            let Some(address) = mode.translate(at, |address| self.own_word(address)) else {
                break;
            };
            let Some(word) = self.own_word(address & !7) else {
                break;
            };
            code.push(word.to_le_bytes()[address as usize % 8]);
        }
        cr0::decode(&code, mode.is_64_bit())
    }

    /// The eight bytes at `address`, a multiple of eight, of the guest's own memory.
    fn own_word(&self, address: u64) -> Option<u64> {
        let (memory, bytes) = self.memory;
        let inside = address.checked_add(8).is_some_and(|end| end <= bytes);
        let word = memory + clamp(address, bytes.saturating_sub(7));
        // SAFETY: inside the sandbox's memory, which is mapped to itself; the guest does not run
        // meanwhile, and no reference into it is kept.
        inside.then(|| unsafe { (word as *const u64).read_volatile() })
    }

    /// Returns the page with its block, which the hypervisor reads and writes.
    #[must_use]
    pub fn block(&self) -> HostPhysical {
        HostPhysical::new(self.block.as_ptr() as u64)
    }

    /// Makes this core ready for [`Guest::run`]: from here on its global interrupt flag
    /// is clear outside the guest.
    ///
    /// # Safety
    /// To be called once, on the core that will run the guest, with SVM enabled and
    /// its task register loaded.
    pub unsafe fn bind(&mut self) {
        // SAFETY: the block is a page of ours, written by VMSAVE alone.
        unsafe {
            asm!("clgi", "vmsave rax", in("rax") self.context.host_block, options(nostack));
        }
    }
}

/// What exits, but for ports and registers, and how the guest's memory is found.
fn control(control: &mut Control) {
    // #DB and #AC: their delivery can loop inside the processor, out of reach of
    // NMI (CVE-2015-8104, CVE-2015-5307). #MC belongs to the hypervisor.
    control.intercept_exceptions = 1 << 1 | 1 << 17 | 1 << 18;
    control.intercepts = [
        intercept::NMI
            | intercept::INIT
            | intercept::CR0_WRITE
            | intercept::RDPMC
            | intercept::CPUID
            | intercept::INVD
            | intercept::INVLPGA
            | intercept::IO
            | intercept::MSR
            | intercept::TASK_SWITCH
            | intercept::FERR_FREEZE
            | intercept::SHUTDOWN,
        intercept::VIRTUALIZATION
            | intercept::HIDDEN_COUNTERS
            | intercept::WBINVD_MONITOR_MWAIT_XSETBV,
        // INVLPGB drops translations of this ASID on all cores, where it is other
        // sandboxes', and processors without CPUID Fn8000_000A_EDX[24] execute it in guests
        // unless it is intercepted (APM vol. 3, INVLPGB; vol. 2 appendix B, offset 090h).
        intercept::BROADCAST_INVALIDATION | intercept::MCOMMIT,
    ];
    control.asid = 1; // 0 is the hypervisor's; one guest a core needs no other
    control.tlb_control = FLUSH_ALL; // at the first entry
    control.nested_control = 1;
}

/// The state that the PVH protocol demands: 32-bit protected mode, flat segments, no paging.
fn begin(saved: &mut Saved, entry: u64) {
    let flat = |attributes| Segment {
        selector: 0,
        attributes,
        limit: u32::MAX,
        base: 0,
    };
    saved.cs = flat(0xc9b);
    for segment in [
        &mut saved.ds,
        &mut saved.es,
        &mut saved.ss,
        &mut saved.fs,
        &mut saved.gs,
    ] {
        *segment = flat(0xc93);
    }
    saved.tr = Segment {
        selector: 0,
        attributes: 0x8b,
        limit: 0x67,
        base: 0,
    };
    saved.ldtr = Segment {
        selector: 0,
        attributes: 0x82,
        limit: 0,
        base: 0,
    };
    saved.efer = EFER_SVME; // VMRUN insists (APM vol. 2 §15.5.1); hidden from reads
    saved.cr0 = 0x11; // PE, ET
    saved.dr6 = 0xffff_0ff0;
    saved.dr7 = 0x400;
    saved.rflags = 2;
    saved.rip = entry;
    saved.pat = PAT_WRITE_BACK;
}

impl Guest for SvmGuest {
    #[inline(always)]
    fn run(&mut self) -> Exit {
        set!(self.block, saved.rax, self.context.registers.rax);
        // SAFETY: `bind` made the core ready; the block is complete and its nested
        // tables map only the sandbox's memory.
        unsafe { enter::enter(&raw mut self.context) };
        self.context.registers.rax = get!(self.block, saved.rax);
        set!(self.block, control.tlb_control, 0);
        set!(self.block, control.event_injection, 0);
        exits::decode(&self.block)
    }

    fn registers(&mut self) -> &mut Registers {
        &mut self.context.registers
    }

    fn instruction_pointer(&self) -> u64 {
        get!(self.block, saved.rip)
    }

    fn ring(&self) -> u8 {
        get!(self.block, saved.cpl)
    }

    fn skip_instruction(&mut self) {
        let after = |length| get!(self.block, saved.rip).wrapping_add(length);
        let next = match get!(self.block, control.next_rip) {
            next if self.has_next_rip && next != 0 => next,
            _ => match get!(self.block, control.exit_code) {
                exit_code::VMMCALL => after(3),
                // §15.10.2.
                exit_code::IO => get!(self.block, control.exit_info_2),
                _ => after(2), // CPUID, RDMSR, WRMSR
            },
        };
        set!(self.block, saved.rip, next);
        // The skipped instruction ends a shadow of STI or MOV SS.
        set!(self.block, control.interrupt_shadow, 0);
    }

    fn inject(&mut self, event: Event) {
        // An external interrupt whose delivery raised the exception goes first (§15.7.2).
        let interrupted = get!(self.block, control.exit_interrupt_info);
        let error = u64::from(event.error.unwrap_or(0)) << 32;
        let word =
            event_word::again(interrupted).unwrap_or_else(|| event_word::exception(event) | error);
        set!(self.block, control.event_injection, word);
    }

    fn read_kept_msr(&self, register: u32) -> Option<u64> {
        match register {
            MSR_EFER => Some(get!(self.block, saved.efer) & !EFER_SVME),
            MSR_PAT => Some(self.pat),
            _ => None,
        }
    }

    fn write_kept_msr(&mut self, register: u32, value: u64) -> Option<Result<(), Refused>> {
        match register {
            MSR_EFER => {
                let paging = get!(self.block, saved.cr0) & cr0::PG != 0;
                let current = get!(self.block, saved.efer) & !EFER_SVME;
                let accepted = kept::efer(current, value, paging);
                Some(accepted.map(|value| set!(self.block, saved.efer, value | EFER_SVME)))
            }
            MSR_PAT => Some(kept::pat(value).map(|value| self.pat = value)),
            _ => None,
        }
    }

    fn write_cr0(&mut self) -> Option<Result<(), Refused>> {
        let mode = self.mode();
        let (source, bytes) = self.move_to_cr0(&mode)?;
        let registers = &self.context.registers;
        let value = registers.numbered(source, get!(self.block, saved.rsp));
        let Ok((cr0, efer)) = mode.with_cr0(value) else {
            return Some(Err(Refused));
        };

        set!(self.block, saved.cr0, cr0);
        set!(self.block, saved.efer, efer | EFER_SVME);
        let next = get!(self.block, saved.rip).wrapping_add(bytes);
        set!(self.block, saved.rip, next);
        set!(self.block, control.interrupt_shadow, 0);
        // As the instruction itself does where it changes paging.
        set!(self.block, control.tlb_control, FLUSH_ALL);
        Some(Ok(()))
    }

    fn take_nmi(&mut self) {
        // SAFETY: the core's interrupt table handles NMI on a stack of its own, and
        // interrupts are masked in the flags.
        unsafe { asm!("stgi", "nop", "clgi") };
    }

    fn choose_ports(&mut self, with_shared: bool) {
        let ports = self.ports[usize::from(with_shared)];
        set!(self.block, control.io_permissions, ports);
    }

    fn choose_memory(&mut self, choice: usize) {
        set!(self.block, control.nested_root, self.roots[choice].as_u64());
        // Not another address space identifier: what the guest itself drops of its translations,
        // it drops of the current one's alone (APM vol. 2 §15.16), and would find again in the
        // other.
        set!(self.block, control.tlb_control, FLUSH_ALL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::frames::tests::of_host;

    #[test]
    fn what_is_not_a_sandboxs_exits_by_the_bits_of_the_manual() {
        let mut frames = of_host(4 << 20);
        let guest = SvmGuest::build(&mut frames, &Reach::default(), Start::default()).unwrap();
        let block = guest.block;
        // APM vol. 2 table B-1, vectors 3 to 5.
        for (word, bits) in [
            // NMI, INIT, writes of CR0, RDPMC, CPUID, INVD, INVLPGA, ports, registers, task switch, freeze,
            // shutdown.
            (0, &[1, 3, 5, 15, 18, 22, 26, 27, 28, 29, 30, 31][..]),
            // VMRUN to SKINIT; RDTSCP; WBINVD, MONITOR, MWAIT, the same if armed, XSETBV; RDPRU.
            (1, &[0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14]),
            // INVLPGB, MCOMMIT, TLBSYNC.
            (2, &[0, 3, 4]),
        ] {
            let wanted = bits.iter().fold(0, |word, bit| word | 1 << bit);
            let intercepts = get!(block, control.intercepts);
            assert_eq!(intercepts[word], wanted, "word {word}");
        }
        let exceptions = get!(block, control.intercept_exceptions);
        assert_eq!(exceptions, 1 << 1 | 1 << 17 | 1 << 18);
        assert_eq!(get!(block, control.nested_control), 1);
        assert_ne!(get!(block, control.asid), 0);
    }

    #[test]
    fn a_guest_reads_the_memory_types_that_it_wrote_and_has_others() {
        let mut frames = of_host(4 << 20);
        let mut guest = SvmGuest::build(&mut frames, &Reach::default(), Start::default()).unwrap();
        assert_eq!(guest.read_kept_msr(MSR_PAT), Some(PAT_RESET));
        // Uncached and write-combining alone; and one that does not exist.
        let uncached = 0x0100_0100_0100_0100;
        assert_eq!(guest.write_kept_msr(MSR_PAT, uncached), Some(Ok(())));
        assert_eq!(guest.write_kept_msr(MSR_PAT, 2), Some(Err(Refused)));
        assert_eq!(guest.read_kept_msr(MSR_PAT), Some(uncached));
        assert_eq!(get!(guest.block, saved.pat), 0x0606_0606_0606_0606);
    }

    #[test]
    fn a_write_of_cr0_is_found_in_the_guests_memory_and_leaves_caches_on() {
        const BYTES: u64 = 2 << 20;
        const CACHES_OFF: u64 = 1 << 30;
        let mut frames = of_host(8 << 20);
        let host = frames.take(BYTES, BYTES).unwrap();
        let code = [0x0f, 0x22, 0xc3]; // mov cr0, ebx
        // SAFETY: the piece is the test's.
        unsafe {
            let at = (host.as_u64() as *mut u8).add(0x1ffd);
            at.copy_from_nonoverlapping(code.as_ptr(), code.len());
        }
        let own = Mapping {
            guest: GuestPhysical::new(0),
            host,
            bytes: BYTES,
            access: Access::Full,
        };
        let reach = Reach {
            memory: [own].into(),
            ..Reach::default()
        };
        let start = Start {
            entry: 0x1ffd,
            start_info: 0,
        };
        let mut guest = SvmGuest::build(&mut frames, &reach, start).unwrap();
        guest.registers().rbx = CACHES_OFF | 0x13;
        assert_eq!(guest.write_cr0(), Some(Ok(())));
        assert_eq!(get!(guest.block, saved.cr0), 0x13);
        assert_eq!(guest.instruction_pointer(), 0x2000);
        // Zeroes, and memory that is not its own.
        assert_eq!(guest.write_cr0(), None);
        set!(guest.block, saved.rip, BYTES);
        assert_eq!(guest.write_cr0(), None);
    }

    #[test]
    fn amd_v_is_refused_without_nested_paging_or_switched_off_whoever_locked_that() {
        const LOCK: u64 = 1 << 3;
        const DISABLE: u64 = 1 << 4;
        for (features, control, says) in [
            (0b1001, 0, None),
            (0b0001, LOCK, None),
            (0b1000, 0, Some("no nested paging")),
            (0b1001, DISABLE, Some("switched off by the firmware")),
            (0b1001, DISABLE | LOCK, Some("switched off by the firmware")),
        ] {
            let line = lacks(features, control);
            assert_eq!(line.is_some(), says.is_some(), "{control:#x}");
            let (line, says) = (line.unwrap_or_default(), says.unwrap_or_default());
            assert!(line.contains(says), "'{line}' does not say '{says}'");
        }
    }
}
