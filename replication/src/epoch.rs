//! All instants of an epoch.
use tern_config::layout::REPAIR_LOOKS;
use tern_units::{Duration, Instant};

/// The times of a replica set's protocol, each counted from the release that begins an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// From release to release.
    pub period: Duration,
    /// By then ballots are cast; the vote begins.
    pub ballot_deadline: Duration,
    /// By then the verdict stands; repairs begin.
    pub verdict_deadline: Duration,
}

impl Times {
    /// Returns the epoch that `now` is in.
    #[must_use]
    pub fn epoch_at(&self, now: Instant) -> u64 {
        now.as_nanos() / self.period.as_nanos().max(1)
    }

    /// Returns the epoch whose ballots were due last by `now`; `None` before those of the
    /// first.
    #[must_use]
    pub fn voted_on_at(&self, now: Instant) -> Option<u64> {
        let since = now.checked_since(Instant::EPOCH.saturating_add(self.ballot_deadline))?;
        Some(since.as_nanos() / self.period.as_nanos().max(1))
    }

    /// Returns the release of an epoch.
    #[must_use]
    pub fn release(&self, epoch: u64) -> Instant {
        Instant::EPOCH.saturating_add(self.period.saturating_mul(epoch))
    }

    /// Returns the release of the epoch after.
    #[must_use]
    pub fn next_release(&self, epoch: u64) -> Instant {
        self.release(epoch.saturating_add(1))
    }

    /// Returns when the ballots of an epoch are due.
    #[must_use]
    pub fn ballots_due(&self, epoch: u64) -> Instant {
        self.release(epoch).saturating_add(self.ballot_deadline)
    }

    /// Returns the time between two looks at what another replica, or a voter, has done since the
    /// verdict was due. The bound on repairs relies on looks being that far apart from instant to
    /// instant.
    #[must_use]
    pub fn pause(&self) -> Duration {
        let rest = self.period.saturating_sub(self.verdict_deadline);
        Duration::from_nanos((rest.as_nanos() / REPAIR_LOOKS).max(1))
    }

    /// Returns when the verdict on an epoch is due.
    #[must_use]
    pub fn verdict_due(&self, epoch: u64) -> Instant {
        self.release(epoch).saturating_add(self.verdict_deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        period: Duration::from_nanos(100),
        ballot_deadline: Duration::from_nanos(40),
        verdict_deadline: Duration::from_nanos(75),
    };

    #[test]
    fn every_instant_is_in_one_epoch_and_one_vote_is_the_last_due() {
        for (now, epoch, voted_on) in [
            (0, 0, None),
            (39, 0, None),
            (40, 0, Some(0)),
            (99, 0, Some(0)),
            (100, 1, Some(0)),
            (139, 1, Some(0)),
            (140, 1, Some(1)),
            (1_000_000, 10_000, Some(9_999)),
        ] {
            let now = Instant::from_nanos(now);
            assert_eq!(TIMES.epoch_at(now), epoch);
            assert_eq!(TIMES.voted_on_at(now), voted_on);
        }
    }

    #[test]
    fn no_number_is_too_large() {
        let never = TIMES.release(u64::MAX);
        assert_eq!(never, Instant::NEVER);
        assert_eq!(TIMES.next_release(u64::MAX), Instant::NEVER);
        assert_eq!(TIMES.verdict_due(u64::MAX), Instant::NEVER);
        let none = Times {
            period: Duration::ZERO,
            ..TIMES
        };
        assert_eq!(none.epoch_at(Instant::from_nanos(7)), 7);
    }
}
