//! Work that comes again and again.

/// Work that comes again and again: in any window t at most ⌈(t + J)/P⌉ times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charge {
    /// How much each time.
    pub(super) each: u64,
    /// P, the least time between two arrivals.
    pub(super) period: u64,
    /// J, by how much more two of them may come together.
    pub(super) jitter: u64,
}

impl Charge {
    /// How often it comes in a half-open window of this length.
    pub(super) fn arrivals(&self, window: u64) -> u64 {
        window.saturating_add(self.jitter).div_ceil(self.period)
    }

    /// The shortest window in which as much comes as in one of this length.
    pub(super) fn since(&self, window: u64) -> u64 {
        let before = self.arrivals(window).saturating_sub(1);
        let since = before.saturating_mul(self.period).saturating_add(1);
        since.saturating_sub(self.jitter)
    }

    /// How much comes in a half-open window of this length.
    pub(super) fn within(&self, window: u64) -> u64 {
        self.arrivals(window).saturating_mul(self.each)
    }
}
