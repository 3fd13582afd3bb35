//! How long it takes to repair a replica by copying pages while the donor runs on and
//! dirties pages, and whether it ends at all.
//!
//! Pre-copy as in Clark et al., "Live migration of virtual machines", NSDI 2005, on the
//! supply of servers (Shin and Lee 2003). It converges iff w·c·T/C < 1 for w pages
//! dirtied a unit of time, c the cost of a page: iff a page is copied faster than the
//! next is dirtied.
use super::search::HORIZON;
use super::supply::Supply;
use core::fmt;
use tern_units::Duration;

/// Pages on their way from a donor to the replica that is repaired. Each does its part
/// within its own server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copying {
    /// Pages that differ at the start.
    pub pages: u64,
    /// Pages of the program in all.
    pub total: u64,
    /// What the donor's server supplies.
    pub donor: Supply,
    /// What the repaired replica's server supplies.
    pub target: Supply,
    /// The donor's work for a page: copy and hashes.
    pub donor_cost: Duration,
    /// The target's work for a page: copy and hashes.
    pub target_cost: Duration,
    /// Fixed delay of a round: polling, and whatever else a message takes.
    pub latency: Duration,
    /// Pages that the donor dirties in each of its periods, at most.
    pub dirtied: u64,
    /// The donor's period, a job each.
    pub period: Duration,
}

impl Copying {
    /// The longest time that a round of this many pages takes, the target starting when
    /// the donor is done; `None` if there is no bound.
    fn round(&self, pages: u64) -> Option<Duration> {
        let donor = self.donor.time_for(self.donor_cost.checked_mul(pages)?);
        let target = self.target.time_for(self.target_cost.checked_mul(pages)?);
        let time = donor.checked_add(self.latency)?.checked_add(target)?;
        (time.as_nanos() < HORIZON).then_some(time)
    }

    /// Whether this many pages fit in one budget on both sides.
    fn fits_one_budget(&self, pages: u64) -> bool {
        let fits = |cost: Duration, supply: Supply| {
            cost.checked_mul(pages)
                .is_some_and(|work| work <= supply.budget())
        };
        fits(self.donor_cost, self.donor) && fits(self.target_cost, self.target)
    }
}

/// A bound on a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryBound {
    /// From its start to the last page in place.
    pub time: Duration,
    /// Rounds.
    pub rounds: u64,
    /// Pages copied in all, those that were dirtied again included.
    pub copied: u64,
}

/// Why a repair has no bound, with the numbers to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryObstacle {
    /// As many pages are dirtied as are copied in the same time, or more.
    Dirtied {
        /// Pages dirtied meanwhile. Fewer must be.
        dirtied: u64,
        /// Pages copied. More must be: raise the budgets, or shorten their periods.
        copied: u64,
    },
    /// It does converge, but not within so many rounds.
    Rounds {
        /// The cap.
        cap: u64,
        /// Pages left then.
        left: u64,
    },
}

impl fmt::Display for RecoveryObstacle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dirtied { dirtied, copied } => write!(
                out,
                "{dirtied} pages are dirtied while {copied} are copied: dirty fewer pages a \
                 job, or give donor and target more budget"
            ),
            Self::Rounds { cap, left } => write!(
                out,
                "{left} pages are left after {cap} rounds: allow more rounds, or give donor \
                 and target more budget"
            ),
        }
    }
}

impl core::error::Error for RecoveryObstacle {}

/// The time to repair by pre-copy while the donor runs, from a release of its job on: each
/// round copies what was dirtied in the round before; when the rest fits in one budget it
/// is copied from the next release on, with the donor at rest.
///
/// # Errors
/// If the repair does not converge, or not within `cap` rounds.
pub fn recovery_bound(copying: &Copying, cap: u64) -> Result<RecoveryBound, RecoveryObstacle> {
    let mut left = copying.pages.min(copying.total);
    let (mut time, mut copied) = (Duration::ZERO, 0_u64);
    for round in 1..=cap {
        let unbounded = RecoveryObstacle::Dirtied {
            dirtied: copying.total,
            copied: left,
        };
        let took = copying.round(left).ok_or(unbounded)?;
        let last = copying.fits_one_budget(left);
        if last && round > 1 {
            time = time.saturating_add(copying.period);
        }
        time = time.saturating_add(took);
        copied = copied.saturating_add(left);
        // Only the first round begins with a job: another may have begun before a later one.
        let jobs = took.as_nanos().div_ceil(copying.period.as_nanos().max(1));
        let jobs = jobs.saturating_add(u64::from(round > 1));
        let dirtied = copying.dirtied.saturating_mul(jobs).min(copying.total);
        if dirtied == 0 || last {
            return Ok(RecoveryBound {
                time,
                rounds: round,
                copied,
            });
        }
        if dirtied >= left && !copying.fits_one_budget(dirtied) {
            return Err(RecoveryObstacle::Dirtied {
                dirtied,
                copied: left,
            });
        }
        left = dirtied;
    }
    Err(RecoveryObstacle::Rounds { cap, left })
}
