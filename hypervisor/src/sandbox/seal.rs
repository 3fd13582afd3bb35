//! Seals: which half of a sealed channel its readers read, and which its writer, this sandbox, may
//! write. What they are is in `tern_abi::seal`.
//!
//! Only the writer's own core changes a seal's word, while its guest does not run.
use core::sync::atomic::{AtomicU64, Ordering};

use tern_abi::hypercall::HypercallError;
use tern_abi::seal::Seal;
use tern_units::{Duration, TscFrequency};

/// The timestamp counter at the time epoch. Before boot has chosen that nothing is sealed.
pub static TIME_EPOCH: AtomicU64 = AtomicU64::new(u64::MAX);

/// A sealed channel in the hands of its writer.
#[derive(Clone, Copy, Debug)]
pub struct SealedChannel {
    channel: u64,
    word: &'static AtomicU64,
    /// The time from one number to the next, in billionths of ticks, which is exact.
    interval: u128,
}

/// Billionths of ticks in a tick.
const BILLION: u128 = 1_000_000_000;

impl SealedChannel {
    /// The channel of index `channel`, whose seal has this word, and a new number every
    /// `interval`.
    #[must_use]
    pub fn new(
        channel: u64,
        word: &'static AtomicU64,
        interval: Duration,
        tsc: TscFrequency,
    ) -> Self {
        Self {
            channel,
            word,
            interval: u128::from(interval.as_nanos()) * u128::from(tsc.hertz()),
        }
    }

    /// Returns its seal's word.
    #[must_use]
    pub const fn word(&self) -> &'static AtomicU64 {
        self.word
    }

    fn seal(&self) -> Seal {
        Seal::from_word(self.word.load(Ordering::Relaxed))
    }

    /// Returns whether the time of `number` has come, so many ticks after the time epoch. Without
    /// this a number that is far too high would be the last one that there is.
    fn is_time_for(&self, number: u64, ticks: u64) -> bool {
        let begin = u128::from(number).checked_mul(self.interval);
        begin.is_some_and(|begin| begin <= u128::from(ticks) * BILLION)
    }
}

/// Seals channel `channel` of these as `number`, so many ticks after the time epoch, and returns
/// the choice of nested tables (`Reach::choices`) by which its writer goes on.
///
/// # Errors
/// [`HypercallError::NotPermitted`] if it is none of these, [`HypercallError::TooSoon`] before the
/// number's time, [`HypercallError::BadArgument`] if a number as high has been given already.
pub fn seal(
    channels: &[SealedChannel],
    channel: u64,
    number: u64,
    ticks: u64,
) -> Result<usize, HypercallError> {
    let sealed = channels.iter().find(|sealed| sealed.channel == channel);
    let sealed = sealed.ok_or(HypercallError::NotPermitted)?;
    if !sealed.is_time_for(number, ticks) {
        return Err(HypercallError::TooSoon);
    }
    let next = sealed.seal().next(number);
    let next = next.ok_or(HypercallError::BadArgument)?;
    sealed.word.store(next.to_word(), Ordering::Release);

    let open = channels.iter().map(|it| it.seal().open_half());
    Ok(open.rev().fold(0, |choice, half| choice << 1 | half))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::boxed::Box;

    /// Channels 3 and 8 at 3 GHz: a number every 10 ms, and every 7 ns, which is 21 ticks.
    fn channels() -> [SealedChannel; 2] {
        let tsc = TscFrequency::from_hertz(3_000_000_000).unwrap();
        [(3, 10_000_000), (8, 7)].map(|(channel, nanos)| {
            let word = Box::leak(Box::new(AtomicU64::new(0)));
            SealedChannel::new(channel, word, Duration::from_nanos(nanos), tsc)
        })
    }

    #[test]
    fn a_seal_exchanges_the_halves_of_its_channel_and_of_no_other() {
        let channels = channels();
        for (channel, number, choice) in [(3, 0, 0b01), (8, 0, 0b11), (8, 1, 0b01), (3, 1, 0b00)] {
            let result = seal(&channels, channel, number, 1 << 40);
            assert_eq!(result, Ok(choice), "channel {channel}, number {number}");
            let of = |it: &SealedChannel| (it.channel == channel).then(|| it.seal().number());
            assert_eq!(channels.iter().find_map(of), Some(Some(number)));
        }
        assert_eq!(
            seal(&channels, 4, 9, 1 << 40),
            Err(HypercallError::NotPermitted)
        );
    }

    #[test]
    fn no_number_comes_before_its_time_and_none_twice() {
        let (too_soon, old) = (HypercallError::TooSoon, HypercallError::BadArgument);
        let channels = channels();
        for (number, ticks, result) in [
            (1, 20, Err(too_soon)),
            (1, 21, Ok(0b10)),
            (1, 1000, Err(old)),
            (0, 1000, Err(old)),
            (5, 104, Err(too_soon)),
            (5, 105, Ok(0b00)),
            (u64::MAX, u64::MAX, Err(too_soon)),
            (1 << 62, u64::MAX, Err(too_soon)),
            // What is refused changes nothing.
            (6, 126, Ok(0b10)),
        ] {
            let sealed = seal(&channels, 8, number, ticks);
            assert_eq!(sealed, result, "number {number} at {ticks}");
        }
    }

    #[test]
    fn an_interval_that_is_no_whole_number_of_ticks_does_not_drift() {
        let tsc = TscFrequency::from_hertz(2_599_999_999).unwrap();
        let word = Box::leak(Box::new(AtomicU64::new(0)));
        let channel = SealedChannel::new(0, word, Duration::from_nanos(100_000_003), tsc);
        // In a hundred years.
        let number = 31_556_952_000_u64;
        let exact = u128::from(number) * 100_000_003 * 2_599_999_999;
        let at = u64::try_from(exact.div_ceil(BILLION)).unwrap();
        assert!(channel.is_time_for(number, at));
        assert!(!channel.is_time_for(number, at - 1));
    }
}
