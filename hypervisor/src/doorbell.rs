//! Doorbells: whom a sandbox may interrupt along a channel, and how often.
use alloc::vec::Vec;
use tern_abi::hypercall::HypercallError;

/// The doorbell of a channel, in the hands of the channel's writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doorbell {
    channel: u64,
    peers: Vec<u32>,
    interval: u64,
    last: Option<u64>,
}

impl Doorbell {
    /// A doorbell that has not rung: that of `channel`, for the cores with the APIC ids
    /// `peers`, at most once in `interval` ticks of the timestamp counter.
    #[must_use]
    pub const fn new(channel: u64, peers: Vec<u32>, interval: u64) -> Self {
        Self {
            channel,
            peers,
            interval,
            last: None,
        }
    }

    /// Rings the doorbell of `channel` if it is among `doorbells` and its interval has passed:
    /// calls `send` with each of its peers. `clock` is the timestamp counter.
    ///
    /// The interval counts from the end of one ring to the beginning of the next, so that no
    /// delay in between (a system management interrupt, an interrupt controller that is busy)
    /// brings two of them closer together than that. A ring that is refused changes nothing:
    /// who rings too often gets as many through as who waits.
    ///
    /// # Errors
    /// [`HypercallError::NotPermitted`] without such a doorbell, [`HypercallError::TooSoon`]
    /// before the interval has passed.
    pub fn ring(
        doorbells: &mut [Self],
        channel: u64,
        clock: impl Fn() -> u64,
        mut send: impl FnMut(u32),
    ) -> Result<(), HypercallError> {
        let known = doorbells.iter_mut().find(|bell| bell.channel == channel);
        let bell = known.ok_or(HypercallError::NotPermitted)?;
        let now = clock();
        // The difference of two readings on one core, whatever their values are.
        let is_too_soon = |last: u64| now.wrapping_sub(last) < bell.interval;
        if bell.last.is_some_and(is_too_soon) {
            return Err(HypercallError::TooSoon);
        }

        bell.peers.iter().for_each(|&peer| send(peer));

        bell.last = Some(clock());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::cell::Cell;
    use std::vec;

    /// Channel 3, read by cores 4 and 6, a ring in 100 ticks; and channel 5, a ring in 10.
    fn doorbells() -> [Doorbell; 2] {
        [
            Doorbell::new(3, vec![4, 6], 100),
            Doorbell::new(5, vec![6], 10),
        ]
    }

    /// What a ring at `now` gives, and who hears it.
    fn ring(
        doorbells: &mut [Doorbell],
        channel: u64,
        now: u64,
    ) -> (Result<(), HypercallError>, Vec<u32>) {
        let mut heard = Vec::new();
        let result = Doorbell::ring(doorbells, channel, || now, |peer| heard.push(peer));
        (result, heard)
    }

    #[test]
    fn a_doorbell_rings_for_all_readers_and_at_most_once_an_interval() {
        let (rings, refused) = ((Ok(()), vec![4, 6]), (Err(HypercallError::TooSoon), vec![]));
        let mut bells = doorbells();
        for (now, result) in [
            (7, &rings), // the first one at once
            (7, &refused),
            (8, &refused),
            (106, &refused), // refused ones count for nothing
            (107, &rings),
            (206, &refused),
            (10_000, &rings), // one that is late delays no other
            (10_100, &rings),
        ] {
            assert_eq!(ring(&mut bells, 3, now), *result, "at {now}");
        }
    }

    #[test]
    fn a_counter_that_begins_anew_silences_nothing() {
        let mut bells = doorbells();
        for now in [u64::MAX - 10, 89, 189] {
            assert_eq!(ring(&mut bells, 3, now).0, Ok(()), "at {now}");
        }
        // As if another value had been written to the counter: it has waited long enough.
        assert_eq!(ring(&mut bells, 3, 20).0, Ok(()));
    }

    #[test]
    fn each_doorbell_has_an_interval_of_its_own_and_others_are_not_known() {
        let mut bells = doorbells();
        for (channel, now, result) in [
            (3, 0, Ok(())),
            (5, 1, Ok(())),
            (5, 11, Ok(())),
            (3, 11, Err(HypercallError::TooSoon)),
            (4, 11, Err(HypercallError::NotPermitted)),
            (u64::MAX, 11, Err(HypercallError::NotPermitted)),
        ] {
            assert_eq!(
                ring(&mut bells, channel, now).0,
                result,
                "channel {channel}"
            );
        }
    }

    #[test]
    fn what_delays_a_ring_brings_the_next_no_closer() {
        let clock = Cell::new(0);
        let mut bells = doorbells();
        let mut sent = vec![];
        // Rung every 10 ticks; the first ring's interrupt to core 6 leaves 50 ticks late.
        for now in (0..400).step_by(10) {
            clock.set(clock.get().max(now));
            let send = |peer| {
                if (peer, now) == (6, 0) {
                    clock.set(50);
                }
                if peer == 6 {
                    sent.push(clock.get());
                }
            };
            let _ = Doorbell::ring(&mut bells, 3, || clock.get(), send);
        }
        assert_eq!(sent, [50, 150, 250, 350]);
    }
}
