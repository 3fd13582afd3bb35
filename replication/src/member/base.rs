//! What a replica of two goes back to: its checkpoint, and which agreed state that is to hold.
use tern_recovery::{Checkpoint, Hashing};
use tern_units::StateWords;
use tern_vote::Summary;

use super::ancestry::Ancestry;
use crate::copies::Copies;

/// What is to be done with a checkpoint before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    /// The agreed state is to be copied into it.
    Keep,
    /// The state is to be put back from it.
    RollBack,
}

impl Pending {
    const NONE: u64 = 0;

    const fn to_word(self) -> u64 {
        match self {
            Self::Keep => 1,
            Self::RollBack => 2,
        }
    }

    const fn from_word(word: u64) -> Option<Self> {
        match word {
            Self::NONE => None,
            1 => Some(Self::Keep),
            // Which it was is not known: what was agreed last is right in any case.
            _ => Some(Self::RollBack),
        }
    }
}

/// A checkpoint with the state that it is to hold. Of a set without checkpoints it has no pages.
#[derive(Clone, Debug)]
pub(super) struct Base<S> {
    pub(super) checkpoint: Checkpoint<S>,
    /// The newest agreed state that the replica has had: where it comes from, and its summary.
    agreed: Copies<4>,
    pending: u64,
}

impl<S: AsRef<[u64]> + AsMut<[u64]>> Base<S> {
    pub(super) fn new(hashing: &Hashing, storage: S) -> Self {
        let nowhere = Ancestry {
            origin: None,
            jobs_until: 0,
        };
        let [after, digest, jobs_until] = nowhere.to_words();
        Self {
            checkpoint: Checkpoint::new(hashing, storage),
            agreed: Copies::new([after, digest, jobs_until, 0]),
            pending: Pending::NONE,
        }
    }

    /// Whether there is a checkpoint.
    pub(super) fn exists(&self) -> bool {
        self.checkpoint.pages() > 0
    }

    pub(super) fn pending(&self) -> Option<Pending> {
        // Where there is no checkpoint a flip is none either.
        Pending::from_word(self.pending).filter(|_| self.exists())
    }

    /// Returns the newest agreed state that the replica has had.
    pub(super) fn agreed(&mut self) -> (Ancestry, Summary) {
        let [after, digest, jobs_until, summary] = self.agreed.read();
        let ancestry = Ancestry::from_words([after, digest, jobs_until]);
        (ancestry, Summary(summary))
    }

    /// Whether the checkpoint holds that.
    pub(super) fn is_whole(&mut self, hashing: &Hashing) -> bool {
        let (ancestry, summary) = self.agreed();
        ancestry.origin.is_some() && self.checkpoint.holds(hashing, summary)
    }

    /// The agreed state that it is to hold is another, whether it does or not.
    pub(super) const fn expect(&mut self, ancestry: Ancestry, summary: Summary) {
        let [after, digest, jobs_until] = ancestry.to_words();
        self.agreed.write([after, digest, jobs_until, summary.0]);
    }

    /// The replica's state is an agreed one: it is to be kept, unless it is already.
    pub(super) fn agree(
        &mut self,
        hashing: &Hashing,
        ancestry: Ancestry,
        summary: Summary,
        scrub: u32,
    ) {
        let before = self.agreed();
        if before == (ancestry, summary) && self.is_whole(hashing) {
            return self.end();
        }
        self.expect(ancestry, summary);
        if self.pending() != Some(Pending::Keep) || before.1 != summary {
            self.begin(Pending::Keep, scrub);
        }
    }

    /// Begins a pass over the checkpoint.
    pub(super) const fn begin(&mut self, pending: Pending, scrub: u32) {
        self.pending = pending.to_word();
        self.checkpoint.begin(scrub);
    }

    /// There is nothing left to do with it.
    pub(super) const fn end(&mut self) {
        self.pending = Pending::NONE;
    }
}

impl<S: AsMut<[u64]>> StateWords for Base<S> {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        self.checkpoint.visit(visitor);
        self.agreed.visit(visitor);
        visitor("base.pending", &mut self.pending);
    }
}
