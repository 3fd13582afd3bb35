//! A guest at either end of channel 0: the one called `writer` writes the time into it
//! over and over, and the other, which looks at it all the time, says how much later it
//! saw that, as a console line `measured NAME MINIMUM MEDIAN MAXIMUM COUNT`.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};
use tern_abi::layout::CHANNEL_BASE;
use tern_guests::Guest;
use tern_machine::bump::SealedBump;
use tern_machine::cpu::halt_forever;

tern_guests::guest!();

use tern_guests::samples::{Samples, timestamp};

/// Nothing here allocates; a crate below wants to be able to.
#[global_allocator]
static HEAP: SealedBump<4096> = SealedBump::new();

/// Times that the reader sees.
const ROUNDS: u64 = 200;
/// Between two writes: longer than any of them takes to be seen, and no multiple of the
/// reader's loop, so that it is met everywhere.
const PAUSE: u64 = 997;

/// Called by the entry code.
#[unsafe(no_mangle)]
extern "C" fn start(information: u64, _protocol: u64) -> ! {
    // SAFETY: the entry code hands over what PVH gave it.
    let Some(mut guest) = (unsafe { Guest::read(information) }) else {
        halt_forever()
    };
    // SAFETY: the description gives both ends the channel, which is mapped for good; the
    // other core uses it too, hence atomics.
    let word = unsafe { &*(CHANNEL_BASE.as_u64() as *const AtomicU64) };
    // Both run by then.
    guest.wait_until(0);
    if guest.command_line == "writer" {
        write(word);
    }
    let mut samples = Samples::new();
    // The first look finds no translation of the page, and what it sees may be old: how old
    // depends on the boot.
    let mut last = word.load(Ordering::Acquire);
    while word.load(Ordering::Acquire) == last {}
    last = word.load(Ordering::Acquire);
    while samples.count() < ROUNDS as usize {
        let written = word.load(Ordering::Acquire);
        let now = timestamp();
        if written != last {
            last = written;
            samples.add(now - written);
        }
    }
    samples.say(&mut guest, "channel-write-to-reader");
    guest.shut_down(0)
}

fn write(word: &AtomicU64) -> ! {
    loop {
        let now = timestamp();
        word.store(now, Ordering::Release);
        while timestamp() - now < PAUSE {}
    }
}
