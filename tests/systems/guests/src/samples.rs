//! Times that a guest takes, and how it says them: a console line
//! `measured NAME MINIMUM MEDIAN MAXIMUM COUNT`, in ticks of the timestamp counter.
use crate::Guest;
use core::arch::asm;
use core::fmt::Write;
use core::hint::black_box;

/// Times that are kept.
pub const MOST: usize = 256;

/// Reads the timestamp counter where it stands in the program: as it may touch memory,
/// the compiler moves no access across it.
#[inline(always)]
#[must_use]
pub fn timestamp() -> u64 {
    let (high, low): (u64, u64);
    // SAFETY: reads a counter.
    unsafe { asm!("rdtsc", out("rdx") high, out("rax") low, options(nostack)) };
    high << 32 | low
}

/// Times of one operation.
#[derive(Debug)]
pub struct Samples {
    ticks: [u64; MOST],
    count: usize,
}

impl Samples {
    /// None yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a static needs it to be const")]
    pub const fn new() -> Self {
        Self {
            ticks: [0; MOST],
            count: 0,
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Keeps one, while there is room.
    #[inline(always)]
    pub fn add(&mut self, ticks: u64) {
        if let Some(place) = self.ticks.get_mut(self.count) {
            *place = ticks;
            self.count += 1;
        }
    }

    /// Times `operation` once.
    #[inline(always)]
    pub fn time<R>(&mut self, operation: impl FnOnce() -> R) -> R {
        let before = timestamp();
        let result = black_box(operation());
        let after = timestamp();
        if let Some(place) = self.ticks.get_mut(self.count) {
            *place = after - before;
            self.count += 1;
        }
        result
    }

    /// Says them as those of the scenario `name`.
    pub fn say(mut self, guest: &mut Guest, name: &str) {
        let ticks = &mut self.ticks[..self.count];
        ticks.sort_unstable();
        let [first, .., last] = ticks else { return };
        let (first, last) = (*first, *last);
        let median = ticks[ticks.len() / 2];
        // A console that fails is what the tool then sees.
        let _ = writeln!(
            guest,
            "measured {name} {first} {median} {last} {}",
            self.count
        );
    }
}
