//! The control block of each thread, and which of them is the running one's.
use crate::cpu::context::{CURRENT, Context, EntryBlock};
use crate::fault::ProgramFault;
use crate::sync::boot_cell::BootOnce;
use crate::sync::interrupts_off::without_interrupts;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use tern_config::layout::MAX_THREADS;
use tern_sched::ThreadId;
use tern_units::Instant;

/// A thread of the sandbox: its position over all servers' threads in the order of the
/// system description, as traces have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ThreadNumber(pub u16);

/// What the kernel knows of a thread.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Control {
    /// First, so that a pointer to it is one to the control block.
    pub(super) entry: EntryBlock,
    pub(super) number: u16,
    /// Guest-physical address of the page tables its program needs; zero for a thread
    /// that runs in any address space.
    pub(super) root: u64,
    /// When its program is to be taken out of ring 3.
    pub(super) cancel_at: Instant,
    /// The exception that its program left ring 3 by.
    pub(super) fault: Option<ProgramFault>,
    /// The job that its next waking releases.
    pub(super) releases: Option<u32>,
    /// Whether it waits for a wake.
    pub(super) waiting: bool,
    /// Whether a wake came while it did not wait.
    pub(super) woken: bool,
    /// A wake makes it runnable no earlier.
    pub(super) not_before: Instant,
    pub(super) name: &'static str,
    pub(super) stack_slot: u64,
}

impl Control {
    pub(super) fn new(number: u16, name: &'static str, context: Context, stack_slot: u64) -> Self {
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
            not_before: Instant::EPOCH,
            name,
            stack_slot,
        }
    }
}

/// Pointers to control blocks that live for good; they are followed with interrupts off.
#[derive(Debug)]
pub(super) struct Threads {
    /// The idle thread's in the places that no thread has.
    pub(super) all: [NonNull<Control>; MAX_THREADS],
    pub(super) count: usize,
    pub(super) idle: NonNull<Control>,
}

impl Threads {
    /// The control block of one of the scheduler's threads.
    #[inline(always)]
    pub(super) fn control(&self, thread: ThreadId) -> NonNull<Control> {
        self.all[thread.index() % MAX_THREADS]
    }

    pub(super) fn known(&self) -> &[NonNull<Control>] {
        &self.all[..self.count]
    }
}

// SAFETY: one core; every access to a control block is with interrupts off.
unsafe impl Sync for Threads {}

pub(super) static THREADS: BootOnce<Threads> = BootOnce::new();

/// The running thread's control block; null before there are threads.
#[inline(always)]
pub(super) fn running() -> *mut Control {
    // The entry block is its first field.
    CURRENT.load(Ordering::Relaxed).cast()
}

/// Runs `section` on the running thread's control block and number, interrupts off.
pub(super) fn with_current<R>(section: impl FnOnce(&mut Control) -> R) -> R {
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
