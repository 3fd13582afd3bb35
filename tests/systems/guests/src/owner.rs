//! A guest that shares a serial port with two others: in each epoch all seal who is to have it, and
//! that one takes it.
//!
//! The command line is the guest's place, what it does, the lowest place that has the device after
//! the first epoch, which is the first place's, and the number of epochs. The channels of the description are those in
//! which the guests seal the owner, with halves of a page, and then one of each guest's, in which it
//! says how it fares ([`DONE`] and so on). No guest begins an epoch before all that take turns are
//! done with the last. The last guest ends the run.
#![no_std]
#![no_main]

use core::arch::asm;
use tern_abi::directory::ExitReason;
use tern_abi::hypercall::{Hypercall, HypercallError};
use tern_abi::layout::CHANNEL_BASE;
use tern_abi::ownership::{OWNER_WORD, Ownership};
use tern_abi::seal::Seal;
use tern_guests::Guest;
use tern_machine::cpu::{halt_forever, timestamp};
use tern_machine::port;

tern_guests::guest!();

const GUESTS: u64 = 3;
const HALF: u64 = 4096;

/// Words of what a guest says: epochs that it is done with, what went wrong, how often it was told
/// to ask again, and the longest time from then until it had the device, in ticks.
const DONE: u64 = 0;
const WRONG: u64 = 1;
const REFUSED: u64 = 2;
const LONGEST: u64 = 3;

/// The device's only register that keeps what is written to it.
const SCRATCH: u16 = 0x2f8 + 7;
/// What those write who do not have the device. No owner's mark is the same.
const FOREIGN: u8 = 0xee;
/// How often an owner writes its mark and reads it back.
const ROUNDS: u32 = 50;

struct Member {
    guest: Guest,
    place: u64,
    lowest: u64,
    epochs: u64,
}

/// Called by the entry code.
#[unsafe(no_mangle)]
extern "C" fn start(information: u64, _protocol: u64) -> ! {
    // SAFETY: the entry code hands over what PVH gave it.
    let Some(guest) = (unsafe { Guest::read(information) }) else {
        halt_forever()
    };
    let mut words = guest.command_line.split_ascii_whitespace();
    let mut word = || words.next().unwrap_or("");
    let number = |word: &str| word.parse::<u64>().ok();
    let (place, does, lowest, epochs) = (number(word()), word(), number(word()), number(word()));
    let (Some(place), Some(lowest), Some(epochs)) = (place, lowest, epochs) else {
        halt_forever()
    };
    let member = Member {
        guest,
        place,
        lowest,
        epochs,
    };

    member.epoch(0);
    match does {
        "turns" => {}
        // Deaf to interrupts, and without an exit.
        // SAFETY: the guest has no use for its core any more.
        "spins" => unsafe { asm!("cli", "2:", "jmp 2b", options(noreturn)) },
        // SAFETY: as above.
        "halts" => unsafe { asm!("cli", "2:", "hlt", "jmp 2b", options(noreturn)) },
        "calls" => loop {
            member.guest.call(Hypercall::Null as u64, 0, 0);
        },
        "lies" => member.lie(),
        "prints" => loop {
            (0..1000).for_each(|_| write(FOREIGN));
            let text = [FOREIGN; 4];
            // SAFETY: the device's, or nobody's.
            unsafe {
                asm!("rep outsb", inout("rcx") text.len() => _, inout("rsi") text.as_ptr() => _,
                    in("dx") SCRATCH, options(readonly, nostack));
            }
        },
        _ => halt_forever(),
    }
    for epoch in 1..epochs {
        member.epoch(epoch);
    }
    if place != GUESTS - 1 {
        halt_forever()
    }
    wait_for(|| member.all_done() >= epochs);
    // Those beside them have had something to do.
    member.guest.wait_until(130);
    member.guest.shut_down(0)
}

impl Member {
    /// Seals who is to have the device in this epoch, and takes it or does without.
    fn epoch(&self, epoch: u64) {
        wait_for(|| self.all_done() >= epoch);
        let owner = match epoch {
            0 => 0,
            _ => self.lowest + epoch % (GUESTS - self.lowest),
        };
        while self.seal(epoch, owner) == HypercallError::TooSoon as i64 {}
        if self.place == owner {
            self.take(epoch);
        } else {
            // Whoever had it, all the time; then nobody but the owner.
            // It is in its guest or in the hypervisor when it is asked to leave the device.
            while said(owner, DONE) <= epoch {
                write(FOREIGN);
                read();
                for _ in 0..epoch % 8 {
                    self.guest.call(Hypercall::Null as u64, 0, 0);
                }
            }
            let before = self.guest.exits(ExitReason::DeviceAway);
            let seen = read();
            let exits = self.guest.exits(ExitReason::DeviceAway) - before;
            self.require(seen == 0xff && exits == 1);
        }
        self.say(DONE, epoch + 1);
    }

    fn take(&self, epoch: u64) {
        let mut refused_since = None;
        loop {
            match self.ask(epoch) {
                0 => break,
                // The others have not sealed yet.
                it if it == HypercallError::NotPermitted as i64 => {}
                it if it == HypercallError::NotYet as i64 => {
                    refused_since.get_or_insert_with(timestamp);
                    self.say(REFUSED, said(self.place, REFUSED) + 1);
                }
                _ => self.require(false),
            }
        }
        let ticks = refused_since.map_or(0, |since| timestamp() - since);
        self.say(LONGEST, said(self.place, LONGEST).max(ticks));
        let mark = 0x40 | (epoch & 0x3f) as u8;
        for _ in 0..ROUNDS {
            write(mark);
            self.require(read() == mark);
        }
    }

    /// Once the device is another's: seals in every epoch that it is its own, takes it, and writes
    /// to it; and again as the owner of epochs that are over.
    fn lie(&self) -> ! {
        wait_for(|| said(1, DONE).max(said(2, DONE)) > 1);
        let mut epoch = 1;
        loop {
            if self.seal(epoch, self.place) == HypercallError::TooSoon as i64 {
                for past in [epoch - 1, epoch, 0] {
                    let answer = self.ask(past);
                    self.require(answer != 0 && answer != HypercallError::NotYet as i64);
                    write(FOREIGN);
                }
                continue;
            }
            epoch += 1;
        }
    }

    fn seal(&self, epoch: u64, owner: u64) -> i64 {
        let begin = channel(self.place);
        let seal = Seal::from_word(load(begin + 2 * HALF));
        let owner = Ownership::new(epoch, owner as usize).unwrap_or(Ownership::NONE);
        let word = begin + seal.open_half() as u64 * HALF + OWNER_WORD as u64 * 8;
        store(word, owner.to_word());
        self.guest.call(Hypercall::Seal as u64, self.place, epoch) as i64
    }

    fn ask(&self, epoch: u64) -> i64 {
        self.guest.call(Hypercall::Take as u64, 0, epoch) as i64
    }

    /// How many epochs all are done with that take turns.
    fn all_done(&self) -> u64 {
        let done = (0..GUESTS).map(|place| match said(place, DONE) {
            0 => 0,
            _ if place < self.lowest => self.epochs,
            done => done,
        });
        done.min().unwrap_or(0)
    }

    fn require(&self, holds: bool) {
        self.say(WRONG, said(self.place, WRONG) + u64::from(!holds));
    }

    fn say(&self, word: u64, value: u64) {
        store(channel(GUESTS + self.place) + word * 8, value);
    }
}

fn said(place: u64, word: u64) -> u64 {
    load(channel(GUESTS + place) + word * 8)
}

fn wait_for(holds: impl Fn() -> bool) {
    while !holds() {
        core::hint::spin_loop();
    }
}

fn channel(index: u64) -> u64 {
    CHANNEL_BASE.as_u64() + (index << 21)
}

fn read() -> u8 {
    // SAFETY: a register that only keeps what is written to it.
    unsafe { port::read_u8(SCRATCH) }
}

fn write(value: u8) {
    // SAFETY: as for `read`.
    unsafe { port::write_u8(SCRATCH, value) };
}

fn load(address: u64) -> u64 {
    // SAFETY: in a channel that the guest reads.
    unsafe { (address as *const u64).read_volatile() }
}

fn store(address: u64, value: u64) {
    // SAFETY: in what the guest writes of a channel of its own.
    unsafe { (address as *mut u64).write_volatile(value) };
}
