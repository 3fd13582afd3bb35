//! Where the state of a replica comes from.
use tern_vote::Origin;

/// Where a replica's state comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ancestry {
    /// The agreed verdict; none for a state that comes from nowhere.
    pub(super) origin: Option<Origin>,
    /// One more than the epoch of the last job that the state has seen.
    pub(super) jobs_until: u64,
}

impl Ancestry {
    const NOWHERE: u64 = u64::MAX;

    pub(super) const fn to_words(self) -> [u64; 3] {
        match self.origin {
            Some(origin) => [origin.after, origin.digest, self.jobs_until],
            None => [Self::NOWHERE, 0, self.jobs_until],
        }
    }

    pub(super) fn from_words([after, digest, jobs_until]: [u64; 3]) -> Self {
        let origin = Origin { after, digest };
        Self {
            origin: (after != Self::NOWHERE).then_some(origin),
            jobs_until,
        }
    }
}
