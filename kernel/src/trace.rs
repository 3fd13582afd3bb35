//! The sandbox's trace ring: this kernel is its one writer.
use crate::memory::paging::window;
use crate::sync::interrupt_cell::InterruptCell;
use crate::sync::interrupts_off::without_interrupts;
use core::sync::atomic::AtomicU64;
use tern_abi::directory::ExitReason;
use tern_abi::layout::{EXIT_COUNTS_BASE, TRACE_BASE};
use tern_config::TraceMode;
use tern_machine::cpu::timestamp;
use tern_trace::{Event, Mode, Ring};

static RING: InterruptCell<Option<Ring<'static>>> = InterruptCell::new(None);
static EXITS: InterruptCell<[u64; ExitReason::ALL.len()]> =
    InterruptCell::new([0; ExitReason::ALL.len()]);

/// Formats the ring.
///
/// # Safety
/// Only during boot, once, after the kernel's address space maps `bytes` at the ring's
/// place.
pub unsafe fn initialize(bytes: u64, mode: TraceMode) {
    let words = (bytes / 8) as usize;
    let first = window(TRACE_BASE).cast::<AtomicU64>();
    // SAFETY: the window is mapped for good, and no other core writes it.
    let words = unsafe { core::slice::from_raw_parts(first, words) };
    let mode = match mode {
        TraceMode::Stream => Mode::Stream,
        TraceMode::Overwrite => Mode::Overwrite,
    };
    match Ring::format(words, mode) {
        Ok(ring) => RING.with(|it| *it = Some(ring)),
        Err(error) => panic!("{error}: raise `trace` in the system description"),
    }
}

/// Records an event now. A ring has one writer and pushes must not nest, so interrupts
/// are off meanwhile.
#[inline]
pub fn record(event: Event) {
    without_interrupts(|| record_masked(event));
}

/// The same where interrupts are off already. Always inlined: for an event known at
/// compile time nothing is left of its encoding.
#[inline(always)]
pub fn record_masked(event: Event) {
    // SAFETY: interrupts are off, and writing a record records nothing.
    if let Some(ring) = unsafe { RING.borrow_masked() } {
        ring.push_event(timestamp(), event);
    }
}

/// Records an event at counter value `tsc`, which must not lie before that of the last.
///
/// # Safety
/// Interrupts are off, and boot has made the ring.
#[inline(always)]
pub unsafe fn record_at(tsc: u64, event: Event) {
    // SAFETY: the caller vouches for it, and writing a record records nothing.
    let ring = unsafe { RING.borrow_masked().as_mut().unwrap_unchecked() };
    ring.push_event(tsc, event);
}

/// Records two events without continuations, each at its counter value, at once.
///
/// # Safety
/// As for [`record_at`].
#[inline(always)]
pub unsafe fn record_two_at(first: (u64, Event), second: (u64, Event)) {
    // SAFETY: the caller vouches for it, and writing a record records nothing.
    let ring = unsafe { RING.borrow_masked().as_mut().unwrap_unchecked() };
    ring.push_two(first, second);
}

/// Records how many exits there were to the hypervisor since the last call, by reason.
pub fn record_exits() {
    let counts = window(EXIT_COUNTS_BASE);
    EXITS.with(|seen| {
        for (reason, seen) in seen.iter_mut().enumerate() {
            // SAFETY: the window is mapped read-only; the hypervisor writes it, hence
            // volatile.
            let count = unsafe { counts.add(reason).read_volatile() };
            let new = count.wrapping_sub(*seen);
            if new != 0 {
                *seen = count;
                record_masked(Event::Exit {
                    reason: reason as u16,
                    count: u32::try_from(new).unwrap_or(u32::MAX),
                });
            }
        }
    });
}
