//! The cores: started one by one, brought to the same state, sent into their guests at
//! the same time, and ended together.
use crate::clock;
use crate::faults::{self, CoreTables};
use crate::memory::frames::{Frames, OutOfMemory};
use crate::memory_types;
use crate::ranges::Range;
use crate::sandbox::Sandbox;
use crate::say;
use crate::vendor::{AnyGuest, Vendor};
use crate::{ending, exits, speculation};
use alloc::boxed::Box;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use spin::Mutex;
use tern_machine::apic::{self, LocalApic, Register, has_x2apic};
use tern_machine::cpu::{enable_machine_checks, timestamp};
use tern_machine::{features, instruction_names, long_mode_names};
use tern_units::{Duration, HostPhysical, PAGE_SIZE, TscFrequency};

core::arch::global_asm!(
    ".pushsection .rodata.trampoline, \"a\", @progbits",
    ".balign 16",
    ".globl trampoline_start, trampoline_end",
    ".globl trampoline_segments_pointer, trampoline_far, trampoline_long",
    ".globl trampoline_root, trampoline_stack, trampoline_argument, trampoline_entry",
    ".globl trampoline_features, trampoline_lacks",
    // A start-up interrupt begins in real mode at CS = page << 8, IP = 0. From there
    // straight to long mode: protection and paging may be turned on together (APM
    // vol. 2 §14.6.1).
    ".code16",
    "trampoline_start:",
    "cli",
    "cld",
    "movw %cs, %ax",
    "movw %ax, %ds",
    // Cores need not be alike: each is asked for what the image is compiled with.
    "movl $1, %eax",
    "cpuid",
    "notl %ecx",
    "notl %edx",
    "andl trampoline_features - trampoline_start, %ecx",
    "andl trampoline_features - trampoline_start + 4, %edx",
    "orl %edx, %ecx",
    "jnz trampoline_refuse",
    "movl $0x80000001, %eax",
    "cpuid",
    "notl %edx",
    "andl trampoline_features - trampoline_start + 8, %edx",
    "jnz trampoline_refuse",
    "lgdtl trampoline_segments_pointer - trampoline_start",
    "movl trampoline_root - trampoline_start, %eax",
    "movl %eax, %cr3",
    "movl $0x620, %eax", // PAE, OSFXSR, OSXMMEXCPT
    "movl %eax, %cr4",
    "movl $0xc0000080, %ecx",
    "movl $0x900, %eax", // EFER, whole: LME, NXE
    "xorl %edx, %edx",
    "wrmsr",
    "movl $0x80010033, %eax", // PG, WP, NE, ET, MP, PE; caches on
    "movl %eax, %cr0",
    "ljmpl *(trampoline_far - trampoline_start)",
    "trampoline_refuse:",
    "movl $1, trampoline_lacks - trampoline_start",
    "2:",
    "hlt",
    "jmp 2b",
    ".code64",
    "trampoline_long:",
    "movl $0x10, %eax",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movl %eax, %ss",
    "xorl %eax, %eax",
    "movl %eax, %fs",
    "movl %eax, %gs",
    "fninit",
    "movq trampoline_stack(%rip), %rsp",
    "movq trampoline_argument(%rip), %rdi",
    "movq trampoline_entry(%rip), %rax",
    "xorl %ebp, %ebp",
    "callq *%rax",
    "ud2",
    ".balign 8",
    "trampoline_segments:",
    ".quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff",
    "trampoline_segments_pointer:",
    ".short 23",
    ".long trampoline_segments - trampoline_start", // the page's address is added
    "trampoline_far:",
    ".long trampoline_long - trampoline_start", // likewise
    ".short 8",
    ".balign 8",
    "trampoline_root: .quad 0",
    "trampoline_stack: .quad 0",
    "trampoline_argument: .quad 0",
    "trampoline_entry: .quad 0",
    "trampoline_features: .long {leaf_1_ecx}, {leaf_1_edx}, {extended_edx}",
    "trampoline_lacks: .long 0",
    "trampoline_end:",
    ".popsection",
    leaf_1_ecx = const features::LEAF_1_ECX,
    leaf_1_edx = const features::LEAF_1_EDX,
    extended_edx = const features::EXTENDED_EDX,
    options(att_syntax)
);

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_end: u8;
    static trampoline_segments_pointer: u8;
    static trampoline_far: u8;
    static trampoline_root: u8;
    static trampoline_stack: u8;
    static trampoline_argument: u8;
    static trampoline_entry: u8;
    static trampoline_lacks: u8;
}

const STACK_BYTES: u64 = 64 << 10;
/// How long a core may take for one step of its start.
const PATIENCE: Duration = Duration::from_millis(5_000);
/// Rounds of the comparison of two timestamp counters.
const SKEW_ROUNDS: u32 = 64;

const WAITING: u32 = 0;
const READY: u32 = 1;
const MEASURING: u32 = 2;
const MEASURED: u32 = 3;
const GO: u32 = 4;
const REFUSING: u32 = 5;

/// A core from its start until it enters its guest.
#[derive(Debug)]
pub struct Core {
    /// Its APIC id.
    pub apic_id: u32,
    vendor: Vendor,
    /// Whether the boot core has an x2APIC.
    x2apic: bool,
    /// How the boot core's firmware gave types to memory.
    memory_types: u64,
    save_area: HostPhysical,
    stack: Range,
    tables_at: Range,
    tables: Mutex<Option<&'static mut CoreTables>>,
    state: AtomicU32,
    timestamp: AtomicU64,
    /// How it differs from the boot core, while it is refusing.
    difference: Mutex<&'static str>,
    /// The page tables for when it runs.
    root: AtomicU64,
    launch: Mutex<Option<(AnyGuest, Sandbox)>>,
}

impl Core {
    /// A core that has not been started, with a stack and tables of its own.
    ///
    /// # Errors
    /// If there is no memory left.
    pub fn new(
        frames: &mut Frames,
        apic_id: u32,
        vendor: Vendor,
    ) -> Result<&'static Self, OutOfMemory> {
        let page = PAGE_SIZE as u64;
        let save_area = frames.page()?;
        // SAFETY: all zeroes is valid: integers, and no owner.
        let tables = unsafe { frames.place::<CoreTables>()? };
        let guard = frames.take(page + STACK_BYTES, page)?.as_u64();
        Ok(Box::leak(Box::new(Self {
            apic_id,
            vendor,
            x2apic: has_x2apic(),
            memory_types: memory_types::ranges(),
            save_area,
            stack: Range::new(guard + page, STACK_BYTES),
            tables_at: Range::new(&raw const *tables as u64, size_of::<CoreTables>() as u64),
            tables: Mutex::new(Some(tables)),
            state: AtomicU32::new(WAITING),
            timestamp: AtomicU64::new(0),
            difference: Mutex::new(""),
            root: AtomicU64::new(0),
            launch: Mutex::new(None),
        })))
    }

    /// The page below this core's stack, that must stay unmapped.
    #[must_use]
    pub fn guard(&self) -> Range {
        let page = PAGE_SIZE as u64;
        Range::new(self.stack.start - page, page)
    }

    /// The memory that this core writes whatever runs on it: its stack and its tables.
    #[must_use]
    pub fn memory(&self) -> [Range; 2] {
        let page = PAGE_SIZE as u64;
        let tables = Range {
            start: self.tables_at.start,
            end: self.tables_at.end.next_multiple_of(page),
        };
        [self.stack, tables]
    }

    /// Gives the core the page tables for when it runs: [`host_tables::of_core`].
    pub fn confine(&self, root: HostPhysical) {
        self.root.store(root.as_u64(), Ordering::Relaxed);
    }

    /// Gives the core what it will run.
    pub fn assign(&self, launch: (AnyGuest, Sandbox)) {
        *self.launch.lock() = Some(launch);
    }

    /// Whether this core has what was found on the boot core: processors may have cores of
    /// several types, and firmware may treat them differently.
    ///
    /// # Errors
    /// What is different, as a line.
    fn compare_with_boot_core(&self) -> Result<(), &'static str> {
        if Vendor::find()? != self.vendor {
            return Err(
                "it has another virtualization than the boot core: use a machine with cores of one kind",
            );
        }
        if has_x2apic() != self.x2apic {
            return Err(
                "only one of it and the boot core has an x2APIC: use a machine with cores of one kind",
            );
        }
        Ok(())
    }

    /// Brings this core into the state in which guests run.
    ///
    /// # Safety
    /// To be called once, on the core itself.
    pub unsafe fn prepare(&self) -> LocalApic {
        if let Some(tables) = self.tables.lock().take() {
            // SAFETY: this core's own tables, loaded once.
            unsafe { tables.load() };
        }
        // SAFETY: the core's tables are loaded. The vendor's extension was found at boot; the
        // page is this core's. The APIC is the hypervisor's until the sandbox starts.
        unsafe {
            enable_machine_checks();
            memory_types::set_page_attributes();
            memory_types::refuse_split_locks();
            self.vendor.enable(self.save_area);
            let local = LocalApic::enable(0);
            local.mask_local_entries();
            local.write(Register::TASK_PRIORITY, 0);
            local.write(Register::SPURIOUS, apic::SOFTWARE_ENABLE | 0xff);
            local
        }
    }

    /// Enters the guest assigned to this core, or halts it if there is none: on its own stack
    /// and under its own page tables, for good.
    ///
    /// # Safety
    /// To be called on the core itself, after [`Core::prepare`] and [`Core::confine`].
    pub unsafe fn run(&'static self) -> ! {
        // SAFETY: the tables map code, this core's tables and its stack where they are; of the
        // stack that is left nothing is used any more.
        unsafe {
            core::arch::asm!(
                "mov cr3, {root}",
                "mov rsp, {stack}",
                "xor ebp, ebp",
                "call {enter}",
                "ud2",
                root = in(reg) self.root.load(Ordering::Relaxed),
                stack = in(reg) self.stack.end,
                enter = sym enter_guest,
                in("rdi") self,
                options(noreturn)
            )
        }
    }

    fn wait_for(&self, state: u32, tsc: TscFrequency) -> Result<(), NotStarted> {
        let start = timestamp();
        let limit = tsc.to_ticks(PATIENCE);
        while timestamp().wrapping_sub(start) < limit {
            match self.state.load(Ordering::Acquire) {
                REFUSING => return Err(NotStarted::Differs(self.apic_id, *self.difference.lock())),
                now if now == state => return Ok(()),
                _ => core::hint::spin_loop(),
            }
        }
        Err(NotStarted::Silent(self.apic_id))
    }

    /// Starts this core from the boot core.
    ///
    /// # Errors
    /// If the core does not answer, as a line.
    ///
    /// # Safety
    /// `trampoline` is a page below 1 MiB that nothing else uses, `root` the tables of
    /// [`crate::memory::host_tables`], below 4 GiB, and no other core is being started.
    pub unsafe fn start(
        &'static self,
        local: LocalApic,
        trampoline: NonNull<u8>,
        root: HostPhysical,
        tsc: TscFrequency,
    ) -> Result<(), NotStarted> {
        let page = trampoline.as_ptr() as u64;
        let millis = |n| tsc.to_ticks(Duration::from_millis(n));
        let lacks;
        // SAFETY: the trampoline's symbols lie inside its code, which fits the page. An
        // INIT and two start-up interrupts bring the core from wherever the firmware
        // left it to the page (Intel SDM vol. 3 §9.4.4).
        unsafe {
            let start = &raw const trampoline_start;
            let length = (&raw const trampoline_end).offset_from_unsigned(start);
            start.copy_to_nonoverlapping(trampoline.as_ptr(), length);
            let slot =
                |symbol: *const u8| trampoline.as_ptr().add(symbol.offset_from_unsigned(start));
            let add = |symbol: *const u8| {
                let field = slot(symbol).cast::<u32>();
                field.write_unaligned(field.read_unaligned() + page as u32);
            };
            add((&raw const trampoline_segments_pointer).add(2));
            add(&raw const trampoline_far);
            let set = |symbol: *const u8, value: u64| slot(symbol).cast::<u64>().write(value);
            set(&raw const trampoline_root, root.as_u64());
            set(&raw const trampoline_stack, self.stack.end);
            set(&raw const trampoline_argument, &raw const *self as u64);
            set(&raw const trampoline_entry, core_start as *const () as u64);
            core::sync::atomic::fence(Ordering::SeqCst);

            local.send(self.apic_id, apic::COMMAND_INIT);
            clock::wait(millis(10));
            for _ in 0..2 {
                local.send(self.apic_id, apic::COMMAND_STARTUP | (page >> 12) as u32);
                clock::wait(millis(1));
                if self.state.load(Ordering::Acquire) == READY {
                    break;
                }
            }
            lacks = slot(&raw const trampoline_lacks).cast::<u32>();
        }
        // SAFETY: the page, which is the trampoline's until this core is ready or has refused.
        if unsafe { lacks.read_volatile() } != 0 {
            return Err(NotStarted::Lacks(self.apic_id));
        }
        self.wait_for(READY, tsc)
    }

    /// How far this core's timestamp counter is from the boot core's, in ticks beyond
    /// what the measurement leaves open; 0 if it was always read in between.
    ///
    /// # Errors
    /// If the core does not answer.
    pub fn skew(&self, tsc: TscFrequency) -> Result<u64, NotStarted> {
        let mut least = u64::MAX;
        for _ in 0..SKEW_ROUNDS {
            let before = timestamp();
            self.state.store(MEASURING, Ordering::Release);
            self.wait_for(MEASURED, tsc)?;
            let there = self.timestamp.load(Ordering::Acquire);
            let after = timestamp();
            let off = before
                .saturating_sub(there)
                .max(there.saturating_sub(after));
            least = least.min(off);
        }
        Ok(least)
    }

    /// Lets this core enter its guest.
    pub fn release(&self) {
        self.state.store(GO, Ordering::Release);
    }
}

/// Why the core with this APIC id cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// It does not answer.
    Silent(u32),
    /// It lacks instructions.
    Lacks(u32),
    /// It is not like the boot core, as the line says.
    Differs(u32, &'static str),
}

impl fmt::Display for NotStarted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(id) => write!(
                out,
                "the core with APIC id {id} does not start: check the firmware"
            ),
            Self::Lacks(id) => write!(
                out,
                "the core with APIC id {id} lacks {}, or {}, with which Tern is compiled: \
                 use a machine with cores of one kind",
                long_mode_names!(),
                instruction_names!()
            ),
            Self::Differs(id, line) => write!(out, "the core with APIC id {id}: {line}"),
        }
    }
}

/// Where [`Core::run`] goes on.
extern "sysv64" fn enter_guest(core: &'static Core) -> ! {
    let launch = core.launch.lock().take();
    match launch {
        Some((guest, sandbox)) => {
            faults::assign(sandbox.owner);
            speculation::flush_before_first_entry();
            // SAFETY: this is the guest's core, prepared.
            unsafe { exits::launch(guest, sandbox) }
        }
        None => ending::rest(),
    }
}

/// The first Rust code of every core but the boot core.
extern "C" fn core_start(core: &'static Core) -> ! {
    if let Err(line) = core.compare_with_boot_core() {
        *core.difference.lock() = line;
        core.state.store(REFUSING, Ordering::Release);
        ending::rest()
    }
    // SAFETY: this is the core, and it comes here once.
    let local = unsafe { core.prepare() };
    if local.id() != core.apic_id {
        say!(
            "core {} calls itself {}: its firmware is inconsistent",
            core.apic_id,
            local.id()
        );
        ending::rest()
    }
    if memory_types::ranges() != core.memory_types {
        say!(
            "core {}: its memory types (MTRRs) are not those of the boot core: update the firmware",
            core.apic_id
        );
    }
    core.state.store(READY, Ordering::Release);
    // The boot core ends this wait, or halts the machine with a line that says why.
    loop {
        match core.state.load(Ordering::Acquire) {
            MEASURING => {
                core.timestamp.store(timestamp(), Ordering::Release);
                core.state.store(MEASURED, Ordering::Release);
            }
            GO => break,
            _ if ending::is_ending() => ending::rest(),
            _ => core::hint::spin_loop(),
        }
    }
    // SAFETY: prepared above, and confined before it was released.
    unsafe { core.run() }
}
