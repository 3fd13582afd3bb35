//! VT-x: enabling it on a core, building a guest, running it (Intel SDM vol. 3, ch. 24
//! to 28).
pub mod bitmaps;
mod capabilities;
mod enter;
mod exits;
mod fields;
mod state;

use crate::event_word;
use crate::guest::{Event, Exit, Guest, MOST_CHOICES, Reach, Refused, Registers, Start};
use crate::kept::{self, MSR_EFER, MSR_PAT};
use crate::memory::frames::{Frames, OutOfMemory};
use crate::memory::mapping::Access;
use crate::memory::page_tables::{Format, LARGE, Tables};
use crate::permissions;
use arrayvec::ArrayVec;
use bit_field::BitField;
use bitmaps::{IoPermissions, MsrPermissions};
use capabilities::Capabilities;
use core::arch::asm;
use core::ops::Range;
use enter::Context;
use fields::{Field, read, write};
use state::{Addresses, CR0_CD, CR0_NW, CR0_OWNED};
use tern_machine::cpu::{cpuid_if_present, read_msr, write_msr};
use tern_units::HostPhysical;

const MSR_FEATURE_CONTROL: u32 = 0x3a;
const FEATURES_LOCKED: u64 = 1;
const VMX_OUTSIDE_SMX: u64 = 1 << 2;
const CR0_PE: u64 = 1;
const CR0_PG: u64 = 1 << 31;

/// Whether the boot processor has VT-x at all (CPUID leaf 1, ECX bit 5).
#[must_use]
pub fn is_present() -> bool {
    cpuid_if_present(1).ecx & 1 << 5 != 0
}

/// What the boot processor, which has VT-x, lacks of it, as one line; `None` if nothing.
#[must_use]
pub fn missing() -> Option<&'static str> {
    // SAFETY: the register exists with VT-x (SDM vol. 3 §24.7).
    let features = unsafe { read_msr(MSR_FEATURE_CONTROL) };
    if is_locked_off(features) {
        return Some("VT-x is locked off by the firmware: turn virtualization on in its setup");
    }
    // SAFETY: the processor has VT-x.
    unsafe { Capabilities::read() }.err()
}

/// Whether the firmware has set this value of the feature-control register, and locked it,
/// without VT-x. What it has not locked, [`enable`] sets.
fn is_locked_off(features: u64) -> bool {
    features & FEATURES_LOCKED != 0 && features & VMX_OUTSIDE_SMX == 0
}

/// Puts this core into VMX operation, `region` being a page for the processor's own use.
///
/// # Safety
/// [`missing`] found nothing missing, and the page is this core's alone.
pub unsafe fn enable(region: HostPhysical) {
    const CR0_NE: u64 = 1 << 5;
    const CR4_VMXE: u64 = 1 << 13;
    // SAFETY: as the caller vouches; §24.7 and §24.8 name the bits that VMXON demands.
    // CR0.NE and CR4.VMXE are those that 64-bit code does not have anyway.
    unsafe {
        let features = read_msr(MSR_FEATURE_CONTROL);
        if features & FEATURES_LOCKED == 0 {
            let on = features | FEATURES_LOCKED | VMX_OUTSIDE_SMX;
            write_msr(MSR_FEATURE_CONTROL, on);
        }
        let capabilities = match Capabilities::read() {
            Ok(capabilities) => capabilities,
            Err(line) => panic!("this core is not like the boot core: {line}"),
        };
        let (mut cr0, mut cr4): (u64, u64);
        asm!("mov {}, cr0", "mov {}, cr4", out(reg) cr0, out(reg) cr4, options(nostack));
        cr0 |= CR0_NE | capabilities.cr0_fixed & 0xffff_ffff;
        cr4 |= CR4_VMXE | capabilities.cr4_fixed;
        asm!("mov cr0, {}", "mov cr4, {}", in(reg) cr0, in(reg) cr4, options(nostack));
        (region.as_u64() as *mut u32).write_volatile(capabilities.revision);
        let failed: u8;
        asm!("vmxon [{}]", "setna {}", in(reg) &region.as_u64(), lateout(reg_byte) failed, options(nostack));
        assert!(failed == 0, "VMXON");
        // What the firmware may have left (§29.4.3): INVEPT type 2, all contexts.
        let descriptor = [0_u64; 2];
        asm!("invept {}, [{}]", in(reg) 2_u64, in(reg) &raw const descriptor, options(nostack));
    }
}

/// Entries of extended page tables (§29.3.2), write-back throughout.
#[derive(Clone, Copy, Debug)]
pub struct ExtendedFormat;

impl Format for ExtendedFormat {
    fn table(address: u64) -> u64 {
        address | READ | WRITE | EXECUTE
    }

    fn page(address: u64, access: Access, large: bool) -> u64 {
        // Bit 6: whatever the guest's page attribute table says (§29.3.7.2).
        const WRITE_BACK: u64 = 6 << 3 | 1 << 6;
        let permissions = match access {
            Access::Full => READ | WRITE | EXECUTE,
            Access::ReadWrite => READ | WRITE,
            Access::ReadOnly => READ,
            Access::Code => READ | EXECUTE,
        };
        address | permissions | WRITE_BACK | if large { LARGE } else { 0 }
    }

    fn is_present(entry: u64) -> bool {
        entry & (READ | WRITE | EXECUTE) != 0
    }
}

const READ: u64 = 1;
const WRITE: u64 = 1 << 1;
const EXECUTE: u64 = 1 << 2;

/// A guest under VT-x.
#[derive(Debug)]
pub struct VmxGuest {
    context: Context,
    addresses: Addresses,
    entry: u64,
    launched: bool,
    /// Its I/O bitmaps, without a shared device and with it.
    ports: [u64; 2],
    /// The top tables of its nested tables, by [`Reach::choices`].
    roots: ArrayVec<HostPhysical, MOST_CHOICES>,
}

impl VmxGuest {
    /// A guest that will start in the state that the PVH protocol demands. Its VMCS is
    /// filled in by [`VmxGuest::bind`], on its own core.
    ///
    /// # Errors
    /// If there is no memory left.
    pub fn build(frames: &mut Frames, reach: &Reach, start: Start) -> Result<Self, OutOfMemory> {
        // A guest that changes its page sizes could else put a page into the instruction TLB as
        // a large and as a small one, at which some processors stop with a machine check.
        let small_code = !capabilities::takes_large_code();
        let mut roots = ArrayVec::new();
        for choice in reach.choices() {
            let tables = Tables::<ExtendedFormat>::new(frames)?;
            let mut tables = tables.with_small_code(small_code);
            for mapping in reach.memory_by(choice) {
                tables.map(frames, &mapping)?;
            }
            roots.push(tables.root());
        }
        let (ports, registers): ([&IoPermissions; 2], &MsrPermissions) =
            permissions::allow(frames, reach)?;
        let ports = ports.map(|it| &raw const *it as u64);
        Ok(Self {
            context: Context::new(Registers {
                rbx: start.start_info,
                ..Registers::default()
            }),
            addresses: Addresses {
                block: frames.page()?.as_u64(),
                nested_root: roots[0],
                ports: ports[0],
                registers: &raw const *registers as u64,
            },
            entry: start.entry,
            launched: false,
            ports,
            roots,
        })
    }

    /// Returns the page with its VMCS, which the hypervisor prepares for the processor.
    #[must_use]
    pub fn block(&self) -> HostPhysical {
        HostPhysical::new(self.addresses.block)
    }

    /// Makes this core ready for [`Guest::run`].
    ///
    /// # Safety
    /// To be called once, on the core that will run the guest, in VMX operation and
    /// with its descriptor tables loaded.
    pub unsafe fn bind(&mut self) {
        // SAFETY: as the caller vouches; the tables map only the sandbox's memory.
        unsafe { state::load(&self.addresses, self.entry) };
    }
}

/// Makes the next entry of this core's guest exit at once. For the handler of an NMI that came in
/// the hypervisor, maybe just before that entry: it touches no memory but the VMCS.
pub fn exit_at_once() {
    // SAFETY: a guest has been entered on this core, so its VMCS is current.
    unsafe { state::exit_at_once(true) };
}

/// Ends the shadow of STI or MOV SS, as an instruction and the delivery of an event do.
fn end_shadow() {
    const STI_OR_MOV_SS: Range<usize> = 0..2;
    let mut shadow = read(Field::GUEST_INTERRUPTIBILITY);
    if shadow.get_bits(STI_OR_MOV_SS) != 0 {
        shadow.set_bits(STI_OR_MOV_SS, 0);
        // SAFETY: lets the guest's own interrupts through.
        unsafe { write(Field::GUEST_INTERRUPTIBILITY, shadow) };
    }
}

/// Lets NMIs exit the guest again: it is never in a handler of one, as none is delivered to it. An
/// exit for an NMI holds others off only once it is complete (§28.1), but Bochs saves that the guest
/// itself does, and its next entry would do so for good.
fn end_nmi_blocking() {
    const BLOCKED_BY_NMI: usize = 3;
    let mut blocking = read(Field::GUEST_INTERRUPTIBILITY);
    if blocking.get_bit(BLOCKED_BY_NMI) {
        blocking.set_bit(BLOCKED_BY_NMI, false);
        // SAFETY: lets interrupts of the hypervisor's through.
        unsafe { write(Field::GUEST_INTERRUPTIBILITY, blocking) };
    }
}

impl Guest for VmxGuest {
    #[inline(always)]
    fn run(&mut self) -> Exit {
        // SAFETY: `bind` made the VMCS current on this core, complete, and with nested
        // tables that map only the sandbox's memory.
        let refused = unsafe { enter::enter(&raw mut self.context, self.launched) };
        if refused {
            return exits::refused();
        }
        self.launched = true;
        exits::decode()
    }

    fn registers(&mut self) -> &mut Registers {
        &mut self.context.registers
    }

    fn instruction_pointer(&self) -> u64 {
        read(Field::GUEST_RIP)
    }

    fn ring(&self) -> u8 {
        read(Field::GUEST_SS_RIGHTS).get_bits(5..7) as u8
    }

    fn skip_instruction(&mut self) {
        let next = read(Field::GUEST_RIP).wrapping_add(read(Field::EXIT_INSTRUCTION_BYTES));
        // SAFETY: the guest's own instruction pointer.
        unsafe { write(Field::GUEST_RIP, next) };
        end_shadow();
    }

    fn inject(&mut self, event: Event) {
        // An external interrupt whose delivery raised the exception goes first (§28.2.4).
        if let Some(word) = event_word::again(read(Field::INTERRUPTED_EVENT)) {
            // SAFETY: the event that the processor itself was about to deliver.
            unsafe { write(Field::ENTRY_EVENT, word) };
            return;
        }
        // With a shadow and the trap flag the processor enters only if a single-step trap is
        // pending too (§27.3.1.5), which an exit for #DB does not leave so.
        end_shadow();
        // In real mode exceptions have no error code, and an entry that says otherwise
        // is refused (§27.2.1.3).
        let protected = read(Field::GUEST_CR0) & CR0_PE != 0;
        let event = Event {
            error: event.error.filter(|_| protected),
            ..event
        };
        // SAFETY: an exception for the guest itself.
        unsafe {
            write(Field::ENTRY_EVENT_ERROR, event.error.unwrap_or(0).into());
            write(Field::ENTRY_EVENT, event_word::exception(event));
        }
    }

    fn read_kept_msr(&self, register: u32) -> Option<u64> {
        match register {
            MSR_EFER => Some(read(Field::GUEST_EFER)),
            MSR_PAT => Some(read(Field::GUEST_PAT)),
            _ => None,
        }
    }

    fn write_kept_msr(&mut self, register: u32, value: u64) -> Option<Result<(), Refused>> {
        let (field, accepted) = match register {
            MSR_EFER => {
                let paging = read(Field::GUEST_CR0) & CR0_PG != 0;
                let current = read(Field::GUEST_EFER);
                (Field::GUEST_EFER, kept::efer(current, value, paging))
            }
            MSR_PAT => (Field::GUEST_PAT, kept::pat(value)),
            _ => return None,
        };
        // SAFETY: the guest's own register, with a value that it may have.
        Some(accepted.map(|value| unsafe { write(field, value) }))
    }

    /// Changes what the guest reads of the owned bits to what it writes, and lets it execute the
    /// instruction again: that does not exit, as only a difference to what is read does (§26.1.3),
    /// and the processor itself does all the rest, checks included.
    fn write_cr0(&mut self) -> Option<Result<(), Refused>> {
        // Table 28-3: the source in bits 11:8.
        let source = (read(Field::QUALIFICATION) >> 8 & 0xf) as u8;
        let value = (self.context.registers).numbered(source, read(Field::GUEST_RSP));
        // The processor checks this with the bits as they are, not as the guest writes them.
        if value & (CR0_NW | CR0_CD) == CR0_NW {
            return Some(Err(Refused));
        }
        // SAFETY: changes what the guest reads alone.
        unsafe { write(Field::CR0_SEEN, value & CR0_OWNED) };
        Some(Ok(()))
    }

    /// The exit has taken it (§28.3.1), so the handler is called as an interrupt calls it: its
    /// return lets the next one in. Those that come while the hypervisor runs reach it at once
    /// (§26.1), up to the very entry.
    fn take_nmi(&mut self) {
        // SAFETY: the core's interrupt table handles NMI on a stack of its own, which is not in
        // use: others are held off between their exit and the handler's return.
        unsafe { asm!("int 2") };
        end_nmi_blocking();
        // The exit that it has asked for is this one.
        // SAFETY: the controls of every guest.
        unsafe { state::exit_at_once(false) };
    }

    fn choose_ports(&mut self, with_shared: bool) {
        // SAFETY: bitmaps of the guest's own.
        unsafe { state::choose_ports(self.ports[usize::from(with_shared)]) };
    }

    /// Translations are told apart by the address of their top table, and what the guest drops of
    /// its own, it drops of all of them (§29.4.3.1): nothing is to be flushed.
    fn choose_memory(&mut self, choice: usize) {
        // SAFETY: tables that map only the sandbox's memory.
        unsafe { state::choose_nested_tables(self.roots[choice]) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_firmware_locked_without_vt_x_is_off() {
        const INSIDE_SMX: u64 = 1 << 1;
        assert!(is_locked_off(FEATURES_LOCKED));
        assert!(is_locked_off(FEATURES_LOCKED | INSIDE_SMX));
        for features in [0, VMX_OUTSIDE_SMX, VMX_OUTSIDE_SMX | FEATURES_LOCKED] {
            assert!(!is_locked_off(features), "{features:#x}");
        }
    }
}
