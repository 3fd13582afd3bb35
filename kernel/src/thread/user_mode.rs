//! A thread's stay in ring 3 with its program: how it begins, and how it ended.
use super::control::{Control, running};
use super::dispatch::{dispatch, scheduling};
use crate::cpu::apic;
use crate::cpu::context::{Context, enter_user};
use crate::fault::ProgramFault;
use crate::push_preserved;
use crate::sync::interrupts_off::without_interrupts;
use crate::{clock, trace};
use core::arch::global_asm;
use tern_sched::ThreadId;
use tern_trace::{Event, SleepEnd};
use tern_units::{GuestPhysical, Instant};

unsafe extern "C" {
    /// Gives up the core; when the running thread gets it back, it goes on with the
    /// context in its control block. Saves the kernel's stack pointer at `kernel_rsp`, and
    /// returns when the program leaves ring 3, as [`enter_user`] does.
    ///
    /// # Safety
    /// Interrupts are off; that context is the program's, sanitized; the running
    /// thread's control block refers to `kernel_rsp`.
    fn dispatch_then_user(kernel_rsp: *mut u64) -> u64;
}

global_asm!(
    r#"
    .pushsection .text.context, "ax", @progbits
    .p2align 4
    .globl dispatch_then_user
    .type dispatch_then_user, @function
dispatch_then_user:
"#,
    push_preserved!(),
    r#"
    mov [rdi], rsp
    mov rsp, [rip + INTERRUPT_STACK]     // the handlers', which no thread uses
    call {dispatch}
    jmp resume
    .size dispatch_then_user, . - dispatch_then_user
    .popsection
    "#,
    dispatch = sym dispatch,
);

/// How a stay in ring 3 ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserExit {
    /// The program made a system call.
    SystemCall,
    /// It raised an exception.
    Fault(ProgramFault),
    /// The time that it had been given is over.
    Cancelled,
}

/// Enters ring 3 with the program of the running thread, until it makes a system call,
/// raises an exception, or `deadline` passes.
///
/// # Safety
/// `context` is the program's stored one, sanitized; the program's memory is not
/// borrowed.
///
/// # Panics
/// If the page tables at `root` are not those of the running thread.
pub(crate) unsafe fn run_program(
    root: GuestPhysical,
    context: *const Context,
    deadline: Instant,
) -> UserExit {
    stay(root, |current| {
        // SAFETY: interrupts are off and blocks live for good.
        unsafe {
            (*current).cancel_at = deadline;
            if deadline < apic::armed() {
                apic::arm(deadline);
            }
            // FP registers hold nothing of Rust's across the call.
            enter_user(context, &raw mut (*current).entry.kernel_rsp)
        }
    })
}

/// The same from `release` on, at which job number `job` of the running thread is
/// released. Until then the thread sleeps as one that was interrupted in ring 3: when it
/// is to run, its program does.
///
/// # Safety
/// As for [`run_program`].
///
/// # Panics
/// As [`run_program`] does.
pub(crate) unsafe fn run_program_from(
    root: GuestPhysical,
    context: *const Context,
    release: Instant,
    job: u32,
) -> UserExit {
    stay(root, |current| {
        // SAFETY: interrupts are off and blocks live for good; `context` is another.
        let (thread, kernel_rsp) = unsafe {
            let block = &mut *current;
            (block.number, &raw mut block.entry.kernel_rsp)
        };
        if release <= clock::now() {
            trace::record_masked(Event::Release { thread, job });
            // SAFETY: the caller vouches for the context.
            return unsafe { enter_user(context, kernel_rsp) };
        }
        trace::record_masked(Event::Block {
            thread,
            until: Some(SleepEnd::of(release)),
        });
        // SAFETY: interrupts are off; the caller vouches for the context.
        unsafe {
            (*current).releases = Some(job);
            (*current).entry.context = (*context).clone();
            scheduling(|scheduler, recorder| {
                scheduler.sleep_until(ThreadId::new(thread), release, recorder);
            });
            dispatch_then_user(kernel_rsp)
        }
    })
}

/// A stay in ring 3 that begins with `enter`, which returns what [`enter_user`] does.
fn stay(root: GuestPhysical, enter: impl FnOnce(*mut Control) -> u64) -> UserExit {
    without_interrupts(|| {
        let current = running();
        // SAFETY: interrupts are off and blocks live for good. In ring 3 interrupts are
        // on, so handlers use the block meanwhile: no reference to it is held across.
        unsafe {
            assert!(
                (*current).root == root.as_u64(),
                "a program is run by a thread that is not its own"
            );
            let left = enter(current);
            (*current).cancel_at = Instant::NEVER;
            if left == 0 {
                return UserExit::SystemCall;
            }
            match (*current).fault.take() {
                Some(fault) => UserExit::Fault(fault),
                None => UserExit::Cancelled,
            }
        }
    })
}
