//! A state that replicas agree on, and the verdict that it was agreed by.
use crate::Set;
use crate::layout::purpose;
use crate::summary::Summary;

/// A state that a majority has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Its pages.
    pub pages: u32,
    /// Their summary.
    pub summary: Summary,
    /// One more than the epoch of the last job that it has seen; zero before the first.
    pub jobs_until: u64,
}

/// The agreed verdict that a replica's state comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// One more than the verdict's epoch; zero for the state before the first epoch.
    pub after: u64,
    /// The digest of the state that it agreed on, in that epoch.
    pub digest: u64,
}

impl Origin {
    /// The state that all replicas have before the first epoch.
    pub const START: Self = Self {
        after: 0,
        digest: 0,
    };

    /// The verdict on `epoch`, which agreed on `state`, as the origin of a state. Its digest is that
    /// of the state and of nothing else: a voter that starts anew within an epoch may plan another
    /// repair, and agrees on the same.
    #[must_use]
    pub fn of(set: &Set, epoch: u64, state: &State) -> Self {
        let words = [
            u64::from(set.number),
            epoch,
            u64::from(state.pages),
            state.summary.0,
            state.jobs_until,
        ];
        Self {
            after: epoch.wrapping_add(1),
            digest: set.key.digest(purpose::ORIGIN, &words),
        }
    }

    /// Whether `state` is what the verdict agreed on.
    #[must_use]
    pub fn is_of(&self, set: &Set, state: &State) -> bool {
        let epoch = self.after.checked_sub(1);
        epoch.is_some_and(|epoch| Self::of(set, epoch, state) == *self)
    }
}
