//! A guest that makes one hypercall at a given instant: its command line is a number of
//! ticks after 20 ms from the time epoch. It asks for the end of the run, if it may; else
//! it asks for nothing, and from then on leaves no more: it only writes the time to the
//! start of its trace ring, over and over, so that the outside sees whether it runs.
#![no_std]
#![no_main]

use tern_abi::hypercall::Hypercall;
use tern_abi::layout::TRACE_BASE;
use tern_guests::Guest;
use tern_machine::cpu::{halt_forever, timestamp};

tern_guests::guest!();

/// Called by the entry code.
#[unsafe(no_mangle)]
extern "C" fn start(information: u64, _protocol: u64) -> ! {
    // SAFETY: the entry code hands over what PVH gave it.
    let Some(guest) = (unsafe { Guest::read(information) }) else {
        halt_forever()
    };
    let ticks: u64 = guest.command_line.parse().unwrap_or(0);
    let at = guest.boot.epoch_tsc + guest.boot.tsc_hertz / 50 + ticks;
    while timestamp() < at {}
    // Refused to all but one.
    guest.call(Hypercall::ShutDown as u64, 0, 0);
    loop {
        // SAFETY: the ring is this sandbox's to write.
        unsafe { (TRACE_BASE.as_u64() as *mut u64).write_volatile(timestamp()) };
    }
}
