//! The sandbox's threads: how they begin, and what a thread may ask for: the
//! time, sleep, a wait for another's wake.
//!
//! There is one way to give up the core: into [`dispatch`], with the whole context saved,
//! whether by an interrupt or by the yield vector. Code in thread context runs with
//! interrupts on and may be preempted anywhere.
mod control;
mod dispatch;
mod idle;
mod user_mode;

pub use control::{StackName, ThreadNumber, current, current_masked, running_name};
pub use dispatch::{dispatch, dispatch_fired, give_way, leave_program};
pub use user_mode::UserExit;
pub(crate) use user_mode::{run_program, run_program_from};

use crate::cpu::context::Context;
use crate::memory::paging::Stack;
use crate::sync::interrupts_off::without_interrupts;
use crate::{clock, trace};
use alloc::boxed::Box;
use alloc::vec::Vec;
use control::{Control, THREADS, Threads, with_current};
use core::ptr::NonNull;
use dispatch::{SCHEDULER, make_current, scheduling, yield_core};
use tern_config::layout::MAX_THREADS;
use tern_machine::cpu::timestamp;
use tern_sched::{Silent, ThreadId};
use tern_trace::{Event, Kind, SleepEnd};
use tern_units::{Duration, Instant};

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
                    First::Release(at) => scheduler.sleep_until(thread, at, &mut Silent),
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

/// What boot allocates for a thread here: its control block, and its place in a list of them.
pub const CONTROL_BYTES: usize = size_of::<Control>() + 4 * size_of::<NonNull<Control>>();

fn leak(control: Control) -> NonNull<Control> {
    NonNull::from(Box::leak(Box::new(control)))
}

/// Becomes the idle thread: from the time epoch on runs whatever is due, and halts the
/// core between.
///
/// # Safety
/// Only at the end of boot, on the stack that the idle thread keeps.
pub unsafe fn run() -> ! {
    idle::print_boot();
    without_interrupts(yield_core);
    // SAFETY: everything is set up.
    unsafe { idle::idle() }
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
            trace::record_masked(Event::Block {
                thread,
                until: Some(SleepEnd::of(until)),
            });
            let thread = ThreadId::new(thread);
            scheduling(|scheduler, recorder| scheduler.sleep_until(thread, until, recorder));
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

/// Waits for a [`wake`], or takes one that came since the last wait, and returns no earlier
/// than `not_before`.
pub fn wait_until_after(not_before: Instant) {
    without_interrupts(|| {
        let woken = with_current(|control| {
            let woken = core::mem::take(&mut control.woken);
            control.waiting = !woken;
            control.not_before = not_before;
            woken
        });
        if woken && not_before <= clock::now() {
            return;
        }
        let thread = current().0;
        let until = woken.then(|| SleepEnd::of(not_before));
        trace::record_masked(Event::Block { thread, until });
        let thread = ThreadId::new(thread);
        scheduling(|scheduler, recorder| match woken {
            true => scheduler.sleep_until(thread, not_before, recorder),
            false => scheduler.block(thread, recorder),
        });
        yield_core();
    });
}

/// Ends the wait of `thread`, or its next one, but no earlier than it said. From a handler,
/// the dispatch that follows runs it; from a thread, it runs when its turn comes.
pub fn wake(thread: ThreadNumber) {
    without_interrupts(|| {
        let Some(control) = THREADS.get().known().get(usize::from(thread.0)) else {
            return;
        };
        // SAFETY: interrupts are off, blocks live for good, nobody holds a reference.
        let control = unsafe { &mut *control.as_ptr() };
        if !control.waiting && control.woken {
            return;
        }
        // One reading: the record has the time from which on its server has work.
        let tsc = timestamp();
        let now = clock::clock().instant(tsc);
        let not_before = control.not_before;
        let paced = control.waiting && not_before > now;
        let until = paced.then(|| SleepEnd::of(not_before));
        let woken = Event::Wake {
            thread: thread.0,
            until,
        };
        // SAFETY: interrupts are off, and threads are known after boot has made the ring.
        unsafe { trace::record_at(tsc, woken) };
        if !control.waiting {
            control.woken = true;
            return;
        }
        control.waiting = false;
        let thread = ThreadId::new(thread.0);
        scheduling(|scheduler, recorder| match paced {
            true => scheduler.sleep_until(thread, not_before, recorder),
            false => scheduler.wake(thread, now),
        });
    });
}

/// The running thread asks `driver` for work: until it is [`served`], an I/O server that
/// the driver is in has at least the priority of this thread's server.
pub fn request(driver: ThreadNumber) {
    let thread = ThreadId::new(current().0);
    scheduling(|scheduler, recorder| {
        if let Some(server) = scheduler.server_of(ThreadId::new(driver.0)) {
            scheduler.request(thread, server, recorder);
        }
    });
}

/// What `requester` asked for is done. What the driver's server had inherited for it is
/// gone at the next dispatch.
pub fn served(requester: ThreadNumber) {
    let requester = ThreadId::new(requester.0);
    scheduling(|scheduler, recorder| scheduler.served(requester, recorder));
}

/// Lets a thread that [`wake`] made runnable preempt the running one, if it may.
pub fn preempt() {
    without_interrupts(yield_core);
}

/// Ends the running thread for good; its server's other threads go on.
pub fn stop() -> ! {
    loop {
        without_interrupts(block);
    }
}

/// Gives up the core until the running thread is woken. Interrupts are off.
fn block() {
    let thread = current().0;
    trace::record_masked(Event::Block {
        thread,
        until: None,
    });
    let thread = ThreadId::new(thread);
    scheduling(|scheduler, recorder| scheduler.block(thread, recorder));
    yield_core();
}
