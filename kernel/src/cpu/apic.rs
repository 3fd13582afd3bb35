//! The local APIC as a sandbox may use it: end of interrupt and a one-shot timer that
//! never fires early.
//!
//! Sources: Intel SDM vol. 3 §§10.5.4 (timer), 10.12 (x2APIC); AMD APM vol. 2 §16.4.
use crate::clock::{clock, multiply_divide};
use crate::hypercall;
use crate::sync::boot_cell::BootValue;
use core::sync::atomic::{AtomicU64, Ordering};
use tern_abi::boot::{ApicAccess, SandboxBoot};
use tern_abi::layout::{SPURIOUS_VECTOR, TIMER_VECTOR};
use tern_machine::apic::{
    DIVIDE_BY_1, MSR_TSC_DEADLINE, Register, SOFTWARE_ENABLE, TIMER_ONE_SHOT, TIMER_TSC_DEADLINE,
};
use tern_machine::cpu::{timestamp, write_msr};
use tern_units::Instant;

/// What a sandbox knows of its APIC.
#[derive(Clone, Copy, Debug)]
pub struct Apic {
    owned: bool,
    tsc_deadline: bool,
    timer_hertz: u64,
}

static APIC: BootValue<Apic> = BootValue::new(Apic {
    owned: false,
    tsc_deadline: false,
    timer_hertz: 0,
});
/// The instant that the timer is armed for, in nanoseconds.
static ARMED: AtomicU64 = AtomicU64::new(u64::MAX);

/// Enables the APIC with its timer stopped.
///
/// # Safety
/// Only during boot, once, with the interrupt table loaded and interrupts off.
pub unsafe fn initialize(boot: &SandboxBoot) {
    let apic = Apic {
        owned: boot.apic == ApicAccess::X2apic,
        tsc_deadline: boot.tsc_deadline,
        timer_hertz: boot.apic_timer_hertz,
    };
    // SAFETY: the caller vouches that this is boot.
    unsafe { APIC.set(apic) };
    let mode = if apic.tsc_deadline {
        TIMER_TSC_DEADLINE
    } else {
        TIMER_ONE_SHOT
    };
    for (register, value) in [
        (
            Register::SPURIOUS,
            SOFTWARE_ENABLE | u32::from(SPURIOUS_VECTOR),
        ),
        (Register::TIMER_DIVIDE, DIVIDE_BY_1),
        (Register::LVT_TIMER, mode | u32::from(TIMER_VECTOR)),
    ] {
        write(apic, register, value);
    }
}

#[inline]
fn write(apic: Apic, register: Register, value: u32) {
    // SAFETY: the registers written here concern only this core's own interrupts, whose
    // handlers are in place.
    unsafe {
        if apic.owned {
            write_msr(register.msr(), u64::from(value));
        } else {
            hypercall::apic_write(register.0, value);
        }
    }
}

/// Tells the APIC that the interrupt is handled.
#[inline]
pub fn end_of_interrupt() {
    write(*APIC.get(), Register::END_OF_INTERRUPT, 0);
}

/// How the timer's handler reaches the APIC. The handler is chosen once, so that it need not
/// ask each time.
pub trait TimerAccess {
    /// Whether the time epoch has passed when the handler runs.
    const SINCE_EPOCH: bool;

    /// What is known of the APIC.
    fn apic() -> Apic;
}

/// The sandbox owns its APIC, whose timer takes a deadline; the time epoch has passed.
#[derive(Debug)]
pub struct Deadline;

impl TimerAccess for Deadline {
    const SINCE_EPOCH: bool = true;

    #[inline(always)]
    fn apic() -> Apic {
        Apic {
            owned: true,
            tsc_deadline: true,
            timer_hertz: 0,
        }
    }
}

/// Any APIC, at any time.
#[derive(Debug)]
pub struct Counted;

impl TimerAccess for Counted {
    const SINCE_EPOCH: bool = false;

    #[inline(always)]
    fn apic() -> Apic {
        *APIC.get()
    }
}

/// [`end_of_interrupt`] of the timer's handler.
#[inline(always)]
pub fn end_of_timer_interrupt<A: TimerAccess>() {
    write(A::apic(), Register::END_OF_INTERRUPT, 0);
}

/// Whether the sandbox has its timer as [`Deadline`] says.
#[must_use]
pub fn takes_deadlines() -> bool {
    APIC.get().owned && APIC.get().tsc_deadline
}

/// The instant that the timer is armed for.
#[inline]
pub fn armed() -> Instant {
    Instant::from_nanos(ARMED.load(Ordering::Relaxed))
}

/// Arms the timer for `at`, or at once if that has passed; [`Instant::NEVER`] stops it.
///
/// It may fire early only where the APIC counts at another rate than the hypervisor
/// measured, or `at` is further away than its 32 bits reach: the scheduler then finds
/// nothing due and arms it again.
#[inline(always)]
pub fn arm(at: Instant) {
    if armed() != at {
        arm_fired::<Counted>(at);
    }
}

/// The same where the timer is armed for nothing, as it has fired.
#[inline(always)]
pub fn arm_fired<A: TimerAccess>(at: Instant) {
    ARMED.store(at.as_nanos(), Ordering::Relaxed);
    let apic = A::apic();
    let ticks = clock().ticks(at);
    if apic.tsc_deadline {
        // SAFETY: the sandbox owns the timer; a deadline that has passed fires at once,
        // zero disarms it.
        unsafe { write_msr(MSR_TSC_DEADLINE, ticks.unwrap_or(0)) };
        return;
    }
    let count = match ticks {
        None => 0,
        Some(ticks) => {
            let remaining = ticks.saturating_sub(timestamp());
            let hertz = clock().hertz();
            let count = multiply_divide(remaining, apic.timer_hertz, hertz - 1, hertz);
            count.clamp(1, u64::from(u32::MAX))
        }
    };
    write(apic, Register::TIMER_INITIAL, count as u32);
}
