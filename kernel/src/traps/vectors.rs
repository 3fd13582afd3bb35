//! What each vector means: the timer, a device, a thread giving up the core, or an
//! exception of a program or of the kernel.
use super::last_words;
use super::system_call_entry::system_call_entry;
use crate::cpu::apic::{self, TimerAccess};
use crate::cpu::context::{Context, Left, resume};
use crate::cpu::descriptors::YIELD_VECTOR;
use crate::drivers::serial;
use crate::fault::{PAGE_FAULT, ProgramFault, exception_name};
use crate::hypercall::{StopReason, stop};
use crate::memory::paging::Stack;
use crate::{thread, trace};
use tern_abi::layout::{
    HIGHEST_DEVICE_CLASS, LINES, LOWEST_DEVICE_CLASS, SPURIOUS_VECTOR, TIMER_VECTOR, line_vector,
};
use tern_machine::cpu::{page_fault_address, timestamp};
use tern_machine::interrupts::Frame;
use tern_trace::Event;

const DEBUG: u64 = 1;
const LAST_EXCEPTION: u64 = 31;

/// Handles an interrupt or exception of the running thread, whose state is in
/// `context`, and returns the context to go on with. Interrupts are off.
pub extern "C" fn interrupt(vector: u64, context: &mut Context) -> *const Context {
    const YIELD: u64 = YIELD_VECTOR as u64;
    const SPURIOUS: u64 = SPURIOUS_VECTOR as u64;
    const FIRST_DEVICE: u64 = line_vector(LOWEST_DEVICE_CLASS, 0) as u64;
    const LAST_DEVICE: u64 = line_vector(HIGHEST_DEVICE_CLASS, LINES - 1) as u64;
    match vector {
        YIELD => thread::dispatch(),
        FIRST_DEVICE..=LAST_DEVICE => {
            let vector = vector as u8;
            trace::record_masked(Event::InterruptIn { vector });
            apic::end_of_interrupt();
            serial::interrupted(vector % LINES);
            let next = thread::dispatch();
            trace::record_masked(Event::InterruptOut { vector });
            next
        }
        0..=LAST_EXCEPTION if context.is_user() => {
            let instruction = context.frame.rip;
            let fault = ProgramFault {
                vector,
                error: context.frame.error,
                address: if vector == PAGE_FAULT {
                    page_fault_address()
                } else {
                    instruction
                },
                instruction,
            };
            thread::leave_program(Left::Exception, Some(fault))
        }
        // A program that single-steps into SYSCALL: some processors deliver the trap
        // at the entry, with the trap flag already masked there.
        DEBUG if context.frame.rip == system_call_entry as *const () as u64 => context,
        0..=LAST_EXCEPTION => kernel_exception(&context.frame),
        // It takes no end-of-interrupt (Intel SDM vol. 3 §10.9).
        SPURIOUS => context,
        // A doorbell, which releases nothing, or a vector that nothing is routed to.
        _ => {
            let vector = vector as u8;
            trace::record_masked(Event::InterruptIn { vector });
            apic::end_of_interrupt();
            trace::record_masked(Event::InterruptOut { vector });
            context
        }
    }
}

/// Handles the timer's interrupt of the running thread, whose state is in its context,
/// and goes on with the context of the thread that is to run. Interrupts are off.
///
/// The path of every release, preemption and exhausted budget: one reading of the counter
/// is when the handler begins and when the scheduler decides, and both ends of the handler
/// are recorded at once.
pub extern "C" fn timer_interrupt<A: TimerAccess>() -> ! {
    let begin = timestamp();
    let vector = TIMER_VECTOR;
    apic::end_of_timer_interrupt::<A>();
    let next = thread::dispatch_fired::<A>(begin);
    let (begin, end) = (
        (begin, Event::InterruptIn { vector }),
        (timestamp(), Event::InterruptOut { vector }),
    );
    // SAFETY: interrupts are off, the timer is armed after boot has made the ring; and this
    // is the context of the running thread.
    unsafe {
        trace::record_two_at(begin, end);
        resume(next)
    }
}

/// Double fault, non-maskable interrupt, machine check.
pub extern "C" fn fatal(frame: &Frame) -> ! {
    kernel_exception(frame)
}

/// An exception in the kernel itself: said, and contained in this sandbox.
fn kernel_exception(frame: &Frame) -> ! {
    let address = page_fault_address();
    let paging = frame.vector == PAGE_FAULT || frame.vector == 8;
    match Stack::guard_slot(address) {
        Some(slot) if paging => {
            last_words::say_last_words(format_args!(
                "stack overflow: {} at instruction {:#x}",
                thread::StackName(slot),
                frame.rip
            ));
            stop(StopReason::StackOverflow)
        }
        _ => {
            last_words::say_last_words(format_args!(
                "{} in the kernel, error {:#x}, address {address:#x}, instruction {:#x}, \
                 stack {:#x}, in {}",
                exception_name(frame.vector),
                frame.error,
                frame.rip,
                frame.rsp,
                thread::running_name()
            ));
            stop(StopReason::Exception)
        }
    }
}
