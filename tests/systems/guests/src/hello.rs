//! The smallest guest: says who it is. With a number as its command line it waits that
//! many milliseconds from the time epoch on, says that it is still there, and ends the
//! run if it may.
#![no_std]
#![no_main]

use core::fmt::Write;
use tern_guests::Guest;
use tern_machine::cpu::{halt_forever, timestamp};

tern_guests::guest!();

/// Called by the entry code.
#[unsafe(no_mangle)]
extern "C" fn start(information: u64, _protocol: u64) -> ! {
    // SAFETY: the entry code hands over what PVH gave it.
    let Some(mut guest) = (unsafe { Guest::read(information) }) else {
        halt_forever()
    };
    let (boot, line) = (guest.boot, guest.command_line);
    let lead = boot.epoch_tsc.wrapping_sub(timestamp()) as i64;
    // A console that fails is what the test then sees.
    let _ = writeln!(
        guest,
        "hello from sandbox {} with {} MiB and \"{line}\"; epoch in {} us",
        boot.sandbox,
        boot.memory_bytes >> 20,
        lead / (boot.tsc_hertz / 1_000_000).max(1) as i64
    );
    if let Ok(millis) = line.parse() {
        guest.wait_until(millis);
        let _ = writeln!(guest, "still here {millis} ms after the epoch");
    }
    guest.shut_down(0)
}
