//! How far the target of a repair is: what the donor must know not to run ahead, and
//! what the voter shows.
use tern_vote::{Reader, ReplicaLayout, Set, Writer};

/// How often a record is read before it counts as damaged.
const READS: usize = 4;

/// A target's record in its channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The epoch whose list it works on.
    pub epoch: u64,
    /// Entries of the list dealt with: slots before this one are free again.
    pub next: u32,
    /// Pages accepted in this epoch.
    pub accepted: u32,
    /// Pages that came and did not match.
    pub rejected: u32,
    /// Length of the list.
    pub differing: u32,
    /// Pages accepted since the repair began, in all epochs.
    pub repaired: u32,
}

impl Progress {
    /// Writes it into the target's channel.
    pub fn publish(&self, set: &Set, layout: &ReplicaLayout, own: Writer<'_>) {
        let words = [
            u64::from(set.number),
            self.epoch,
            pair(self.next, self.accepted),
            pair(self.rejected, self.differing),
            u64::from(self.repaired),
            0,
        ];
        layout.progress().write(own, &set.key, self.epoch, &words);
    }

    /// Reads it from a target's channel; `None` if there is no whole record.
    ///
    /// While the target is at one copy the other is whole; only where it goes on from the first
    /// to the second under the reader's eyes are both torn, and then the first is whole next.
    #[must_use]
    pub fn read(set: &Set, layout: &ReplicaLayout, target: Reader<'_>) -> Option<Self> {
        let mut reads = (0..READS).map(|_| layout.progress().read(target, &set.key));
        let words = reads.find_map(Result::ok)?;
        (words[0] == u64::from(set.number)).then_some(Self {
            epoch: words[1],
            next: (words[2] >> 32) as u32,
            accepted: words[2] as u32,
            rejected: (words[3] >> 32) as u32,
            differing: words[3] as u32,
            repaired: words[4] as u32,
        })
    }
}

const fn pair(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}
