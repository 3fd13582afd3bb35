//! What runs now: the scheduler's decision, carried out and recorded.
use super::control::{Control, THREADS, running};
use crate::cpu::apic::{self, TimerAccess};
use crate::cpu::context::{Context, Left};
use crate::cpu::descriptors::{YIELD_VECTOR, set_context, use_timer_handler};
use crate::cpu::task_priority;
use crate::fault::ProgramFault;
use crate::sync::interrupt_cell::InterruptCell;
use crate::{clock, trace};
use core::arch::asm;
use core::ptr::NonNull;
use tern_config::layout::{MAX_SERVERS, MAX_THREADS};
use tern_machine::cpu::timestamp;
use tern_sched::{Observer, Posted, Scheduler, ServerId, ThreadId};
use tern_trace::Event;
use tern_units::{Duration, Instant};

type CoreScheduler = Scheduler<MAX_SERVERS, MAX_THREADS>;

pub(super) static SCHEDULER: InterruptCell<CoreScheduler> = InterruptCell::new(Scheduler::new());

/// Whether the time epoch has passed.
static BEGUN: InterruptCell<bool> = InterruptCell::new(false);
/// Guest-physical address of the loaded page tables.
static LOADED_ROOT: InterruptCell<u64> = InterruptCell::new(0);

/// Records the scheduler's decisions and carries them out: releases jobs of threads that
/// wake, and makes the thread that is to run the running one. All that one decision brings
/// about happens at one counter value.
#[derive(Clone, Copy)]
pub(super) struct Recorder {
    tsc: u64,
}

/// Runs `section` on the scheduler and a recorder of what that does. Only from threads.
pub(super) fn scheduling<R>(section: impl FnOnce(&mut CoreScheduler, &mut Recorder) -> R) -> R {
    SCHEDULER.with(|scheduler| {
        let tsc = timestamp();
        section(scheduler, &mut Recorder { tsc })
    })
}

impl Recorder {
    #[inline(always)]
    fn record(self, event: Event) {
        // SAFETY: interrupts are off while the scheduler is used, and threads run after
        // boot has made the ring.
        unsafe { trace::record_at(self.tsc, event) };
    }

    #[inline(always)]
    fn control(self, thread: ThreadId) -> NonNull<Control> {
        // SAFETY: a thread runs, so there are threads.
        unsafe { THREADS.get_unchecked() }.control(thread)
    }
}

impl Observer for Recorder {
    #[inline(always)]
    fn switched(&mut self, thread: Option<ThreadId>) {
        self.record(Event::Switch {
            thread: thread.map(|thread| thread.index() as u16),
        });
        let next = match thread {
            Some(thread) => self.control(thread),
            // SAFETY: as there.
            None => unsafe { THREADS.get_unchecked() }.idle,
        };
        // SAFETY: interrupts are off; the block lives for good.
        unsafe { make_current(next) };
    }

    #[inline(always)]
    fn works_at(&mut self, priority: Option<u16>) {
        task_priority::hold_off(priority);
    }

    #[inline(always)]
    fn woken(&mut self, thread: ThreadId, _at: Instant) {
        let control = self.control(thread);
        // SAFETY: interrupts are off, the block lives for good.
        if let Some(job) = unsafe { (*control.as_ptr()).releases.take() } {
            let thread = thread.index() as u16;
            self.record(Event::Release { thread, job });
        }
    }

    #[inline(always)]
    fn exhausted(&mut self, server: ServerId, posted: Posted) {
        self.record(Event::Exhaust {
            server: server.index() as u16,
            amount: posted.amount,
            at: posted.time,
        });
    }

    #[inline(always)]
    fn replenish_posted(&mut self, server: ServerId, posted: Posted) {
        self.record(Event::ReplenishPosted {
            server: server.index() as u16,
            amount: posted.amount,
            at: posted.time,
        });
    }

    #[inline(always)]
    fn replenish_applied(&mut self, server: ServerId, amount: Duration) {
        let server = server.index() as u16;
        self.record(Event::ReplenishApplied { server, amount });
    }
}

/// Asks the scheduler what runs now, arms the timer for the next time that it must be
/// asked, and makes the chosen thread the running one. Returns its context.
///
/// Interrupts are off, and the running thread's context is saved.
pub extern "C" fn dispatch() -> *const Context {
    // SAFETY: interrupts are off.
    let (context, timer) = match unsafe { *BEGUN.borrow_masked() } {
        true => decide::<false>(timestamp()),
        false => begin(timestamp()),
    };
    apic::arm(timer);
    context
}

/// The same at counter value `tsc`, which has just been read, where the timer has fired.
#[inline(always)]
pub fn dispatch_fired<A: TimerAccess>(tsc: u64) -> *const Context {
    // SAFETY: interrupts are off.
    let (context, timer) = match A::SINCE_EPOCH || unsafe { *BEGUN.borrow_masked() } {
        true => decide::<true>(tsc),
        false => begin(tsc),
    };
    apic::arm_fired::<A>(timer);
    context
}

/// Makes the thread that is to run at counter value `tsc`, after the time epoch, the running
/// one; `FIRED` if the timer has. Returns its context, and when the scheduler must be asked again.
#[inline(always)]
fn decide<const FIRED: bool>(tsc: u64) -> (*const Context, Instant) {
    // SAFETY: the counter has not run for centuries.
    let now = unsafe { clock::clock().instant_since_epoch(tsc) };
    // SAFETY: interrupts are off, time has begun, so boot is over; and the recorder does not
    // reach the scheduler.
    let decision = unsafe {
        SCHEDULER.with_masked(|scheduler| match FIRED {
            true => scheduler.dispatch_fired(now, Recorder { tsc }),
            false => scheduler.dispatch(now, Recorder { tsc }),
        })
    };
    // SAFETY: interrupts are off and blocks live for good; no reference to one is held
    // across this.
    let control = unsafe { &mut *running() };
    let mut timer = decision.timer;
    if control.cancel_at < timer {
        timer = cancel(control, tsc, timer);
    }
    (&raw const control.entry.context, timer)
}

/// The first decision once the time epoch has come: no thread runs before.
#[cold]
#[inline(never)]
fn begin(tsc: u64) -> (*const Context, Instant) {
    let now = clock::clock().instant(tsc);
    if now == Instant::EPOCH {
        // SAFETY: the block lives for good.
        return (unsafe { &raw const (*running()).entry.context }, now);
    }
    // SAFETY: interrupts are off, and boot, which enters here last, has made the ring.
    unsafe {
        *BEGUN.borrow_masked() = true;
        use_timer_handler(apic::takes_deadlines());
        trace::record_at(tsc, Event::ClockSync { now });
    }
    decide::<false>(tsc)
}

/// # Safety
/// Interrupts are off, and `next` is a control block that lives for good.
#[inline(always)]
pub(super) unsafe fn make_current(next: NonNull<Control>) {
    // SAFETY: the entry block is the control block's first field; page tables of
    // programs share the kernel's half.
    unsafe {
        set_context(next.as_ptr().cast());
        let (root, loaded) = (next.as_ref().root, LOADED_ROOT.borrow_masked());
        if root != 0 && root != *loaded {
            *loaded = root;
            asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags));
            // What a program left in the data segment registers is not for others to see.
            asm!(
                "mov ds, {0:e}", "mov es, {0:e}", "mov fs, {0:e}", "mov gs, {0:e}",
                in(reg) 0_u32, options(nomem, nostack, preserves_flags)
            );
        }
    }
}

/// Takes the program of the thread that is to run out of ring 3 if it has had its time.
/// Returns when to ask again.
#[cold]
fn cancel(control: &mut Control, tsc: u64, timer: Instant) -> Instant {
    if control.cancel_at > clock::clock().instant(tsc) {
        return control.cancel_at;
    }
    if control.entry.context.is_user() {
        divert(control, Left::Cancelled);
    }
    timer
}

/// Takes the interrupted program out of ring 3: its state goes to its stored context,
/// and its thread's kernel part returns from `enter_user`.
fn divert(control: &mut Control, how: Left) {
    let context = &mut control.entry.context;
    let stored = control.entry.user_context_end as usize - size_of::<Context>();
    // What interrupted it is nothing of the program's.
    (context.frame.vector, context.frame.error) = (0, 0);
    // SAFETY: a thread in ring 3 runs a program, whose stored context this is; it is
    // not borrowed while the program runs.
    unsafe { core::ptr::copy_nonoverlapping(&raw const *context, stored as *mut Context, 1) };
    context.divert(how, control.entry.kernel_rsp);
}

/// Takes the running thread's program out of ring 3, where it was interrupted, and
/// returns the context to go on with.
pub fn leave_program(how: Left, fault: Option<ProgramFault>) -> *const Context {
    // SAFETY: interrupts are off in handlers, and blocks live for good.
    let control = unsafe { &mut *running() };
    control.fault = fault;
    divert(control, how);
    &raw const control.entry.context
}

/// Puts the running thread behind the other runnable ones of its server, and returns
/// the context to go on with. Interrupts are off, and its context is saved.
pub fn give_way() -> *const Context {
    let current = running();
    // SAFETY: interrupts are off.
    let first = unsafe { SCHEDULER.with_masked(|scheduler| scheduler.give_way()) };
    let Some(thread) = first else {
        return dispatch();
    };
    let next = THREADS.get().control(thread);
    if next.as_ptr() != current {
        let thread = Some(thread.index() as u16);
        trace::record_masked(Event::Switch { thread });
        // SAFETY: as in `dispatch`.
        unsafe { make_current(next) };
    }
    // SAFETY: interrupts are off and blocks live for good.
    let (left, entered) = unsafe { ((*current).cancel_at, next.as_ref().cancel_at) };
    if left.min(entered) != Instant::NEVER {
        // The timer is armed for what concerned the other thread.
        return dispatch();
    }
    // SAFETY: the block lives for good.
    unsafe { &raw const (*next.as_ptr()).entry.context }
}

/// Gives up the core; returns when the scheduler gives it back. Interrupts are off.
pub(super) fn yield_core() {
    // SAFETY: the vector's handler restores this context later. It changes memory, as
    // any other thread may.
    unsafe { asm!("int {}", const YIELD_VECTOR) };
}
