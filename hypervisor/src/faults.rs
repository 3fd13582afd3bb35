//! What happens to the hypervisor itself: its exceptions, which end the core with a
//! line that says where, and the NMI that it accepts between two runs of a guest.
use crate::ending;
use crate::say;
use core::cell::UnsafeCell;
use spin::Once;
use tern_machine::cpu::{halt_forever, page_fault_address};
use tern_machine::descriptors::{Gate, InterruptTable, SegmentTable, TaskState};
use tern_machine::interrupts::{Frame, STUB_BYTES};

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
}

impl CoreTables {
    /// Tables that are not loaded yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            stacks: [[0; STACK_BYTES]; 4],
            segments: SegmentTable::new(),
            task: TaskState::new(),
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

/// Called by the stubs. An NMI ends this core if the run is over ([`crate::shutdown::end`]), or else
/// returns, and uses no FP register; all others end this core.
#[unsafe(no_mangle)]
extern "C" fn hypervisor_interrupt(frame: &mut Frame) {
    if frame.vector != NMI {
        report(frame)
    }
    if ending::is_ending() {
        halt_forever()
    }
}

#[cold]
#[inline(never)]
fn report(frame: &Frame) -> ! {
    if frame.vector == PAGE_FAULT {
        say!(
            "hypervisor fault: access to {:#x}, error {:#x}, at {:#x}",
            page_fault_address(),
            frame.error,
            frame.rip
        );
    } else {
        say!(
            "hypervisor fault: vector {}, error {:#x}, at {:#x}",
            frame.vector,
            frame.error,
            frame.rip
        );
    }
    halt_forever()
}
