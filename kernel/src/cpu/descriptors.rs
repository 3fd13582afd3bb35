//! The sandbox's descriptor tables and control registers.
//!
//! Sources: Intel SDM vol. 3 §§2.5, 5.8.8, 6.14; AMD APM vol. 2 §§3.1, 6.1.
use super::context::{CURRENT, Context, EntryBlock};
use crate::memory::paging::Stack;
use crate::sync::boot_cell::BootOnce;
use core::mem::size_of;
use core::sync::atomic::Ordering;
use tern_abi::layout::{DOORBELL_VECTOR, TIMER_VECTOR};
use tern_machine::cpu::{cpuid, cpuid_if_present, write_msr};
use tern_machine::descriptors::{
    Gate, InterruptTable, KERNEL_CODE, KERNEL_DATA, SegmentTable, TaskState,
};
use x86_64::registers::control::{Cr4, Cr4Flags};

/// Interrupt stacks of the task segment: the running thread's context, and stacks of
/// their own for what may arrive at any instruction.
const STACK_CONTEXT: u8 = 1;
const STACK_DOUBLE_FAULT: u8 = 2;
const STACK_NON_MASKABLE: u8 = 3;
const STACK_MACHINE_CHECK: u8 = 4;

/// The vector by which a thread gives up the core: reachable from ring 0 alone, and in the
/// lowest class, which would hold nothing else off.
pub const YIELD_VECTOR: u8 = DOORBELL_VECTOR + 1;

const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_FMASK: u32 = 0xc000_0084;

static mut TASK: TaskState = TaskState::new();
static mut SEGMENTS: SegmentTable = SegmentTable::new();
static mut INTERRUPTS: InterruptTable = InterruptTable::new();

/// End of the stack that handlers run on.
#[unsafe(no_mangle)]
static mut INTERRUPT_STACK: u64 = 0;

/// Bytes between the stubs of two vectors.
const STUB_BYTES: u64 = 16;

/// Addresses of the code that the processor enters.
#[derive(Clone, Copy, Debug)]
pub struct Entries {
    /// The first of 256 stubs, [`STUB_BYTES`] apart.
    pub first_stub: u64,
    /// The timer's entry at any time.
    pub counted_timer: u64,
    /// The timer's entry where it takes a deadline, since the time epoch.
    pub deadline_timer: u64,
    /// Where SYSCALL arrives.
    pub system_call: u64,
}

static ENTRIES: BootOnce<Entries> = BootOnce::new();

/// The stacks that handlers run on.
#[derive(Clone, Copy, Debug)]
pub struct HandlerStacks {
    /// Ordinary interrupts and exceptions.
    pub interrupt: Stack,
    /// Double faults.
    pub double_fault: Stack,
    /// Non-maskable interrupts.
    pub non_maskable: Stack,
    /// Machine checks.
    pub machine_check: Stack,
}

/// Loads the tables, and prepares SYSCALL.
///
/// # Safety
/// Only during boot, once, with interrupts off; `entries` lead to handlers. The first
/// interrupt may come only after [`set_context`].
pub unsafe fn initialize(stacks: &HandlerStacks, entries: Entries) {
    // SAFETY: boot runs alone, so the statics are not otherwise borrowed; they live for
    // good; the entries lead to handlers.
    unsafe {
        ENTRIES.set(entries);
        INTERRUPT_STACK = stacks.interrupt.top();
        let task = &raw mut TASK;
        (*task).interrupt_stacks[usize::from(STACK_DOUBLE_FAULT) - 1] = stacks.double_fault.top();
        (*task).interrupt_stacks[usize::from(STACK_NON_MASKABLE) - 1] = stacks.non_maskable.top();
        (*task).interrupt_stacks[usize::from(STACK_MACHINE_CHECK) - 1] = stacks.machine_check.top();
        let (segments, interrupts) = (&raw mut SEGMENTS, &raw mut INTERRUPTS);
        for (vector, gate) in (0..).zip((*interrupts).0.iter_mut()) {
            let stack = match vector {
                2 => STACK_NON_MASKABLE,
                8 => STACK_DOUBLE_FAULT,
                18 => STACK_MACHINE_CHECK,
                _ => STACK_CONTEXT,
            };
            let stub = entries.first_stub + vector * STUB_BYTES;
            *gate = Gate::interrupt(stub, stack, 0);
        }
        use_timer_handler(false);
        (*segments).load(task);
        (*interrupts).load();

        // STAR: kernel code and data for SYSCALL; programs are entered by IRET.
        const _: () = assert!(KERNEL_DATA == KERNEL_CODE + 8);
        write_msr(MSR_STAR, u64::from(KERNEL_CODE) << 32);
        write_msr(MSR_LSTAR, entries.system_call);
        // All flags that a program controls: trap, interrupts, direction, nested task,
        // alignment check.
        write_msr(MSR_FMASK, 0x4_4700);
    }
}

/// Directs the timer's interrupts to the handler for deadlines, which are since the time
/// epoch, or to the one for any timer at any time.
///
/// # Safety
/// Interrupts are off, and the first handler is used only where it fits.
pub unsafe fn use_timer_handler(deadlines: bool) {
    let entry = match deadlines {
        true => ENTRIES.get().deadline_timer,
        false => ENTRIES.get().counted_timer,
    };
    // SAFETY: interrupts are off, and the table is not borrowed.
    unsafe {
        let interrupts = &raw mut INTERRUPTS;
        (*interrupts).0[usize::from(TIMER_VECTOR)] = Gate::interrupt(entry, STACK_CONTEXT, 0);
    }
}

/// Directs interrupts to the context of the thread about to run.
///
/// # Safety
/// Interrupts are off, and `block` stays the running thread's until the next call.
#[inline]
pub unsafe fn set_context(block: *mut EntryBlock) {
    // SAFETY: the task segment is only written here, with interrupts off.
    unsafe {
        CURRENT.store(block, Ordering::Relaxed);
        let end = (&raw mut (*block).context)
            .cast::<u8>()
            .add(size_of::<Context>());
        let task = &raw mut TASK;
        (*task).interrupt_stacks[usize::from(STACK_CONTEXT) - 1] = end as u64;
    }
}

/// Turns on what the processor has against programs that reach too far: no timestamp
/// counter in ring 3, no execution (SMEP) or access (SMAP) of their pages by the
/// kernel, no reading of descriptor tables (UMIP).
pub fn enable_protections() {
    const SMEP: u32 = 1 << 7;
    const SMAP: u32 = 1 << 20;
    const UMIP: u32 = 1 << 2;
    let mut flags = Cr4::read() | Cr4Flags::TIMESTAMP_DISABLE;
    flags.remove(Cr4Flags::PERFORMANCE_MONITOR_COUNTER | Cr4Flags::FSGSBASE);
    if cpuid(0, 0).eax >= 7 {
        let features = cpuid_if_present(7);
        for (present, flag) in [
            (
                features.ebx & SMEP != 0,
                Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION,
            ),
            (
                features.ebx & SMAP != 0,
                Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION,
            ),
            (
                features.ecx & UMIP != 0,
                Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION,
            ),
        ] {
            flags.set(flag, present);
        }
    }
    // SAFETY: the kernel neither executes nor touches programs' pages through their own
    // addresses; the other bits concern ring 3 alone.
    unsafe { Cr4::write(flags) };
}

/// Lets ring 3 read the timestamp counter after all: for sandboxes that measure, and
/// hold no replica.
pub fn allow_timestamps() {
    // SAFETY: the bit concerns ring 3 alone.
    unsafe { Cr4::write(Cr4::read() - Cr4Flags::TIMESTAMP_DISABLE) };
}
