//! What runs now: the scheduler's decision, carried out and recorded.
use super::control::{Control, THREADS, Threads, running};
use crate::cpu::apic;
use crate::cpu::context::{Context, Left};
use crate::cpu::descriptors::{YIELD_VECTOR, set_context};
use crate::interrupts::ProgramFault;
use crate::masked::Masked;
use crate::{clock, trace};
use core::arch::asm;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tern_config::layout::{MAX_SERVERS, MAX_THREADS};
use tern_machine::cpu::timestamp;
use tern_sched::{Observer, Posted, Scheduler, ServerId, ThreadId};
use tern_trace::{Event, Ring};
use tern_units::{Duration, Instant};

pub(super) static SCHEDULER: Masked<Scheduler<MAX_SERVERS, MAX_THREADS>> =
    Masked::new(Scheduler::new());

/// Whether the time epoch has passed.
static BEGUN: AtomicBool = AtomicBool::new(false);
/// Guest-physical address of the loaded page tables.
static LOADED_ROOT: AtomicU64 = AtomicU64::new(0);

/// Records the scheduler's decisions and carries them out: releases jobs of threads that
/// wake, and makes the thread that is to run the running one. All that one decision brings
/// about happens at one counter value.
pub(super) struct Recorder<'a> {
    threads: &'a Threads,
    ring: &'a mut Ring<'static>,
    tsc: u64,
}

impl Recorder<'_> {
    /// Runs `section` on a recorder of what happens now. Interrupts are off.
    pub(super) fn now<R>(section: impl FnOnce(&mut Recorder) -> R) -> R {
        // SAFETY: interrupts are off, and a decision records in the ring that it is lent.
        let ring = unsafe { trace::ring() };
        let (threads, tsc) = (THREADS.get(), timestamp());
        section(&mut Recorder { threads, ring, tsc })
    }

    #[inline(always)]
    fn record(&mut self, event: Event) {
        self.ring.push_event(self.tsc, event);
    }
}

impl Observer for Recorder<'_> {
    #[inline(always)]
    fn switched(&mut self, thread: Option<ThreadId>) {
        self.record(Event::Switch {
            thread: thread.map(|thread| thread.index() as u16),
        });
        let next = match thread {
            Some(thread) => self.threads.control(thread),
            None => self.threads.idle,
        };
        // SAFETY: interrupts are off; the block lives for good.
        unsafe { make_current(next) };
    }

    #[inline(always)]
    fn woken(&mut self, thread: ThreadId, _at: Instant) {
        let control = self.threads.control(thread);
        // SAFETY: interrupts are off, the block lives for good.
        if let Some(job) = unsafe { (*control.as_ptr()).releases.take() } {
            let thread = thread.index() as u16;
            self.record(Event::Release { thread, job });
        }
    }

    #[inline(always)]
    fn exhausted(&mut self, server: ServerId) {
        let server = server.index() as u16;
        self.record(Event::Exhaust { server });
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
    // SAFETY: interrupts are off, and a decision records in the ring that it is lent.
    dispatch_at(timestamp(), unsafe { trace::ring() })
}

/// The same at counter value `tsc`, which has just been read.
#[inline(always)]
pub fn dispatch_at(tsc: u64, ring: &mut Ring<'static>) -> *const Context {
    let threads = THREADS.get();
    let now = clock::clock().instant(tsc);
    if !BEGUN.load(Ordering::Relaxed) && !begin(now, tsc, ring) {
        // SAFETY: the block lives for good.
        return unsafe { &raw const (*running()).entry.context };
    }
    let mut recorder = Recorder { threads, ring, tsc };
    // SAFETY: interrupts are off, and the recorder does not reach the scheduler.
    let decision =
        unsafe { SCHEDULER.with_masked(|scheduler| scheduler.dispatch(now, &mut recorder)) };
    // SAFETY: interrupts are off and blocks live for good; no reference to one is held
    // across this.
    let control = unsafe { &mut *running() };
    let mut timer = decision.timer;
    if control.cancel_at <= now {
        if control.entry.context.is_user() {
            divert(control, Left::Cancelled);
        }
    } else {
        timer = timer.min(control.cancel_at);
    }
    apic::arm(timer);
    &raw const control.entry.context
}

/// Whether the time epoch has come: no thread runs before.
#[cold]
fn begin(now: Instant, tsc: u64, ring: &mut Ring<'static>) -> bool {
    if now == Instant::EPOCH {
        apic::arm(now);
        return false;
    }
    BEGUN.store(true, Ordering::Relaxed);
    ring.push_event(tsc, Event::ClockSync { now });
    true
}

/// # Safety
/// Interrupts are off, and `next` is a control block that lives for good.
#[inline(always)]
pub(super) unsafe fn make_current(next: NonNull<Control>) {
    // SAFETY: the entry block is the control block's first field; page tables of
    // programs share the kernel's half.
    unsafe {
        set_context(next.as_ptr().cast());
        let root = next.as_ref().root;
        if root != 0 && root != LOADED_ROOT.load(Ordering::Relaxed) {
            LOADED_ROOT.store(root, Ordering::Relaxed);
            asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags));
            // What a program left in the data segment registers is not for others to see.
            asm!(
                "mov ds, {0:e}", "mov es, {0:e}", "mov fs, {0:e}", "mov gs, {0:e}",
                in(reg) 0_u32, options(nomem, nostack, preserves_flags)
            );
        }
    }
}

/// Takes the interrupted program out of ring 3: its state goes to its stored context,
/// and its thread's kernel part returns from `enter_user`.
fn divert(control: &mut Control, how: Left) {
    let context = &mut control.entry.context;
    let stored = control.entry.user_context_end as usize - size_of::<Context>();
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
