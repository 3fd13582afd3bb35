//! What happens to the hypervisor itself: its exceptions and panics, which end the core with a
//! record and a line that says where, and the NMI that it accepts between two runs of a guest.
use crate::ending;
use crate::sandbox::record::Owner;
use crate::sandbox::{self, violation};
use crate::say;
use core::cell::UnsafeCell;
use core::fmt;
use core::mem::offset_of;
use core::panic::PanicInfo;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use spin::Once;
use tern_abi::directory::{ExitReason, Violation};
use tern_machine::cpu::page_fault_address;
use tern_machine::descriptors::{Gate, InterruptTable, SegmentTable, TaskState, segment_table};
use tern_machine::interrupts::{Frame, STUB_BYTES};
use tern_machine::port;

tern_machine::interrupt_entry!("hypervisor_vectors", "hypervisor_interrupt");

unsafe extern "C" {
    static hypervisor_vectors: u8;
}

static TABLE: Once<InterruptTable> = Once::new();

const NMI: u64 = 2;
const DOUBLE_FAULT: u64 = 8;
const PAGE_FAULT: u64 = 14;
const MACHINE_CHECK: u64 = 18;

const STACK_BYTES: usize = 16 << 10;

/// A core's own segments, task state and interrupt stacks: one each for exceptions,
/// NMI, double faults and machine checks.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct CoreTables {
    stacks: [[u8; STACK_BYTES]; 4],
    segments: SegmentTable,
    task: TaskState,
    /// Whose core it is, once that is known.
    owner: AtomicPtr<Owner>,
}

impl CoreTables {
    /// Tables that are not loaded yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            stacks: [[0; STACK_BYTES]; 4],
            segments: SegmentTable::new(),
            task: TaskState::new(),
            owner: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Loads them on this core, with the interrupt table that all cores share.
    ///
    /// # Safety
    /// To be called once, on the core whose tables these are.
    pub unsafe fn load(&'static mut self) {
        self.segments = SegmentTable::new();
        self.task = TaskState::new();
        for (i, stack) in self.stacks.iter().enumerate() {
            self.task.interrupt_stacks[i] = stack.as_ptr_range().end as u64;
        }
        // SAFETY: the tables live for ever and are this core's; the gates lead to the
        // stubs above.
        unsafe {
            self.segments.load(&raw const self.task);
            TABLE.call_once(interrupt_table).load();
        }
    }
}

struct BootTables(UnsafeCell<CoreTables>);

// SAFETY: the boot core alone touches them, once.
unsafe impl Sync for BootTables {}

static BOOT_TABLES: BootTables = BootTables(UnsafeCell::new(CoreTables::new()));

/// Loads the boot core's tables.
///
/// # Safety
/// To be called once, first of all, on the boot core.
pub unsafe fn load_boot_tables() {
    // SAFETY: as the caller vouches: no other reference exists.
    unsafe { (*BOOT_TABLES.0.get()).load() };
}

impl Default for CoreTables {
    fn default() -> Self {
        Self::new()
    }
}

fn interrupt_table() -> InterruptTable {
    let mut table = InterruptTable::new();
    let stubs = &raw const hypervisor_vectors as u64;
    for (vector, gate) in table.0.iter_mut().enumerate() {
        let stack = match vector as u64 {
            NMI => 2,
            DOUBLE_FAULT => 3,
            MACHINE_CHECK => 4,
            _ => 1,
        };
        *gate = Gate::interrupt(stubs + vector as u64 * STUB_BYTES, stack, 0);
    }
    table
}

/// The tables that are loaded on this core; `None` before any are.
fn own_tables() -> Option<&'static CoreTables> {
    TABLE.get()?;
    let tables = segment_table() - offset_of!(CoreTables, segments) as u64;
    // SAFETY: a core with the interrupt table has the segments of a `CoreTables`, which live for
    // ever; what of them changes is atomic, or the processor's alone.
    Some(unsafe { &*(tables as *const CoreTables) })
}

/// Says whose this core is from now on.
pub fn assign(owner: &'static Owner) {
    if let Some(tables) = own_tables() {
        let owner = ptr::from_ref(owner).cast_mut();
        tables.owner.store(owner, Ordering::Release);
    }
}

fn owner() -> Option<&'static Owner> {
    let owner = own_tables()?.owner.load(Ordering::Acquire);
    // SAFETY: null, or what `assign` was given for good.
    unsafe { owner.as_ref() }
}

/// Non-maskable interrupts that did not end the run: nobody of ours sent them.
static UNCLAIMED_NMIS: AtomicU64 = AtomicU64::new(0);

/// Returns how many non-maskable interrupts came that nobody sent.
#[must_use]
pub fn unclaimed_nmis() -> u64 {
    UNCLAIMED_NMIS.load(Ordering::Relaxed)
}

/// Takes a non-maskable interrupt that came to this core: rests if the run is over
/// ([`crate::shutdown::end`]). If another core asks whose a device is (`sandbox::handover`), lets
/// the guest exit as soon as it is entered; else counts it. Uses no FP register: the guest's may be
/// loaded.
fn take_nmi() {
    if ending::is_ending() {
        ending::rest()
    }
    match owner() {
        Some(Owner {
            share: Some(share),
            vendor,
            ..
        }) if share.is_asked() => vendor.exit_at_once(),
        _ => {
            UNCLAIMED_NMIS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Called by the stubs. All vectors but that of the NMI end this core.
#[unsafe(no_mangle)]
extern "C" fn hypervisor_interrupt(frame: &mut Frame) {
    match frame.vector {
        NMI => take_nmi(),
        _ => report(frame),
    }
}

#[cold]
#[inline(never)]
fn report(frame: &Frame) -> ! {
    let (vector, error, rip) = (frame.vector, frame.error, frame.rip);
    if vector == PAGE_FAULT {
        let address = page_fault_address();
        fail(
            violation(ExitReason::Hypervisor, vector, address, rip),
            format_args!("hypervisor fault: access to {address:#x}, error {error:#x}, at {rip:#x}"),
        )
    }
    fail(
        violation(ExitReason::Hypervisor, vector, error, rip),
        format_args!("hypervisor fault: vector {vector}, error {error:#x}, at {rip:#x}"),
    )
}

/// Ends this core after a panic of the hypervisor's.
pub fn panic(info: &PanicInfo<'_>) -> ! {
    let (file, line) = info
        .location()
        .map_or(("?", 0), |at| (at.file(), at.line()));
    fail(
        violation(ExitReason::Hypervisor, Violation::PANIC, line.into(), 0),
        format_args!("hypervisor panic at {file}:{line}: {}", info.message()),
    )
}

/// Ends this core and the sandbox on it, or before there is one the machine's start.
fn fail(record: Violation, what: fmt::Arguments<'_>) -> ! {
    if let Some(owner) = owner() {
        sandbox::retire(owner, &record, what)
    }
    say!("{what}");
    port::stop_emulator();
    ending::rest()
}
