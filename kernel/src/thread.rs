//! The sandbox's threads: their control blocks, and what a thread may ask for: the
//! time, sleep, a wait for another's wake.
//!
//! There is one way to give up the core: into [`dispatch`], with the whole context saved,
//! whether by an interrupt or by the yield vector. Code in thread context runs with
//! interrupts on and may be preempted anywhere.
use crate::cpu::apic;
use crate::cpu::context::{CURRENT, Context, EntryBlock, Left, dispatch_then_user, enter_user};
use crate::cpu::descriptors::{YIELD_VECTOR, set_context};
use crate::interrupts::ProgramFault;
use crate::masked::{BootOnce, Masked, without_interrupts};
use crate::memory::paging::Stack;
use crate::{clock, trace};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::arch::asm;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tern_machine::cpu::timestamp;
use tern_sched::{Observer, Posted, Scheduler, ServerId, ThreadId};
use tern_trace::{Event, Kind, Ring};
use tern_units::{Duration, GuestPhysical, Instant};

/// Most servers of a sandbox.
pub const MAX_SERVERS: usize = 64;
/// Most threads of a sandbox.
pub const MAX_THREADS: usize = 128;

/// A thread of the sandbox: its position over all servers' threads in the order of the
/// system description, as traces have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ThreadNumber(pub u16);

/// What the kernel knows of a thread.
#[derive(Debug)]
#[repr(C)]
struct Control {
    /// First, so that a pointer to it is one to the control block.
    entry: EntryBlock,
    number: u16,
    /// Guest-physical address of the page tables its program needs; zero for a thread
    /// that runs in any address space.
    root: u64,
    /// When its program is to be taken out of ring 3.
    cancel_at: Instant,
    /// The exception that its program left ring 3 by.
    fault: Option<ProgramFault>,
    /// The job that its next waking releases.
    releases: Option<u32>,
    /// Whether it waits for a wake.
    waiting: bool,
    /// Whether a wake came while it did not wait.
    woken: bool,
    name: &'static str,
    stack_slot: u64,
}

impl Control {
    fn new(number: u16, name: &'static str, context: Context, stack_slot: u64) -> Self {
        Self {
            entry: EntryBlock {
                context,
                user_context_end: 0,
                kernel_rsp: 0,
            },
            number,
            root: 0,
            cancel_at: Instant::NEVER,
            fault: None,
            releases: None,
            waiting: false,
            woken: false,
            name,
            stack_slot,
        }
    }
}

/// Pointers to control blocks that live for good; they are followed with interrupts off.
#[derive(Debug)]
struct Threads {
    /// The idle thread's in the places that no thread has.
    all: [NonNull<Control>; MAX_THREADS],
    count: usize,
    idle: NonNull<Control>,
}

impl Threads {
    /// The control block of one of the scheduler's threads.
    #[inline(always)]
    fn control(&self, thread: ThreadId) -> NonNull<Control> {
        self.all[thread.index() % MAX_THREADS]
    }

    fn known(&self) -> &[NonNull<Control>] {
        &self.all[..self.count]
    }
}

// SAFETY: one core; every access to a control block is with interrupts off.
unsafe impl Sync for Threads {}

static SCHEDULER: Masked<Scheduler<MAX_SERVERS, MAX_THREADS>> = Masked::new(Scheduler::new());
static THREADS: BootOnce<Threads> = BootOnce::new();
/// Whether the time epoch has passed.
static BEGUN: AtomicBool = AtomicBool::new(false);
/// Guest-physical address of the loaded page tables.
static LOADED_ROOT: AtomicU64 = AtomicU64::new(0);

/// How a thread begins.
#[derive(Debug)]
pub struct Start {
    /// Its name.
    pub name: &'static str,
    /// Its stack.
    pub stack: Stack,
    /// Called with `argument` on that stack, in thread context; must not return.
    pub body: extern "C" fn(u64) -> !,
    /// The body's argument.
    pub argument: u64,
    /// Its program's page tables and the end of its stored context, if it runs one.
    pub program: Option<(u64, u64)>,
    /// When it first runs.
    pub first: First,
}

/// When a thread first runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// Never: it is there for analysis alone.
    Never,
    /// At the time epoch.
    AtEpoch,
    /// At the release of its first job.
    Release(Instant),
}

/// Tells the scheduler of the servers and their threads, and makes the control blocks.
/// `servers` are in the order of the system description, `starts` in thread order.
///
/// # Safety
/// Only during boot, once, with interrupts off.
///
/// # Errors
/// Why a server or thread was refused.
pub unsafe fn initialize(
    servers: &[(tern_sched::ServerParameters, usize)],
    starts: &[Start],
    idle_stack_slot: u64,
) -> Result<(), tern_sched::AddError> {
    SCHEDULER.with(|scheduler| {
        let mut next = starts.iter();
        for (parameters, threads) in servers {
            let server = scheduler.add_server(*parameters)?;
            for start in next.by_ref().take(*threads) {
                let thread = scheduler.add_thread(server)?;
                match start.first {
                    First::Never => {}
                    First::AtEpoch => scheduler.wake(thread, Instant::EPOCH),
                    First::Release(at) => scheduler.sleep_until(thread, at),
                }
            }
        }
        Ok(())
    })?;
    let blocks = (0..)
        .zip(starts)
        .map(|(number, start)| {
            let entry = start.body as *const () as u64;
            let context = Context::kernel(entry, start.argument, start.stack.top());
            let mut control = Control::new(number, start.name, context, start.stack.slot());
            if let Some((root, context_end)) = start.program {
                control.root = root;
                control.entry.user_context_end = context_end;
            }
            if let First::Release(_) = start.first {
                control.releases = Some(0);
            }
            leak(control)
        })
        .collect::<Vec<_>>();
    let idle = leak(Control::new(
        Kind::IDLE,
        "idle",
        Context::kernel(0, 0, 8),
        idle_stack_slot,
    ));
    let mut all = [idle; MAX_THREADS];
    for (place, block) in all.iter_mut().zip(&blocks) {
        *place = *block;
    }
    let count = blocks.len();
    // SAFETY: boot runs alone, interrupts off; the blocks live for good.
    unsafe {
        THREADS.set(Threads { all, count, idle });
        make_current(idle);
    }
    Ok(())
}

/// The running thread's control block; null before there are threads.
#[inline(always)]
fn running() -> *mut Control {
    // The entry block is its first field.
    CURRENT.load(Ordering::Relaxed).cast()
}

fn leak(control: Control) -> NonNull<Control> {
    NonNull::from(Box::leak(Box::new(control)))
}

/// Becomes the idle thread: from the time epoch on runs whatever is due, and halts the
/// core between.
///
/// # Safety
/// Only at the end of boot, on the stack that the idle thread keeps.
pub unsafe fn run() -> ! {
    without_interrupts(yield_core);
    loop {
        // SAFETY: everything is set up; STI takes effect after HLT has begun, so no
        // interrupt is missed between the two.
        unsafe { asm!("sti", "hlt", options(nomem, nostack)) };
    }
}

/// Records the scheduler's decisions and carries them out: releases jobs of threads that
/// wake, and makes the thread that is to run the running one. All that one decision brings
/// about happens at one counter value.
struct Recorder<'a> {
    threads: &'a Threads,
    ring: &'a mut Ring<'static>,
    tsc: u64,
}

impl Recorder<'_> {
    /// Runs `section` on a recorder of what happens now. Interrupts are off.
    fn now<R>(section: impl FnOnce(&mut Recorder) -> R) -> R {
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
unsafe fn make_current(next: NonNull<Control>) {
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
fn yield_core() {
    // SAFETY: the vector's handler restores this context later. It changes memory, as
    // any other thread may.
    unsafe { asm!("int {}", const YIELD_VECTOR) };
}

/// Runs `section` on the running thread's control block and number, interrupts off.
fn with_current<R>(section: impl FnOnce(&mut Control) -> R) -> R {
    // SAFETY: interrupts are off, blocks live for good, and `section` does not nest.
    without_interrupts(|| section(unsafe { &mut *running() }))
}

/// The running thread.
#[must_use]
pub fn current() -> ThreadNumber {
    with_current(|control| ThreadNumber(control.number))
}

/// The running thread, where interrupts are off already.
#[inline]
pub fn current_masked() -> ThreadNumber {
    // SAFETY: blocks live for good, and their numbers never change.
    ThreadNumber(unsafe { (*running()).number })
}

/// Sleeps until `until`; returns at once if that has passed.
pub fn sleep_until(until: Instant) {
    sleep(until, None);
}

/// Sleeps until `until`, at which job number `job` of the running thread is released.
pub fn sleep_until_release(until: Instant, job: u32) {
    sleep(until, Some(job));
}

fn sleep(until: Instant, releases: Option<u32>) {
    without_interrupts(|| {
        let passed = until <= clock::now();
        let thread = with_current(|control| {
            control.releases = releases;
            control.number
        });
        if !passed {
            trace::record_masked(Event::Block { thread });
            SCHEDULER.with(|scheduler| scheduler.sleep_until(ThreadId::new(thread), until));
            yield_core();
        }
        // Where the instant has passed, on the way too, nobody has woken the thread.
        if let Some(job) = with_current(|control| control.releases.take()) {
            trace::record_masked(Event::Release { thread, job });
        }
    });
}

/// The budget that the running thread's server will have at `at` if it does not run
/// from now on.
#[must_use]
pub fn budget_by(at: Instant) -> Duration {
    without_interrupts(|| {
        let thread = ThreadId::new(current().0);
        let now = clock::now();
        SCHEDULER.with(|scheduler| {
            let server = scheduler.server_of(thread);
            server.map_or(Duration::ZERO, |server| {
                scheduler.budget_by(server, now, at)
            })
        })
    })
}

/// Waits for a [`wake`]; returns at once if one came since the last wait.
pub fn wait() {
    without_interrupts(|| {
        let must_wait = with_current(|control| {
            control.waiting = !control.woken;
            control.woken = false;
            control.waiting
        });
        if must_wait {
            let thread = current();
            trace::record_masked(Event::Block { thread: thread.0 });
            SCHEDULER.with(|scheduler| scheduler.block(ThreadId::new(thread.0)));
            yield_core();
        }
    });
}

/// Ends the wait of `thread`, or its next one. From a handler, the dispatch that
/// follows runs it; from a thread, it runs when its turn comes.
pub fn wake(thread: ThreadNumber) {
    without_interrupts(|| {
        let Some(control) = THREADS.get().known().get(usize::from(thread.0)) else {
            return;
        };
        // SAFETY: interrupts are off, blocks live for good, nobody holds a reference.
        let control = unsafe { &mut *control.as_ptr() };
        if control.waiting {
            control.waiting = false;
            let now = clock::now();
            SCHEDULER.with(|scheduler| scheduler.wake(ThreadId::new(thread.0), now));
        } else {
            control.woken = true;
        }
    });
}

/// The running thread asks `driver` for work: until it is [`served`], an I/O server that
/// the driver is in has at least the priority of this thread's server.
pub fn request(driver: ThreadNumber) {
    without_interrupts(|| {
        let thread = ThreadId::new(current().0);
        SCHEDULER.with(|scheduler| {
            if let Some(server) = scheduler.server_of(ThreadId::new(driver.0)) {
                Recorder::now(|recorder| scheduler.request(thread, server, recorder));
            }
        });
    });
}

/// What `requester` asked for is done. What the driver's server had inherited for it is
/// gone at the next dispatch.
pub fn served(requester: ThreadNumber) {
    let requester = ThreadId::new(requester.0);
    SCHEDULER.with(|scheduler| Recorder::now(|recorder| scheduler.served(requester, recorder)));
}

/// Lets a thread that [`wake`] made runnable preempt the running one, if it may.
pub fn preempt() {
    without_interrupts(yield_core);
}

/// Ends the running thread for good; its server's other threads go on.
pub fn stop() -> ! {
    loop {
        without_interrupts(|| {
            let thread = ThreadId::new(current().0);
            SCHEDULER.with(|scheduler| scheduler.block(thread));
            yield_core();
        });
    }
}

/// How a stay in ring 3 ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
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
) -> Stay {
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
) -> Stay {
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
        trace::record_masked(Event::Block { thread });
        // SAFETY: interrupts are off; the caller vouches for the context.
        unsafe {
            (*current).releases = Some(job);
            (*current).entry.context = (*context).clone();
            SCHEDULER
                .with_masked(|scheduler| scheduler.sleep_until(ThreadId::new(thread), release));
            dispatch_then_user(kernel_rsp)
        }
    })
}

/// A stay in ring 3 that begins with `enter`, which returns what [`enter_user`] does.
fn stay(root: GuestPhysical, enter: impl FnOnce(*mut Control) -> u64) -> Stay {
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
                return Stay::SystemCall;
            }
            match (*current).fault.take() {
                Some(fault) => Stay::Fault(fault),
                None => Stay::Cancelled,
            }
        }
    })
}

/// The running thread's name; "boot" before there are threads.
#[must_use]
pub fn running_name() -> &'static str {
    // SAFETY: names are set at boot and never change.
    match unsafe { running().as_ref() } {
        Some(control) => control.name,
        None => "boot",
    }
}

/// Prints whose stack a slot is.
#[derive(Clone, Copy, Debug)]
pub struct StackName(pub u64);

impl fmt::Display for StackName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(threads) = THREADS.try_get() {
            for control in threads.known().iter().chain([&threads.idle]) {
                // SAFETY: names and slots are set at boot and never change.
                let control = unsafe { control.as_ref() };
                if control.stack_slot == self.0 {
                    return write!(out, "thread \"{}\"", control.name);
                }
            }
        }
        write!(out, "the kernel's handler stack {}", self.0)
    }
}
