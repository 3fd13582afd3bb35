//! The virtual machine control block (AMD APM vol. 2, appendix B).
use core::mem::{offset_of, size_of};
use core::ptr::NonNull;

/// A segment register (table B-2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Segment {
    /// Selector.
    pub selector: u16,
    /// Bits 55:52 and 47:40 of the descriptor, as bits 11:8 and 7:0.
    pub attributes: u16,
    /// Limit in bytes.
    pub limit: u32,
    /// Base.
    pub base: u64,
}

/// The control area (table B-1).
#[derive(Clone, Debug)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Control {
    pub intercept_cr: u32,
    pub intercept_dr: u32,
    pub intercept_exceptions: u32,
    /// Vectors 3, 4 and 5: see the constants of [`intercept`].
    pub intercepts: [u32; 3],
    reserved_18: [u32; 9],
    pub pause_filter: u32,
    pub io_permissions: u64,
    pub msr_permissions: u64,
    pub tsc_offset: u64,
    pub asid: u32,
    pub tlb_control: u32,
    pub virtual_interrupt: u64,
    pub interrupt_shadow: u64,
    pub exit_code: u64,
    pub exit_info_1: u64,
    pub exit_info_2: u64,
    pub exit_interrupt_info: u64,
    pub nested_control: u64,
    reserved_98: [u64; 2],
    pub event_injection: u64,
    pub nested_root: u64,
    pub lbr_control: u64,
    pub clean: u64,
    pub next_rip: u64,
    reserved_d0: [u8; 0x400 - 0xd0],
}

/// The state save area (table B-2).
#[derive(Clone, Debug)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Saved {
    pub es: Segment,
    pub cs: Segment,
    pub ss: Segment,
    pub ds: Segment,
    pub fs: Segment,
    pub gs: Segment,
    pub gdtr: Segment,
    pub ldtr: Segment,
    pub idtr: Segment,
    pub tr: Segment,
    reserved_a0: [u8; 0xcb - 0xa0],
    pub cpl: u8,
    reserved_cc: u32,
    pub efer: u64,
    reserved_d8: [u64; 14],
    pub cr4: u64,
    pub cr3: u64,
    pub cr0: u64,
    pub dr7: u64,
    pub dr6: u64,
    pub rflags: u64,
    pub rip: u64,
    reserved_180: [u64; 11],
    pub rsp: u64,
    reserved_1e0: [u64; 3],
    pub rax: u64,
    pub star: u64,
    pub lstar: u64,
    pub cstar: u64,
    pub sfmask: u64,
    pub kernel_gs_base: u64,
    pub sysenter: [u64; 3],
    pub cr2: u64,
    reserved_248: [u64; 4],
    pub pat: u64,
    reserved_270: [u8; 0xc00 - 0x270],
}

/// The whole block, one page.
#[derive(Clone, Debug)]
#[repr(C, align(4096))]
#[allow(missing_docs)]
pub struct Vmcb {
    pub control: Control,
    pub saved: Saved,
}

const _: () = {
    assert!(size_of::<Segment>() == 16);
    assert!(offset_of!(Control, intercept_exceptions) == 0x08);
    assert!(offset_of!(Control, intercepts) == 0x0c);
    assert!(offset_of!(Control, pause_filter) == 0x3c);
    assert!(offset_of!(Control, io_permissions) == 0x40);
    assert!(offset_of!(Control, msr_permissions) == 0x48);
    assert!(offset_of!(Control, asid) == 0x58);
    assert!(offset_of!(Control, virtual_interrupt) == 0x60);
    assert!(offset_of!(Control, exit_code) == 0x70);
    assert!(offset_of!(Control, exit_interrupt_info) == 0x88);
    assert!(offset_of!(Control, nested_control) == 0x90);
    assert!(offset_of!(Control, event_injection) == 0xa8);
    assert!(offset_of!(Control, nested_root) == 0xb0);
    assert!(offset_of!(Control, clean) == 0xc0);
    assert!(offset_of!(Control, next_rip) == 0xc8);
    assert!(size_of::<Control>() == 0x400);
    assert!(offset_of!(Saved, tr) == 0x90);
    assert!(offset_of!(Saved, cpl) == 0xcb);
    assert!(offset_of!(Saved, efer) == 0xd0);
    assert!(offset_of!(Saved, cr4) == 0x148);
    assert!(offset_of!(Saved, cr0) == 0x158);
    assert!(offset_of!(Saved, rip) == 0x178);
    assert!(offset_of!(Saved, rsp) == 0x1d8);
    assert!(offset_of!(Saved, rax) == 0x1f8);
    assert!(offset_of!(Saved, cr2) == 0x240);
    assert!(offset_of!(Saved, pat) == 0x268);
    assert!(size_of::<Vmcb>() == 4096);
};

/// A guest's block. The processor reads and writes it at every VMRUN, so that no reference to it
/// may be alive then: it is reached by [`get`] and [`set`] alone, field by field.
#[derive(Debug)]
pub struct Block(NonNull<Vmcb>);

impl Block {
    /// Takes over a block that is filled in.
    #[must_use]
    pub fn new(block: &'static mut Vmcb) -> Self {
        Self(NonNull::from(block))
    }

    /// Returns where the block is, which memory that is mapped to itself has at its own address.
    #[must_use]
    pub const fn as_ptr(&self) -> *mut Vmcb {
        self.0.as_ptr()
    }
}

/// Reads a field of a [`Block`].
macro_rules! get {
    ($block:expr, $($field:ident).+) => {{
        let block: *const $crate::svm::vmcb::Vmcb = $block.as_ptr();
        // SAFETY: a field of the block that `Block::new` was given for good. The processor
        // writes it during VMRUN alone, which is another instruction of this core.
        unsafe { (&raw const (*block).$($field).+).read_volatile() }
    }};
}

/// Writes a field of a [`Block`].
macro_rules! set {
    ($block:expr, $($field:ident).+, $value:expr) => {{
        let value = $value;
        // SAFETY: as for `get`; what a VMCB may hold is checked at VMRUN.
        unsafe { (&raw mut (*$block.as_ptr()).$($field).+).write_volatile(value) }
    }};
}

pub(super) use {get, set};

/// Bits of [`Control::intercepts`], by word (table B-1).
pub mod intercept {
    /// Word 0.
    pub const NMI: u32 = 1 << 1;
    /// Word 0: system management interrupts stay the firmware's.
    pub const INIT: u32 = 1 << 3;
    /// Word 0: writes of CR0 that change more than TS and MP.
    pub const CR0_WRITE: u32 = 1 << 5;
    /// Word 0.
    pub const RDPMC: u32 = 1 << 15;
    /// Word 0.
    pub const CPUID: u32 = 1 << 18;
    /// Word 0.
    pub const INVD: u32 = 1 << 22;
    /// Word 0.
    pub const INVLPGA: u32 = 1 << 26;
    /// Word 0: by the I/O permission bitmap.
    pub const IO: u32 = 1 << 27;
    /// Word 0: by the MSR permission bitmap.
    pub const MSR: u32 = 1 << 28;
    /// Word 0.
    pub const TASK_SWITCH: u32 = 1 << 29;
    /// Word 0.
    pub const FERR_FREEZE: u32 = 1 << 30;
    /// Word 0.
    pub const SHUTDOWN: u32 = 1 << 31;
    /// Word 1: VMRUN, VMMCALL, VMLOAD, VMSAVE, STGI, CLGI, SKINIT.
    pub const VIRTUALIZATION: u32 = 0x7f;
    /// Word 1: RDTSCP, RDPRU.
    pub const HIDDEN_COUNTERS: u32 = 1 << 7 | 1 << 14;
    /// Word 1: WBINVD, MONITOR, MWAIT (both conditions), XSETBV.
    pub const WBINVD_MONITOR_MWAIT_XSETBV: u32 = 0xf << 9 | 1 << 13;
    /// Word 2: INVLPGB, TLBSYNC.
    pub const BROADCAST_INVALIDATION: u32 = 1 | 1 << 4;
    /// Word 2.
    pub const MCOMMIT: u32 = 1 << 3;
}

/// Exit codes (APM vol. 2, appendix C).
pub mod exit_code {
    #![allow(missing_docs)]
    pub const EXCEPTION: u64 = 0x40;
    pub const EXCEPTION_LAST: u64 = 0x5f;
    pub const INTERRUPT: u64 = 0x60;
    pub const NMI: u64 = 0x61;
    pub const INIT: u64 = 0x63;
    pub const CR0_WRITE: u64 = 0x65;
    pub const RDPMC: u64 = 0x6f;
    pub const CPUID: u64 = 0x72;
    pub const INVD: u64 = 0x76;
    pub const INVLPGA: u64 = 0x7a;
    pub const IO: u64 = 0x7b;
    pub const MSR: u64 = 0x7c;
    pub const TASK_SWITCH: u64 = 0x7d;
    pub const SHUTDOWN: u64 = 0x7f;
    pub const VMRUN: u64 = 0x80;
    pub const VMMCALL: u64 = 0x81;
    pub const VMLOAD: u64 = 0x82;
    pub const VMSAVE: u64 = 0x83;
    pub const STGI: u64 = 0x84;
    pub const CLGI: u64 = 0x85;
    pub const SKINIT: u64 = 0x86;
    pub const RDTSCP: u64 = 0x87;
    pub const WBINVD: u64 = 0x89;
    pub const MONITOR: u64 = 0x8a;
    pub const MWAIT: u64 = 0x8b;
    pub const MWAIT_CONDITIONAL: u64 = 0x8c;
    pub const XSETBV: u64 = 0x8d;
    pub const RDPRU: u64 = 0x8e;
    pub const INVLPGB: u64 = 0xa0;
    pub const MCOMMIT: u64 = 0xa3;
    pub const TLBSYNC: u64 = 0xa4;
    pub const NESTED_PAGE_FAULT: u64 = 0x400;
    /// Refused state: 64 bits of ones, or 32 in some emulators.
    pub const INVALID: u64 = u64::MAX;
    pub const INVALID_32: u64 = 0xffff_ffff;
}
