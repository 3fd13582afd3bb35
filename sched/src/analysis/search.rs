//! Searches for least fixed points in integer time, each of a bounded number of steps.

/// Beyond this many nanoseconds a fixed point is taken not to exist.
pub(super) const HORIZON: u64 = 1 << 62;

/// More rounds than this a search across cores does not take.
pub(super) const MAX_ROUNDS: u32 = 1 << 16;

/// Why a search has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// There is none, or none below [`HORIZON`].
    Unbounded,
    /// The steps ended first: there may be one.
    GaveUp,
}

/// The steps that searches may take: a step looks at one server or thread in one window, and
/// takes some nanoseconds.
#[derive(Clone, Debug)]
pub struct Steps {
    /// For the search that has begun.
    left: u64,
    /// For later ones.
    saved: u64,
    /// Each search adds so many,
    grant: u64,
    /// and takes so many at most.
    most: u64,
}

impl Steps {
    /// Those for the searches on a core with this number of servers. Each search is granted some,
    /// and what it leaves is there for later ones: so the time for all of them is in proportion
    /// to their number, whatever the numbers are, and the few that are hard have much of it.
    #[must_use]
    pub const fn for_servers(servers: usize) -> Self {
        const MOST: u64 = 1 << 18;
        Self {
            left: MOST,
            saved: 0,
            grant: if servers > 64 { 1 << 12 } else { 1 << 14 },
            most: MOST,
        }
    }

    /// Those for one question beside the searches: where they do not suffice, there is an answer
    /// on the safe side.
    pub(super) const fn for_a_question() -> Self {
        let mut steps = Self::in_all(0, 0);
        steps.left = 1 << 14;
        steps
    }

    /// So many for all searches together, and for each search so many `most`.
    #[must_use]
    pub const fn in_all(steps: u64, most: u64) -> Self {
        Self {
            left: 0,
            saved: steps,
            grant: 0,
            most,
        }
    }

    /// How many are left for the search that has begun.
    pub(super) const fn left(&self) -> u64 {
        self.left
    }

    /// Begins a search.
    pub(super) fn begin(&mut self) {
        let all = self
            .left
            .saturating_add(self.saved)
            .saturating_add(self.grant);
        self.left = all.min(self.most);
        // What each is granted is not saved beyond what one may take.
        self.saved = if self.grant > 0 { 0 } else { all - self.left };
    }

    /// Takes a step for each of `terms` servers or threads that are looked at.
    pub(super) fn take(&mut self, terms: usize) -> Result<(), Ending> {
        let terms = (terms as u64).max(1);
        match self.left.checked_sub(terms) {
            Some(left) => self.left = left,
            None => {
                self.left = 0;
                return Err(Ending::GaveUp);
            }
        }
        Ok(())
    }
}

/// The least fixed point of `next` at or above `start`, for `next` monotonic with
/// `next(start) >= start`; `next` takes the steps.
pub(super) fn least_fixed_point(
    start: u64,
    mut next: impl FnMut(u64) -> Result<u64, Ending>,
) -> Result<u64, Ending> {
    let mut value = start;
    loop {
        let following = next(value)?.max(value);
        if following == value {
            return Ok(value);
        }
        if following >= HORIZON {
            return Err(Ending::Unbounded);
        }
        value = following;
    }
}

/// Work in every period as a share of the core, in units of 2⁻⁶⁴, rounded down.
pub(super) fn utilization(work: u64, period: u64) -> u128 {
    (u128::from(work) << 64) / u128::from(period.max(1))
}

/// `factor × numerator / denominator`, rounded up; saturates.
pub(super) fn scale_up(factor: u64, numerator: u64, denominator: u64) -> u64 {
    let product = u128::from(factor) * u128::from(numerator);
    let denominator = denominator.max(1);
    // A division of 64 bits is several times as fast.
    match u64::try_from(product) {
        Ok(product) => product.div_ceil(denominator),
        Err(_) => u64::try_from(product.div_ceil(u128::from(denominator))).unwrap_or(u64::MAX),
    }
}
