//! A program that writes down when it ran. Its argument says what it does; what it
//! leaves in its heap is read from outside.
//!
//! The heap's first word counts the pairs of timestamps that follow. When there is no
//! room left, the oldest pairs are overwritten.
#![no_std]
#![no_main]

use core::arch::asm;
use tern_abi::layout::HEAP_BASE;
use tern_app::{Job, Program, program, system};

/// Pairs that fit the 32 pages of heap that descriptions give it, unless it writes few.
const PAIRS: u64 = 8 * 1024 - 1;
/// Time between two looks at the clock from which on the program was not running. The
/// loop takes 7 instructions.
const GAP: u32 = 40;

/// What the argument chooses.
mod role {
    /// Looks at the clock all the time, and writes down each interruption.
    pub const SPIN: u64 = 0;
    /// Writes down the start of each job.
    pub const START: u64 = 1;
    /// Writes down the time before and after many system calls that do nothing.
    pub const CALL: u64 = 2;
    /// Gives way over and over, and writes down when it did and when it went on.
    pub const GIVE_WAY: u64 = 3;
}

struct Stamps {
    role: u64,
}

impl Program for Stamps {
    const INITIAL: Self = Self { role: 0 };

    fn start(&mut self, argument: u64) {
        self.role = argument;
    }

    #[inline(always)]
    fn job(&mut self, _: &mut Job<'_>) {
        match self.role {
            role::SPIN => spin(),
            role::START => {
                let now = timestamp();
                write_down(now, now);
            }
            role::CALL => {
                for _ in 0..100 {
                    call();
                }
            }
            role::GIVE_WAY => give_way(),
            _ => system::exit(self.role),
        }
    }
}

program!(Stamps);

#[inline(always)]
fn timestamp() -> u64 {
    let (high, low): (u64, u64);
    // SAFETY: reads a counter; the description lets this program.
    unsafe { asm!("rdtsc", out("rdx") high, out("rax") low, options(nostack)) };
    high << 32 | low
}

#[inline(always)]
fn write_down(before: u64, after: u64) {
    let heap = HEAP_BASE.as_u64() as *mut u64;
    // SAFETY: the description gives 32 pages of heap, or enough for as often as this is called
    // while it runs; nothing else uses them.
    unsafe {
        let count = heap.read_volatile();
        let pair = heap.add(2 + 2 * (count % PAIRS) as usize);
        pair.write_volatile(before);
        pair.add(1).write_volatile(after);
        heap.write_volatile(count + 1);
    }
}

fn spin() -> ! {
    loop {
        let (length, high, low): (u64, u64, u64);
        // SAFETY: reads a counter.
        unsafe {
            asm!(
                "rdtsc",
                "mov {last:e}, eax",
                "2:",
                "rdtsc",
                "mov {now:e}, eax",
                "sub eax, {last:e}",
                "mov {last:e}, {now:e}",
                "cmp eax, {gap}",
                "jbe 2b",
                last = out(reg) _,
                now = out(reg) low,
                gap = const GAP,
                out("rax") length,
                out("rdx") high,
                options(nomem, nostack)
            );
        }
        let after = high << 32 | low;
        write_down(after - length, after);
    }
}

/// A system call as [`system::null`] makes it, between two looks at the clock.
#[inline(always)]
fn call() {
    let before = timestamp();
    system::null();
    let after = timestamp();
    write_down(before, after);
}

fn give_way() -> ! {
    loop {
        let before = timestamp();
        system::give_way();
        let after = timestamp();
        write_down(before, after);
    }
}
