//! The full state of interrupted code, and the way into and out of ring 3.
use core::arch::{asm, global_asm};
use core::mem::{offset_of, size_of};
use core::sync::atomic::AtomicPtr;
use tern_machine::descriptors::{KERNEL_CODE, KERNEL_DATA, USER_CODE, USER_DATA};
use tern_machine::fpu::FpState;
use tern_machine::interrupts::Frame;
use tern_machine::pop_registers;

/// Everything that a program or a kernel thread has in the processor.
///
/// An interrupt's stubs push the frame straight into the running thread's context,
/// because the task segment's interrupt stack points to its end.
#[derive(Clone, Debug)]
#[repr(C, align(16))]
pub struct Context {
    /// x87 and SSE registers.
    pub float: FpState,
    /// General registers, instruction pointer, flags.
    pub frame: Frame,
}

const _: () = assert!(size_of::<Context>() == 688 && size_of::<Context>().is_multiple_of(16));
const _: () = assert!(offset_of!(Context, frame) == 512);

/// Flags that a program may have: carry, parity, adjust, zero, sign, direction, overflow,
/// and the processor-identification bit. Not the trap flag.
const USER_FLAGS: u64 = 0x1 | 0x4 | 0x10 | 0x40 | 0x80 | 0x400 | 0x800 | 0x20_0000;
const FLAG_ALWAYS_ONE: u64 = 1 << 1;
const FLAG_INTERRUPTS: u64 = 1 << 9;
/// What an entry that returns to a program by itself leaves of its flags: no trap flag.
pub const RETURN_FLAGS: u64 = USER_FLAGS | FLAG_ALWAYS_ONE | FLAG_INTERRUPTS;
/// Bits of MXCSR that a program may set; others make FXRSTOR fault.
const MXCSR_MASK: u32 = 0xffff;
/// First address past the lower canonical half.
const USER_END: u64 = 1 << 47;

impl Context {
    /// Position of MXCSR in FXSAVE's words of 32 bits.
    const MXCSR: usize = 6;
    /// Positions in the frame's registers.
    const RSI: usize = 10;
    const RDI: usize = 9;
    const RAX: usize = 14;

    /// A kernel thread about to call `entry(argument)` on the stack that ends at `top`,
    /// interrupts on.
    #[must_use]
    pub fn kernel(entry: u64, argument: u64, top: u64) -> Self {
        let mut context = Self::zero();
        context.frame.rip = entry;
        context.frame.cs = u64::from(KERNEL_CODE);
        context.frame.ss = u64::from(KERNEL_DATA);
        context.frame.rflags = FLAG_ALWAYS_ONE | FLAG_INTERRUPTS;
        // As after a call: the entry finds RSP 8 below a multiple of 16.
        context.frame.rsp = top - 8;
        context.frame.registers[Self::RDI] = argument;
        context
    }

    /// A program at its entry point: see `tern_abi::system_call`.
    #[must_use]
    pub fn user(entry: u64, stack_top: u64, argument: u64) -> Self {
        let mut context = Self::zero();
        context.frame.rip = entry;
        context.frame.rsp = stack_top - 8;
        context.frame.registers[Self::RDI] = argument;
        context.frame.rflags = FLAG_ALWAYS_ONE | FLAG_INTERRUPTS;
        context.frame.cs = u64::from(USER_CODE);
        context.frame.ss = u64::from(USER_DATA);
        context
    }

    fn zero() -> Self {
        Self {
            float: FpState::INITIAL,
            frame: Frame::default(),
        }
    }

    /// Whether it was interrupted in ring 3.
    #[must_use]
    #[inline]
    pub fn is_user(&self) -> bool {
        self.frame.cs & 3 == 3
    }

    /// RAX: a system call's number or its result.
    #[must_use]
    #[inline]
    pub fn result(&self) -> u64 {
        self.frame.registers[Self::RAX]
    }

    /// Sets RAX.
    #[inline]
    pub fn set_result(&mut self, value: u64) {
        self.frame.registers[Self::RAX] = value;
    }

    /// RDI and RSI: a system call's arguments.
    #[must_use]
    #[inline]
    pub fn arguments(&self) -> (u64, u64) {
        (
            self.frame.registers[Self::RDI],
            self.frame.registers[Self::RSI],
        )
    }

    /// Makes a stored program context safe to enter, whatever a fault did to it:
    /// segments and flags become a program's, reserved bits of MXCSR are cleared.
    /// False if the instruction pointer cannot be a program's.
    #[must_use]
    #[inline]
    pub fn sanitize_user(&mut self) -> bool {
        self.frame.cs = u64::from(USER_CODE);
        self.frame.ss = u64::from(USER_DATA);
        self.frame.rflags = self.frame.rflags & USER_FLAGS | FLAG_ALWAYS_ONE | FLAG_INTERRUPTS;
        let control = self.float_word(Self::MXCSR);
        *control &= MXCSR_MASK;
        self.frame.rip < USER_END
    }

    /// Clears what FXSAVE says about the last x87 instruction: processors differ in
    /// what they keep of it, and no program's result depends on it.
    #[inline]
    pub fn forget_last_float_instruction(&mut self) {
        // FXSAVE64: FOP at byte 6 (with FTW at 4), FIP at 8, FDP at 16.
        *self.float_word(1) &= 0xffff;
        for word in 2..6 {
            *self.float_word(word) = 0;
        }
    }

    #[inline]
    fn float_word(&mut self, word: usize) -> &mut u32 {
        let words: *mut [u32; 128] = (&raw mut self.float).cast();
        // SAFETY: FpState is 512 plain bytes, 16-byte aligned, borrowed exclusively.
        unsafe { &mut (*words)[word] }
    }

    /// Turns this context of an interrupted program into one that returns from
    /// [`enter_user`] with `how`, in the kernel on the stack at `kernel_rsp`.
    pub fn divert(&mut self, how: Left, kernel_rsp: u64) {
        self.frame.rip = &raw const leave_user as u64;
        self.frame.cs = u64::from(KERNEL_CODE);
        self.frame.ss = u64::from(KERNEL_DATA);
        self.frame.rflags = FLAG_ALWAYS_ONE;
        self.frame.rsp = kernel_rsp;
        self.frame.registers[Self::RAX] = how as u64;
    }
}

/// How a program was left, other than by a system call, which is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Left {
    /// By an exception.
    Exception = 1,
    /// Because its time was up.
    Cancelled = 2,
}

/// Assembly that goes on with the state in the context that a register points to.
macro_rules! resume_from {
    ($context:literal) => {
        concat!(
            "fxrstor64 [",
            $context,
            "]\n",
            "lea rsp, [",
            $context,
            " + {frame}]\n",
            pop_registers!(),
            "\nadd rsp, 16
            iretq"
        )
    };
}

unsafe extern "C" {
    static leave_user: u8;

    /// Enters ring 3 with the state in `context`, saving the kernel's stack pointer at
    /// `kernel_rsp`; returns a [`Left`] as a number or 0, interrupts off.
    ///
    /// # Safety
    /// Interrupts are off; `context` is a program's, sanitized; its address space is
    /// loaded; the running thread's control block refers to both arguments.
    pub fn enter_user(context: *const Context, kernel_rsp: *mut u64) -> u64;
}

/// Goes on with the state in `context`.
///
/// # Safety
/// Interrupts are off, and `context` is the running thread's.
#[inline(always)]
pub unsafe fn resume(context: *const Context) -> ! {
    // SAFETY: the caller vouches for the context, which is all that this needs.
    unsafe {
        asm!(
            resume_from!("{context}"),
            context = in(reg) context,
            frame = const offset_of!(Context, frame),
            options(noreturn)
        );
    }
}

/// The part of a thread's control block that assembly reads.
#[derive(Debug)]
#[repr(C)]
pub struct EntryBlock {
    /// The thread's state while it does not run.
    pub context: Context,
    /// Address just past the program's stored context.
    pub user_context_end: u64,
    /// The kernel's stack pointer while the program runs.
    pub kernel_rsp: u64,
}

/// The running thread's [`EntryBlock`].
#[unsafe(no_mangle)]
pub static CURRENT: AtomicPtr<EntryBlock> = AtomicPtr::new(core::ptr::null_mut());

/// Assembly that pushes what a function keeps for its caller, as `leave_user` pops it.
#[macro_export]
macro_rules! push_preserved {
    () => {
        "push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15"
    };
}

// `leave_user` returns from `enter_user`, or from whatever else has pushed the same.
global_asm!(
    r#"
    .pushsection .text.context, "ax", @progbits
    .p2align 4
    .globl enter_user
    .type enter_user, @function
enter_user:
"#,
    push_preserved!(),
    r#"
    mov [rsi], rsp
    mov rax, rdi
    jmp resume
    .size enter_user, . - enter_user

    .p2align 4
    .globl resume
    .type resume, @function
resume:                                  // RAX = the context to restore
"#,
    resume_from!("rax"),
    r#"
    .size resume, . - resume

    .p2align 4
    .globl leave_user
    .type leave_user, @function
leave_user:                              // RAX = how
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret
    .size leave_user, . - leave_user
    .popsection
    "#,
    frame = const offset_of!(Context, frame),
);
