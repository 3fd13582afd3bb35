//! A guest that races for numbers of a sealed channel: its writer seals each, and two readers close
//! it, all at its deadline. Each then says in a channel of its own what became of the number.
//!
//! The command line is the guest's number (0 for the writer), and the interval and deadline of the
//! channel in microseconds. The first channel of the description is the sealed one, with halves of
//! a page; the guests' own follow, in the order of their numbers: how many numbers are done, and
//! what became of each ([`SEALED`], [`CLOSED`]). No guest begins with a number before all are done
//! with the last, so that each sees what became of it. The writer ends the run.
#![no_std]
#![no_main]

use tern_abi::hypercall::{Hypercall, HypercallError};
use tern_abi::layout::CHANNEL_BASE;
use tern_abi::seal::Seal;
use tern_guests::Guest;
use tern_machine::cpu::{halt_forever, timestamp};

tern_guests::guest!();

/// Numbers that are raced for.
const NUMBERS: u64 = 200;
/// What became of a number.
const SEALED: u64 = 1;
const CLOSED: u64 = 2;
/// What must not become of one.
const WRONG: u64 = 3;

const WRITER: u64 = 0;
const GUESTS: u64 = 3;
const HALF: u64 = 4096;

/// Called by the entry code.
#[unsafe(no_mangle)]
extern "C" fn start(information: u64, _protocol: u64) -> ! {
    // SAFETY: the entry code hands over what PVH gave it.
    let Some(guest) = (unsafe { Guest::read(information) }) else {
        halt_forever()
    };
    let mut words = guest.command_line.split_ascii_whitespace();
    let mut word = || words.next().and_then(|word| word.parse::<u64>().ok());
    let (Some(own), Some(interval), Some(deadline)) = (word(), word(), word()) else {
        halt_forever()
    };

    for number in 0..NUMBERS {
        wait_for(|| (0..GUESTS).all(|it| load(done_by(it)) >= number));
        let ticks = guest.boot.tsc_hertz / 1_000_000 * (number * interval + deadline);
        let became = match own {
            WRITER => seal(&guest, number, ticks),
            _ => close(&guest, own, number, ticks),
        };
        store(done_by(own) + 8 + number * 8, became);
        store(done_by(own), number + 1);
    }
    if own != WRITER {
        halt_forever()
    }
    wait_for(|| (0..GUESTS).all(|it| load(done_by(it)) == NUMBERS));
    guest.shut_down(0)
}

/// Of every eight numbers the writer is first with one, and last with another.
const fn writer_is_first(number: u64) -> bool {
    number.is_multiple_of(8)
}

const fn writer_is_last(number: u64) -> bool {
    number % 8 == 1
}

fn seal(guest: &Guest, number: u64, ticks: u64) -> u64 {
    store(half(seal_word().open_half()), number + 1);
    if writer_is_last(number) {
        wait_for(|| seal_word().number() == Some(number));
    } else if !writer_is_first(number) {
        wait_for_race(guest, WRITER, number, ticks);
    }
    const REFUSED: i64 = HypercallError::BadArgument as i64;
    match until_in_time(|| guest.call(Hypercall::Seal as u64, 0, number)) {
        0 => SEALED,
        REFUSED => CLOSED,
        _ => WRONG,
    }
}

fn close(guest: &Guest, own: u64, number: u64, ticks: u64) -> u64 {
    if writer_is_first(number) {
        wait_for(|| seal_word().number() == Some(number));
    } else {
        wait_for_race(guest, own, number, ticks);
    }
    let answer = until_in_time(|| guest.call(Hypercall::Close as u64, 1, number));
    let seal = seal_word();
    let read = load(half(seal.sealed_half()));
    let stays = seal_word() == seal && seal.number() == Some(number);
    match (answer, stays) {
        (0, true) if read == number + 1 => SEALED,
        (0, true) => CLOSED,
        _ => WRONG,
    }
}

/// Makes a call until it does not come too soon.
fn until_in_time(mut call: impl FnMut() -> u64) -> i64 {
    loop {
        let result = call() as i64;
        if result != HypercallError::TooSoon as i64 {
            return result;
        }
    }
}

/// Waits for the deadline and a little more, differently long for each number and guest.
fn wait_for_race(guest: &Guest, own: u64, number: u64, ticks: u64) {
    let odd = (number * GUESTS + own + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let until = guest.boot.epoch_tsc + ticks + (odd >> 58);
    wait_for(|| timestamp() >= until);
}

fn wait_for(mut holds: impl FnMut() -> bool) {
    while !holds() {
        core::hint::spin_loop();
    }
}

fn half(half: usize) -> u64 {
    CHANNEL_BASE.as_u64() + half as u64 * HALF
}

fn seal_word() -> Seal {
    Seal::from_word(load(CHANNEL_BASE.as_u64() + 2 * HALF))
}

/// Where a guest says how many numbers it is done with.
fn done_by(guest: u64) -> u64 {
    CHANNEL_BASE.as_u64() + ((1 + guest) << 21)
}

fn load(address: u64) -> u64 {
    // SAFETY: in a channel that the guest reads.
    unsafe { (address as *const u64).read_volatile() }
}

fn store(address: u64, value: u64) {
    // SAFETY: in what the guest writes of a channel of its own.
    unsafe { (address as *mut u64).write_volatile(value) };
}
