//! The task priority of the local APIC, by which interrupts that are not urgent enough for
//! whoever runs are held off: a register of the processor, CR8, that takes no exit.
//!
//! Sources: Intel SDM vol. 3 §11.8.6 (CR8), §11.8.3.1 (task priority); AMD APM vol. 2 §16.6.4,
//! §15.21.1 (guests without virtual interrupt masking write the physical register).
use crate::sync::boot_cell::BootValue;
use core::arch::asm;
use tern_abi::layout::HIGHEST_DEVICE_CLASS;
use tern_config::InterruptPlan;
use tern_config::layout::MAX_SERVERS;

/// The class up to which interrupts are held off, by the priority of the running server: one
/// for each value of a byte, so that nothing needs to be checked.
static HELD_OFF: BootValue<[u8; 256]> = BootValue::new([HIGHEST_DEVICE_CLASS; 256]);

const _: () = assert!(
    MAX_SERVERS <= 256,
    "priorities are below the number of servers"
);

/// Holds off everything but the timer until a dispatch says otherwise, and then what `plan`
/// says.
///
/// # Safety
/// Only during boot, once, with interrupts off.
pub unsafe fn initialize(plan: &InterruptPlan) {
    let mut table = *HELD_OFF.get();
    for (place, priority) in table.iter_mut().zip(0..) {
        *place = plan.held_off(priority);
    }
    // SAFETY: the caller vouches that this is boot.
    unsafe { HELD_OFF.set(table) };
    write(HIGHEST_DEVICE_CLASS);
}

/// Holds off what is not urgent enough for a server that runs at `priority`; where none does,
/// nothing.
#[inline(always)]
pub fn hold_off(priority: Option<u16>) {
    write(match priority {
        Some(priority) => HELD_OFF.get()[usize::from(priority as u8)],
        None => 0,
    });
}

#[inline(always)]
fn write(class: u8) {
    // SAFETY: CR8 decides which interrupts come, not what they do; it takes classes up to 15.
    unsafe {
        asm!("mov cr8, {}", in(reg) u64::from(class), options(nomem, nostack, preserves_flags));
    }
}
