//! Schedulability analysis of the servers in this crate, in integer time.
//!
//! A *server* is given as a [`ServerModel`], the servers of a core as a slice in order
//! of priority, the highest first. Results are durations; `None` means that no bound
//! exists, or none below some 146 years or within a fixed number of steps.
//!
//! | question | function | source |
//! | --- | --- | --- |
//! | when is a server's budget delivered? | [`server_responses`] | Joseph and Pandya 1986; Audsley et al. 1993; Lehoczky 1990 |
//! | may this set be admitted at once? | [`admissible`] | Liu and Layland 1973; Danish, Li, West 2011 |
//! | how much service in t, how long for e? | [`Supply`] | Shin and Lee 2003 |
//! | when does a thread in a server finish? | [`thread_responses`] | Davis and Burns 2005; Shin and Lee 2003; Chen et al. 2019 |
//! | and where every job finds the budget whole? | [`in_step_response`] | Sprunt, Sha, Lehoczky 1989; Danish, Li, West 2011 |
//! | how long does a message take? | [`channel_latency`] | supply bounds, composed |
//! | and across cores, in a circle? | [`fixed_point`] | Tindell and Clark 1994 |
//! | how long does a repair take? | [`repair_bound`] | its proof |
//! | how long does a list of replenishments get? | [`Room`], [`periods_behind`] | its proof |
//! | and while the donor runs on, if it ends? | [`recovery_bound`] | Clark et al. 2005 |
mod across;
mod admission;
mod channel;
mod cost;
mod in_step;
mod level;
mod recovery;
mod repair;
mod room;
mod servers;
mod supply;
mod threads;

pub use across::{Dependency, DependencyKind, Threads, fixed_point};
pub use admission::{admissible, liu_layland_bound};
pub use channel::{Endpoint, channel_latency};
pub use cost::CostTable;
pub use in_step::in_step_response;
pub use recovery::{Copying, RecoveryBound, RecoveryObstacle, recovery_bound};
pub use repair::{
    MOST_REPAIR_PAGES, Repair, RepairBound, RepairObstacle, RepairPlace, repair_bound,
};
pub use room::{Room, Waking, periods_behind};
pub use servers::{ServerModel, ServerResponses, server_response, server_responses};
pub use supply::Supply;
pub use threads::{Bound, ServerContext, ThreadModel, ThreadResponse, thread_responses};

/// Beyond this many nanoseconds a fixed point is taken not to exist.
const HORIZON: u64 = 1 << 62;

/// A bound that takes more steps than this is taken not to exist.
const MAX_STEPS: u32 = 1 << 16;

/// The steps left for one bound, so that no input keeps the analysis busy for long.
struct Steps(u32);

impl Steps {
    const fn new() -> Self {
        Self(MAX_STEPS)
    }

    fn take(&mut self) -> Option<()> {
        self.0 = self.0.checked_sub(1)?;
        Some(())
    }
}

/// The least fixed point of `next` at or above `start`, for `next` monotonic with
/// `next(start) >= start`; `next` may take steps of its own, and end the search.
fn least_fixed_point(
    start: u64,
    steps: &mut Steps,
    mut next: impl FnMut(u64, &mut Steps) -> Option<u64>,
) -> Option<u64> {
    let mut value = start;
    loop {
        steps.take()?;
        let following = next(value, steps)?.max(value);
        if following == value {
            return Some(value);
        }
        if following >= HORIZON {
            return None;
        }
        value = following;
    }
}

/// Work in every period as a share of the core, in units of 2⁻⁶⁴, rounded down.
fn utilization(work: u64, period: u64) -> u128 {
    (u128::from(work) << 64) / u128::from(period.max(1))
}

/// `factor × numerator / denominator`, rounded up; saturates.
fn scale_up(factor: u64, numerator: u64, denominator: u64) -> u64 {
    let scaled = (u128::from(factor) * u128::from(numerator)).div_ceil(u128::from(denominator));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
