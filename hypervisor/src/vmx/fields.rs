//! Fields of the current VMCS by their encodings (Intel SDM vol. 3, appendix B), and
//! the instructions that reach them.
use core::arch::asm;

/// A field of the VMCS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field(pub u32);

#[allow(missing_docs)]
impl Field {
    pub const VPID: Self = Self(0x0000);
    pub const HOST_ES: Self = Self(0x0c00);
    pub const HOST_CS: Self = Self(0x0c02);
    pub const HOST_SS: Self = Self(0x0c04);
    pub const HOST_DS: Self = Self(0x0c06);
    pub const HOST_FS: Self = Self(0x0c08);
    pub const HOST_GS: Self = Self(0x0c0a);
    pub const HOST_TR: Self = Self(0x0c0c);

    pub const IO_BITMAP_A: Self = Self(0x2000);
    pub const IO_BITMAP_B: Self = Self(0x2002);
    pub const MSR_BITMAP: Self = Self(0x2004);
    pub const EPT_POINTER: Self = Self(0x201a);
    pub const GUEST_PHYSICAL: Self = Self(0x2400);
    pub const LINK_POINTER: Self = Self(0x2800);
    pub const GUEST_DEBUG_CONTROL: Self = Self(0x2802);
    pub const GUEST_PAT: Self = Self(0x2804);
    pub const GUEST_EFER: Self = Self(0x2806);
    pub const HOST_PAT: Self = Self(0x2c00);
    pub const HOST_EFER: Self = Self(0x2c02);

    pub const PIN_CONTROLS: Self = Self(0x4000);
    pub const PROCESSOR_CONTROLS: Self = Self(0x4002);
    pub const EXCEPTIONS: Self = Self(0x4004);
    pub const PAGE_FAULT_MASK: Self = Self(0x4006);
    pub const PAGE_FAULT_MATCH: Self = Self(0x4008);
    pub const CR3_TARGETS: Self = Self(0x400a);
    pub const EXIT_CONTROLS: Self = Self(0x400c);
    pub const EXIT_STORED_MSRS: Self = Self(0x400e);
    pub const EXIT_LOADED_MSRS: Self = Self(0x4010);
    pub const ENTRY_CONTROLS: Self = Self(0x4012);
    pub const ENTRY_LOADED_MSRS: Self = Self(0x4014);
    pub const ENTRY_EVENT: Self = Self(0x4016);
    pub const ENTRY_EVENT_ERROR: Self = Self(0x4018);
    pub const SECONDARY_CONTROLS: Self = Self(0x401e);

    pub const PREEMPTION_TIMER: Self = Self(0x482e);

    pub const INSTRUCTION_ERROR: Self = Self(0x4400);
    pub const EXIT_REASON: Self = Self(0x4402);
    pub const EXIT_EVENT: Self = Self(0x4404);
    pub const EXIT_EVENT_ERROR: Self = Self(0x4406);
    pub const INTERRUPTED_EVENT: Self = Self(0x4408);
    pub const EXIT_INSTRUCTION_BYTES: Self = Self(0x440c);

    pub const GUEST_INTERRUPTIBILITY: Self = Self(0x4824);
    pub const GUEST_ACTIVITY: Self = Self(0x4826);
    pub const GUEST_SYSENTER_CS: Self = Self(0x482a);
    pub const GUEST_GDTR_LIMIT: Self = Self(0x4810);
    pub const GUEST_IDTR_LIMIT: Self = Self(0x4812);
    pub const GUEST_SS_RIGHTS: Self = Segment::SS.rights();
    pub const HOST_SYSENTER_CS: Self = Self(0x4c00);

    pub const CR0_OWNED: Self = Self(0x6000);
    pub const CR4_OWNED: Self = Self(0x6002);
    pub const CR0_SEEN: Self = Self(0x6004);
    pub const CR4_SEEN: Self = Self(0x6006);
    pub const QUALIFICATION: Self = Self(0x6400);

    pub const GUEST_CR0: Self = Self(0x6800);
    pub const GUEST_CR3: Self = Self(0x6802);
    pub const GUEST_CR4: Self = Self(0x6804);
    pub const GUEST_GDTR_BASE: Self = Self(0x6816);
    pub const GUEST_IDTR_BASE: Self = Self(0x6818);
    pub const GUEST_DR7: Self = Self(0x681a);
    pub const GUEST_RSP: Self = Self(0x681c);
    pub const GUEST_RIP: Self = Self(0x681e);
    pub const GUEST_RFLAGS: Self = Self(0x6820);
    pub const GUEST_PENDING_DEBUG: Self = Self(0x6822);
    pub const GUEST_SYSENTER_ESP: Self = Self(0x6824);
    pub const GUEST_SYSENTER_EIP: Self = Self(0x6826);
    pub const HOST_CR0: Self = Self(0x6c00);
    pub const HOST_CR3: Self = Self(0x6c02);
    pub const HOST_CR4: Self = Self(0x6c04);
    pub const HOST_FS_BASE: Self = Self(0x6c06);
    pub const HOST_GS_BASE: Self = Self(0x6c08);
    pub const HOST_TR_BASE: Self = Self(0x6c0a);
    pub const HOST_GDTR_BASE: Self = Self(0x6c0c);
    pub const HOST_IDTR_BASE: Self = Self(0x6c0e);
    pub const HOST_SYSENTER_ESP: Self = Self(0x6c10);
    pub const HOST_SYSENTER_EIP: Self = Self(0x6c12);
    pub const HOST_RIP: Self = Self(0x6c16);
}

/// A segment register of the guest: its four fields lie at the same distance from each
/// other for every register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment(u32);

#[allow(missing_docs)]
impl Segment {
    pub const ES: Self = Self(0);
    pub const CS: Self = Self(2);
    pub const SS: Self = Self(4);
    pub const DS: Self = Self(6);
    pub const FS: Self = Self(8);
    pub const GS: Self = Self(10);
    pub const LDTR: Self = Self(12);
    pub const TR: Self = Self(14);

    pub const fn selector(self) -> Field {
        Field(0x0800 + self.0)
    }

    pub const fn limit(self) -> Field {
        Field(0x4800 + self.0)
    }

    pub const fn rights(self) -> Field {
        Field(0x4814 + self.0)
    }

    pub const fn base(self) -> Field {
        Field(0x6806 + self.0)
    }
}

/// Reads a field of the current VMCS.
#[inline]
#[must_use]
pub fn read(field: Field) -> u64 {
    let value;
    // SAFETY: VMREAD touches no memory that Rust knows; a guest exists only with a
    // current VMCS on its core.
    unsafe {
        asm!("vmread {}, {}", out(reg) value, in(reg) u64::from(field.0), options(nomem, nostack));
    }
    value
}

/// Writes a field of the current VMCS.
///
/// # Safety
/// What the processor does with the value at the next entry or exit must be sound.
#[inline]
pub unsafe fn write(field: Field, value: u64) {
    let failed: u8;
    // SAFETY: as the caller vouches.
    unsafe {
        asm!(
            "vmwrite {}, {}", "setna {}",
            in(reg) u64::from(field.0), in(reg) value, lateout(reg_byte) failed,
            options(nostack)
        );
    }
    // A field that a processor with these features does not have would leave the guest
    // without the protection it stands for.
    assert!(failed == 0, "VMWRITE of field {:#x}", field.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_fields_are_those_of_the_manual() {
        // SDM vol. 3, tables B-2, B-10 and B-15.
        assert_eq!(Segment::TR.selector(), Field(0x080e));
        assert_eq!(Segment::LDTR.limit(), Field(0x480c));
        assert_eq!(Segment::SS.rights(), Field(0x4818));
        assert_eq!(Segment::GS.base(), Field(0x6810));
    }
}
