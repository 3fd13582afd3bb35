//! Segment and interrupt descriptor tables and the task state segment of one core,
//! with an interrupt stack for every vector.
//!
//! Sources: Intel SDM vol. 3 §§3.4.5, 6.14, 8.7; AMD APM vol. 2 §§4.8, 8.9, 12.2.5.
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
    #[must_use]
    pub const fn interrupt(handler: u64, stack: u8, ring: u8) -> Self {
        assert!(stack <= 7 && ring <= 3);
        const PRESENT: u64 = 1 << 47;
        const INTERRUPT_GATE: u64 = 0xe << 40;
        Self {
            low: handler & 0xffff
                | (KERNEL_CODE as u64) << 16
                | (stack as u64) << 32
                | INTERRUPT_GATE
                | (ring as u64) << 45
                | PRESENT
                | (handler >> 16 & 0xffff) << 48,
            high: handler >> 32,
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
        const AVAILABLE_TASK: u64 = 0x89 << 40;
        let base = task as u64;
        self.0[5] = (size_of::<TaskState>() as u64 - 1)
            | (base & 0xff_ffff) << 16
            | AVAILABLE_TASK
            | (base >> 24 & 0xff) << 56;
        self.0[6] = base >> 32;
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

impl Default for SegmentTable {
    fn default() -> Self {
        Self::new()
    }
}
