//! Seals: which half of a sealed channel its readers read, and which its writer may write; and the
//! numbers that readers close. What they are is in `tern_abi::seal`.
//!
//! A seal's word is changed by compare-and-swap alone, by the cores of the channel's writer and of
//! its readers: who is first decides for all. Only the writer's own core, while its guest does not
//! run, changes which half is open: a reader that closes a number leaves that as it is. So the
//! choice of nested tables, by which the writer may write one half, never changes under it, and is
//! right whatever readers close meanwhile.
use core::sync::atomic::{AtomicU64, Ordering};

use tern_abi::hypercall::HypercallError;
use tern_abi::seal::Seal;
use tern_units::{Duration, TscFrequency};

/// The timestamp counter at the time epoch. Before boot has chosen that nothing is sealed.
pub static TIME_EPOCH: AtomicU64 = AtomicU64::new(u64::MAX);

/// Billionths of ticks in a tick.
const BILLION: u128 = 1_000_000_000;

/// The seal of a channel, and when its numbers begin.
#[derive(Clone, Copy, Debug)]
pub struct ChannelSeal {
    word: &'static AtomicU64,
    /// The time from one number to the next, in billionths of ticks, which is exact.
    interval: u128,
}

impl ChannelSeal {
    /// The seal with this word, which has a new number every `interval`.
    #[must_use]
    pub fn new(word: &'static AtomicU64, interval: Duration, tsc: TscFrequency) -> Self {
        Self {
            word,
            interval: billionths(interval, tsc),
        }
    }

    /// Returns its word.
    #[must_use]
    pub const fn word(&self) -> &'static AtomicU64 {
        self.word
    }

    fn load(&self) -> Seal {
        Seal::from_word(self.word.load(Ordering::Relaxed))
    }

    /// Returns whether `number` has begun so many billionths of ticks ago, so many ticks after the
    /// time epoch. Without this a number that is far too high would be the last one that there is.
    fn has_begun(&self, number: u64, ago: u128, ticks: u64) -> bool {
        let begin = u128::from(number).checked_mul(self.interval);
        let instant = begin.and_then(|begin| begin.checked_add(ago));
        instant.is_some_and(|instant| instant <= u128::from(ticks) * BILLION)
    }

    /// Makes of the seal what `change` makes of it, at once; `None` if it makes nothing of it.
    ///
    /// A turn is repeated only where another core has changed the word since its beginning, for
    /// which that core takes a hypercall of its own: more instructions than a turn, so that one that
    /// does nothing else cannot spoil two turns in a row.
    fn change(&self, change: impl Fn(Seal) -> Option<Seal>) -> Option<()> {
        let change = |word| change(Seal::from_word(word)).map(Seal::to_word);
        // What the writer wrote is there for whoever finds it sealed.
        let changed = self
            .word
            .fetch_update(Ordering::Release, Ordering::Relaxed, change);
        changed.ok().map(drop)
    }
}

fn billionths(span: Duration, tsc: TscFrequency) -> u128 {
    u128::from(span.as_nanos()) * u128::from(tsc.hertz())
}

/// A sealed channel in the hands of its writer.
#[derive(Clone, Copy, Debug)]
pub struct SealedChannel {
    channel: u64,
    seal: ChannelSeal,
    /// The time from a number's begin to when it may be sealed, in billionths of ticks.
    from: u128,
}

impl SealedChannel {
    /// The channel of that index in the description, with this seal, whose numbers may be sealed
    /// from `from` after their begin on.
    #[must_use]
    pub fn new(channel: u64, seal: ChannelSeal, from: Duration, tsc: TscFrequency) -> Self {
        Self {
            channel,
            seal,
            from: billionths(from, tsc),
        }
    }

    /// Returns its seal.
    #[must_use]
    pub const fn seal(&self) -> &ChannelSeal {
        &self.seal
    }
}

/// Seals channel `channel` of these as `number`, so many ticks after the time epoch, and returns
/// the choice of nested tables (`Reach::choices`) by which its writer goes on.
///
/// # Errors
/// [`HypercallError::NotPermitted`] if it is none of these, [`HypercallError::TooSoon`] before the
/// number's time, [`HypercallError::BadArgument`] if a number as high has been sealed or closed
/// already.
pub fn seal(
    channels: &[SealedChannel],
    channel: u64,
    number: u64,
    ticks: u64,
) -> Result<usize, HypercallError> {
    let sealed = channels.iter().find(|sealed| sealed.channel == channel);
    let SealedChannel { seal, from, .. } = sealed.ok_or(HypercallError::NotPermitted)?;
    if !seal.has_begun(number, *from, ticks) {
        return Err(HypercallError::TooSoon);
    }
    seal.change(|last| last.next(number))
        .ok_or(HypercallError::BadArgument)?;

    let open = channels.iter().map(|it| it.seal.load().open_half());
    Ok(open.rev().fold(0, |choice, half| choice << 1 | half))
}

/// A sealed channel in the hands of a reader that may close it.
#[derive(Clone, Copy, Debug)]
pub struct ClosableChannel {
    seal: ChannelSeal,
    /// The time from a number's begin to when it may be closed, in billionths of ticks.
    close: u128,
}

impl ClosableChannel {
    /// The channel with this seal, whose numbers may be closed from `close` after their begin on.
    #[must_use]
    pub fn new(seal: ChannelSeal, close: Duration, tsc: TscFrequency) -> Self {
        Self {
            seal,
            close: billionths(close, tsc),
        }
    }

    /// Returns its seal.
    #[must_use]
    pub const fn seal(&self) -> &ChannelSeal {
        &self.seal
    }
}

/// Closes `number` of those of these channels whose bit is set in `mask`, the first one's the
/// lowest, so many ticks after the time epoch. Where a number as high has been sealed or closed
/// there is nothing to do.
///
/// # Errors
/// [`HypercallError::NotPermitted`] if a bit is set for which there is no channel,
/// [`HypercallError::TooSoon`] before the time to close one of them: then none is closed.
pub fn close(
    channels: &[ClosableChannel],
    mask: u64,
    number: u64,
    ticks: u64,
) -> Result<(), HypercallError> {
    let beyond = mask.checked_shr(channels.len() as u32).unwrap_or(0);
    if beyond != 0 {
        return Err(HypercallError::NotPermitted);
    }
    let named = || {
        let bits = (0..u64::BITS).zip(channels);
        bits.filter_map(|(bit, channel)| (mask >> bit & 1 != 0).then_some(channel))
    };
    if !named().all(|it| it.seal.has_begun(number, it.close, ticks)) {
        return Err(HypercallError::TooSoon);
    }
    for ClosableChannel { seal, .. } in named() {
        // Nothing changes what is decided already.
        let _ = seal.change(|last| last.closed(number));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::boxed::Box;

    fn word() -> &'static AtomicU64 {
        Box::leak(Box::new(AtomicU64::new(0)))
    }

    /// Channels 3 and 8 at 3 GHz: a number every 10 ms, and every 7 ns, which is 21 ticks.
    fn channels() -> [SealedChannel; 2] {
        let tsc = TscFrequency::from_hertz(3_000_000_000).unwrap();
        [(3, 10_000_000), (8, 7)].map(|(channel, nanos)| {
            let seal = ChannelSeal::new(word(), Duration::from_nanos(nanos), tsc);
            SealedChannel::new(channel, seal, Duration::ZERO, tsc)
        })
    }

    #[test]
    fn a_seal_exchanges_the_halves_of_its_channel_and_of_no_other() {
        let channels = channels();
        for (channel, number, choice) in [(3, 0, 0b01), (8, 0, 0b11), (8, 1, 0b01), (3, 1, 0b00)] {
            let result = seal(&channels, channel, number, 1 << 40);
            assert_eq!(result, Ok(choice), "channel {channel}, number {number}");
            let of = |it: &SealedChannel| (it.channel == channel).then(|| it.seal.load().number());
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

    /// What is sealed stands until then, for whoever reads it that late.
    #[test]
    fn a_number_may_be_sealed_from_a_time_after_its_begin_alone() {
        let tsc = TscFrequency::from_hertz(1_000_000_000).unwrap();
        let nanos = Duration::from_nanos;
        let own = ChannelSeal::new(word(), nanos(100), tsc);
        let channels = [SealedChannel::new(0, own, nanos(40), tsc)];
        for (number, ticks, result) in [
            (0, 39, Err(HypercallError::TooSoon)),
            (0, 40, Ok(1)),
            (1, 100, Err(HypercallError::TooSoon)),
            (1, 139, Err(HypercallError::TooSoon)),
            (1, 140, Ok(0)),
        ] {
            let sealed = seal(&channels, 0, number, ticks);
            assert_eq!(sealed, result, "number {number} at {ticks}");
        }
    }

    #[test]
    fn an_interval_that_is_no_whole_number_of_ticks_does_not_drift() {
        let tsc = TscFrequency::from_hertz(2_599_999_999).unwrap();
        let seal = ChannelSeal::new(word(), Duration::from_nanos(100_000_003), tsc);
        // In a hundred years.
        let number = 31_556_952_000_u64;
        let exact = u128::from(number) * 100_000_003 * 2_599_999_999;
        let at = u64::try_from(exact.div_ceil(BILLION)).unwrap();
        assert!(seal.has_begun(number, 0, at));
        assert!(!seal.has_begun(number, 0, at - 1));
    }

    /// The same two channels in the hands of a reader: closed 4 ms after the begin of a number,
    /// and 3 ns, which is 9 ticks.
    fn closable(channels: &[SealedChannel; 2]) -> [ClosableChannel; 2] {
        let tsc = TscFrequency::from_hertz(3_000_000_000).unwrap();
        let [first, second] = channels.map(|it| it.seal);
        [(first, 4_000_000), (second, 3)]
            .map(|(seal, nanos)| ClosableChannel::new(seal, Duration::from_nanos(nanos), tsc))
    }

    fn numbers(channels: &[SealedChannel; 2]) -> [Option<u64>; 2] {
        channels.map(|it| it.seal.load().number())
    }

    #[test]
    fn who_is_first_decides_whether_a_number_was_sealed() {
        let channels = channels();
        let closable = closable(&channels);
        let old = Err(HypercallError::BadArgument);
        assert_eq!(seal(&channels, 8, 1, 30), Ok(0b10));
        assert_eq!(close(&closable, 0b10, 1, 30), Ok(()), "it was sealed");
        assert_eq!(channels[1].seal.load().open_half(), 1);

        assert_eq!(close(&closable, 0b10, 2, 51), Ok(()));
        assert_eq!(numbers(&channels), [None, Some(2)]);
        assert_eq!(seal(&channels, 8, 2, 51), old, "it was closed");
        assert_eq!(seal(&channels, 8, 1, 51), old);
        assert_eq!(channels[1].seal.load().open_half(), 1, "the halves stay");
        assert_eq!(close(&closable, 0b10, 1, 51), Ok(()), "nothing goes back");
        assert_eq!(numbers(&channels), [None, Some(2)]);

        // Of all channels' halves, the writer's next choice is right again.
        assert_eq!(seal(&channels, 3, 0, 51), Ok(0b11));
        assert_eq!(seal(&channels, 8, 3, 63), Ok(0b01));
    }

    #[test]
    fn a_number_is_closed_in_all_channels_that_a_call_names_or_in_none() {
        let (forbidden, too_soon) = (HypercallError::NotPermitted, HypercallError::TooSoon);
        let channels = channels();
        let closable = closable(&channels);
        // Number 0 of the first begins at 0, and may be closed 4 ms later.
        let late = 12_000_000;
        for (mask, number, ticks, result) in [
            (0b100, 0, u64::MAX, Err(forbidden)),
            (0b111, 0, u64::MAX, Err(forbidden)),
            (u64::MAX, 0, u64::MAX, Err(forbidden)),
            (1 << 63, 0, u64::MAX, Err(forbidden)),
            (0b10, 0, 8, Err(too_soon)),
            (0b11, 0, late - 1, Err(too_soon)),
            (0b10, 1 << 62, u64::MAX, Err(too_soon)),
            (0b10, u64::MAX, u64::MAX, Err(too_soon)),
            (0, u64::MAX, 0, Ok(())),
        ] {
            let closed = close(&closable, mask, number, ticks);
            assert_eq!(closed, result, "{mask:#b}, {number} at {ticks}");
            assert_eq!(numbers(&channels), [None, None]);
        }
        assert_eq!(close(&closable, 0b10, 0, 9), Ok(()));
        assert_eq!(numbers(&channels), [None, Some(0)]);
        assert_eq!(close(&closable, 0b11, 0, late), Ok(()));
        assert_eq!(numbers(&channels), [Some(0), Some(0)]);
    }

    #[test]
    fn a_bit_stands_for_each_of_as_many_channels_as_there_can_be() {
        for count in [0, 1, 32, 64] {
            let tsc = TscFrequency::from_hertz(1_000_000_000).unwrap();
            let channel = || {
                let seal = ChannelSeal::new(word(), Duration::from_nanos(10), tsc);
                ClosableChannel::new(seal, Duration::from_nanos(1), tsc)
            };
            let channels: std::vec::Vec<_> = (0..count).map(|_| channel()).collect();
            let all = (1_u128 << count) as u64;
            let all = all.wrapping_sub(1);
            assert_eq!(close(&channels, all, 0, 1), Ok(()), "{count}");
            assert!(channels.iter().all(|it| it.seal.load().number() == Some(0)));
        }
    }
}
