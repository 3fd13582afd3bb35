//! Segment and interrupt descriptor tables and the task state segment of one core,
//! with an interrupt stack for every vector.
//!
//! Sources: Intel SDM vol. 3 §§3.4.5, 6.14, 8.7; AMD APM vol. 2 §§4.8, 8.9, 12.2.5.
use bit_field::BitField;
use core::arch::asm;
use core::mem::size_of;

/// Selector of ring 0 code.
pub const KERNEL_CODE: u16 = 0x08;
/// Selector of ring 0 data.
pub const KERNEL_DATA: u16 = 0x10;
/// Selector of ring 3 data, requested privilege level included. It stands before the
/// code, as SYSRET demands.
pub const USER_DATA: u16 = 0x18 | 3;
/// Selector of ring 3 code, requested privilege level included.
pub const USER_CODE: u16 = 0x20 | 3;
/// Selector of the task state segment.
pub const TASK: u16 = 0x28;

/// The 64-bit task state segment: only its stack pointers are used.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
pub struct TaskState {
    reserved0: u32,
    /// Stack pointers for rings 0 to 2.
    pub stacks: [u64; 3],
    reserved1: u64,
    /// Interrupt stacks: number `n` of a gate is entry `n - 1`.
    pub interrupt_stacks: [u64; 7],
    reserved2: u64,
    reserved3: u16,
    io_map: u16,
}

const _: () = assert!(size_of::<TaskState>() == 104);

impl TaskState {
    /// No stacks, no I/O permission bitmap.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            reserved0: 0,
            stacks: [0; 3],
            reserved1: 0,
            interrupt_stacks: [0; 7],
            reserved2: 0,
            reserved3: 0,
            io_map: size_of::<Self>() as u16,
        }
    }
}

impl Default for TaskState {
    fn default() -> Self {
        Self::new()
    }
}

/// A gate of the interrupt descriptor table.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Gate {
    low: u64,
    high: u64,
}

const _: () = assert!(size_of::<Gate>() == 16);

impl Gate {
    /// An interrupt gate (interrupts off at entry) to `handler` on interrupt stack
    /// `stack` (1 to 7; 0 stays on the interrupted stack, which red zones forbid), reachable by software from ring `ring` and below.
    ///
    /// # Panics
    /// If there is no such stack or ring.
    #[must_use]
    pub fn interrupt(handler: u64, stack: u8, ring: u8) -> Self {
        const INTERRUPT_GATE: u64 = 0xe;
        let mut low = 0;
        low.set_bits(0..16, handler.get_bits(0..16));
        low.set_bits(16..32, KERNEL_CODE.into());
        low.set_bits(32..35, stack.into());
        low.set_bits(40..44, INTERRUPT_GATE);
        low.set_bits(45..47, ring.into());
        low.set_bit(47, true); // present
        low.set_bits(48..64, handler.get_bits(16..32));
        Self {
            low,
            high: handler.get_bits(32..64),
        }
    }
}

/// All gates.
#[derive(Clone, Debug)]
#[repr(C, align(16))]
pub struct InterruptTable(pub [Gate; 256]);

impl InterruptTable {
    /// No gate present.
    #[must_use]
    pub const fn new() -> Self {
        Self([Gate { low: 0, high: 0 }; 256])
    }

    /// Loads it on this core.
    ///
    /// # Safety
    /// The table must live and stay valid as long as it is loaded, and its gates must
    /// lead to interrupt entries.
    pub unsafe fn load(&self) {
        let pointer = TablePointer {
            limit: size_of::<Self>() as u16 - 1,
            base: &raw const *self as u64,
        };
        // SAFETY: the pointer describes this table.
        unsafe {
            asm!("lidt [{}]", in(reg) &raw const pointer, options(readonly, nostack, preserves_flags))
        };
    }
}

impl Default for InterruptTable {
    fn default() -> Self {
        Self::new()
    }
}

/// The segments of one core: null, kernel code and data, user data and code, task.
#[derive(Clone, Debug)]
#[repr(C, align(16))]
pub struct SegmentTable([u64; 7]);

#[repr(C, packed(2))]
struct TablePointer {
    limit: u16,
    base: u64,
}

const _: () = assert!(size_of::<TablePointer>() == 10);

impl SegmentTable {
    /// Flat 64-bit segments; the task segment comes with [`SegmentTable::load`].
    #[must_use]
    pub const fn new() -> Self {
        Self([
            0,
            0x00af_9b00_0000_ffff,
            0x00cf_9300_0000_ffff,
            0x00cf_f300_0000_ffff,
            0x00af_fb00_0000_ffff,
            0,
            0,
        ])
    }

    /// Loads it on this core with `task`, and all segment registers. FS and GS become
    /// null, their bases zero.
    ///
    /// # Safety
    /// Both must live as long as they are loaded, and `task`'s stacks must be valid.
    pub unsafe fn load(&mut self, task: *const TaskState) {
        [self.0[5], self.0[6]] = task_descriptor(task as u64);
        let pointer = TablePointer {
            limit: size_of::<Self>() as u16 - 1,
            base: &raw const *self as u64,
        };
        // SAFETY: the table holds the segments that the registers are loaded with.
        unsafe {
            asm!(
                "lgdt [{pointer}]",
                "push {code}",
                "lea {scratch}, [rip + 2f]",
                "push {scratch}",
                "retfq",
                "2:",
                "mov ds, {data:e}",
                "mov es, {data:e}",
                "mov ss, {data:e}",
                "mov fs, {null:e}",
                "mov gs, {null:e}",
                "ltr {task:x}",
                pointer = in(reg) &raw const pointer,
                code = const KERNEL_CODE,
                scratch = out(reg) _,
                data = in(reg) u64::from(KERNEL_DATA),
                null = in(reg) 0_u64,
                task = in(reg) TASK,
            );
        }
    }
}

/// The two words of an available task state segment at `base` (Intel SDM vol. 3 figure 8-4).
fn task_descriptor(base: u64) -> [u64; 2] {
    const AVAILABLE_TASK: u64 = 9;
    let mut low = size_of::<TaskState>() as u64 - 1;
    low.set_bits(16..40, base.get_bits(0..24));
    low.set_bits(40..44, AVAILABLE_TASK);
    low.set_bit(47, true); // present
    low.set_bits(56..64, base.get_bits(24..32));
    [low, base.get_bits(32..64)]
}

/// Returns where the task state segment is that these two words of a segment table describe.
#[must_use]
pub fn task_base([low, high]: [u64; 2]) -> u64 {
    let mut base = low.get_bits(16..40);
    base.set_bits(24..32, low.get_bits(56..64));
    base.set_bits(32..64, high.get_bits(0..32));
    base
}

/// Returns where this core's segment table is.
#[must_use]
pub fn segment_table() -> u64 {
    let mut pointer = TablePointer { limit: 0, base: 0 };
    // SAFETY: SGDT writes ten bytes, and every ring 0 may execute it.
    unsafe {
        asm!("sgdt [{}]", in(reg) &raw mut pointer, options(nostack, preserves_flags));
    }
    pointer.base
}

/// Returns where this core's interrupt table is.
#[must_use]
pub fn interrupt_table() -> u64 {
    let mut pointer = TablePointer { limit: 0, base: 0 };
    // SAFETY: as in `segment_table`, by SIDT.
    unsafe {
        asm!("sidt [{}]", in(reg) &raw mut pointer, options(nostack, preserves_flags));
    }
    pointer.base
}

impl Default for SegmentTable {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_those_of_the_manual() {
        // Intel SDM vol. 3 figure 6-8: an interrupt gate of ring 3 on stack 2.
        let gate = Gate::interrupt(0x1234_5678_9abc_def0, 2, 3);
        assert_eq!(gate.low, 0x9abc_ee02_0008_def0);
        assert_eq!(gate.high, 0x1234_5678);
        // Figure 8-4: 104 bytes, present, available.
        let base = 0x1234_5678_9abc_def0;
        let words = task_descriptor(base);
        assert_eq!(words, [0x9a00_89bc_def0_0067, 0x1234_5678]);
        assert_eq!(task_base(words), base);
    }
}
