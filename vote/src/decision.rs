//! The majority vote on the ballots of one epoch, and what each replica's ballot, or
//! the lack of one, says about it.
use crate::ballot::{Ballot, BallotError};
use crate::layout::ReplicaLayout;
use crate::seal::SealError;
use crate::verdict::{Members, Outcome};
use crate::words::Reader;
use crate::{MAX_REPLICAS, Set};

/// How a replica stands after a vote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// No replica of the set has this number.
    #[default]
    Absent = 0,
    /// Part of the majority.
    Agreed = 1,
    /// Its ballot says something else than the majority's.
    Minority = 2,
    /// Its ballot asks for repair.
    Recovering = 3,
    /// It has cast no ballot since the last that counted.
    Timeout = 4,
    /// It has cast a ballot for an earlier epoch, after the vote on that.
    Late = 5,
    /// Its ballot is older than one that it cast before.
    Stale = 6,
    /// It has cast more than one ballot for an epoch.
    Duplicate = 7,
    /// Its ballot is damaged, or not one that this replica can cast now.
    Malformed = 8,
}

impl Standing {
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Absent,
            1 => Self::Agreed,
            2 => Self::Minority,
            3 => Self::Recovering,
            4 => Self::Timeout,
            5 => Self::Late,
            6 => Self::Stale,
            7 => Self::Duplicate,
            8 => Self::Malformed,
            _ => return None,
        })
    }

    /// Whether the replica's leaves can be trusted to describe its memory.
    #[must_use]
    pub const fn has_ballot(self) -> bool {
        matches!(self, Self::Agreed | Self::Minority | Self::Recovering)
    }
}

/// What is remembered of a replica's ballots from one vote to the next.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// The epoch after the newest that the replica has cast a ballot for.
    next_epoch: u64,
    /// The generation of the last ballot seen.
    generation: u64,
}

/// Reads the ballots of a set, epoch by epoch.
#[derive(Clone, Debug)]
pub struct Ballots {
    set: Set,
    seen: [Seen; MAX_REPLICAS],
}

impl Ballots {
    /// Before the first epoch.
    #[must_use]
    pub const fn new(set: Set) -> Self {
        Self {
            set,
            seen: [Seen {
                next_epoch: 0,
                generation: 0,
            }; MAX_REPLICAS],
        }
    }

    /// Reads the ballots for `epoch` from the replicas' channels and votes. It never
    /// waits: what is not there is a fault of its replica.
    pub fn vote(&mut self, epoch: u64, channels: &[Reader<'_>]) -> Decision {
        let mut ballots = [None; MAX_REPLICAS];
        let mut standings = [Standing::Absent; MAX_REPLICAS];
        for replica in 0..usize::from(self.set.replicas).min(MAX_REPLICAS) {
            let counted = match channels.get(replica) {
                Some(channel) => self.count(epoch, replica, *channel),
                None => Err(Standing::Timeout),
            };
            match counted {
                Ok(ballot) => {
                    standings[replica] = if ballot.recovering {
                        Standing::Recovering
                    } else {
                        Standing::Minority
                    };
                    ballots[replica] = Some(ballot);
                }
                Err(standing) => standings[replica] = standing,
            }
        }
        Decision::of(&self.set, epoch, ballots, standings)
    }

    /// The replica's ballot for `epoch`, or what its channel says instead.
    fn count(
        &mut self,
        epoch: u64,
        replica: usize,
        channel: Reader<'_>,
    ) -> Result<Ballot, Standing> {
        let seen = &mut self.seen[replica];
        let layout = ReplicaLayout::new(channel.len()).ok_or(Standing::Malformed)?;
        let (ballot, generation) = match Ballot::read(&self.set, replica, &layout, channel) {
            Ok(read) => read,
            Err(BallotError::Seal(SealError::Empty)) => return Err(Standing::Timeout),
            Err(BallotError::Seal(SealError::Torn)) => return Err(Standing::Late),
            Err(_) => return Err(Standing::Malformed),
        };
        let before = *seen;
        // Each ballot adds two to the generation of its record.
        let cast = generation.wrapping_sub(before.generation) / 2;
        if ballot.epoch > epoch {
            return Err(Standing::Malformed);
        }
        *seen = Seen {
            next_epoch: before.next_epoch.max(ballot.epoch + 1),
            generation,
        };
        if ballot.epoch + 1 < before.next_epoch {
            Err(Standing::Stale)
        } else if ballot.epoch + 1 == before.next_epoch {
            Err(if cast == 0 {
                Standing::Timeout
            } else {
                Standing::Duplicate
            })
        } else if cast > ballot.epoch + 1 - before.next_epoch {
            Err(Standing::Duplicate)
        } else if ballot.epoch < epoch {
            Err(Standing::Late)
        } else {
            Ok(ballot)
        }
    }
}

/// The result of the vote on one epoch.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The epoch.
    pub epoch: u64,
    /// What the vote found; never [`Outcome::Stopped`].
    pub outcome: Outcome,
    /// How each replica stands.
    pub standings: [Standing; MAX_REPLICAS],
    /// The ballots that counted.
    pub ballots: [Option<Ballot>; MAX_REPLICAS],
    /// The majority's ballot, as one of its members cast it.
    pub agreed: Option<Ballot>,
}

impl Decision {
    /// Votes: the replicas whose ballots are equal and more than half of all are the
    /// majority. There is at most one such group.
    fn of(
        set: &Set,
        epoch: u64,
        ballots: [Option<Ballot>; MAX_REPLICAS],
        mut standings: [Standing; MAX_REPLICAS],
    ) -> Self {
        let running = |ballot: &&Ballot| !ballot.recovering;
        let supporters = |ballot: &Ballot| {
            let others = ballots.iter().flatten().filter(running);
            others.filter(|other| other.agrees_with(ballot)).count() as u32
        };
        let mut candidates = ballots.iter().flatten().filter(running);
        let agreed = candidates
            .find(|ballot| supporters(ballot) >= set.quorum())
            .copied();
        if let Some(agreed) = agreed {
            for ballot in ballots
                .iter()
                .flatten()
                .filter(|ballot| ballot.agrees_with(&agreed))
            {
                standings[usize::from(ballot.replica)] = Standing::Agreed;
            }
        }
        let everybody = standings.iter().take(usize::from(set.replicas));
        let outcome = match agreed {
            None => Outcome::NoMajority,
            Some(_) if everybody.clone().all(|one| *one == Standing::Agreed) => Outcome::Unanimous,
            Some(_) => Outcome::Majority,
        };
        Self {
            epoch,
            outcome,
            standings,
            ballots,
            agreed,
        }
    }

    /// The replicas of the majority.
    #[must_use]
    pub fn majority(&self) -> Members {
        self.members(|standing| standing == Standing::Agreed)
    }

    /// The replicas outside the majority whose leaves describe their memory: those that
    /// can be repaired by what differs.
    #[must_use]
    pub fn repairable(&self) -> Members {
        self.members(|standing| standing.has_ballot() && standing != Standing::Agreed)
    }

    fn members(&self, is_one: impl Fn(Standing) -> bool) -> Members {
        (0..MAX_REPLICAS as u8)
            .filter(|replica| is_one(self.standings[usize::from(*replica)]))
            .fold(Members::NONE, Members::with)
    }

    /// The output that the majority agreed on; `None` without a majority.
    #[must_use]
    pub fn output(&self) -> Option<&[u64]> {
        self.agreed
            .as_ref()
            .map(|ballot| &ballot.output[..usize::from(ballot.count)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ballot::tests::{SET, ballot, channel};
    use crate::summary::Summary;
    use crate::words::Writer;
    use core::sync::atomic::{AtomicU64, Ordering};
    use std::vec::Vec;

    struct Bench {
        channels: Vec<Vec<AtomicU64>>,
        ballots: Ballots,
    }

    impl Bench {
        fn new() -> Self {
            let channels = (0..3).map(|_| channel(10)).collect();
            Self {
                channels,
                ballots: Ballots::new(SET),
            }
        }

        fn cast(&self, ballot: Ballot) {
            self.cast_into(usize::from(ballot.replica), ballot);
        }

        fn cast_into(&self, channel: usize, ballot: Ballot) {
            let words = &self.channels[channel];
            let layout = ReplicaLayout::new(words.len()).unwrap();
            ballot.cast(&SET, &layout, Writer::new(words));
        }

        fn vote(&mut self, epoch: u64) -> Decision {
            let readers: Vec<_> = self
                .channels
                .iter()
                .map(|words| Reader::new(words))
                .collect();
            self.ballots.vote(epoch, &readers)
        }

        /// Replicas 0 and 2 do as they should, replica 1 what `act` does.
        fn epoch(&mut self, epoch: u64, act: impl FnOnce(&Self)) -> Standing {
            self.cast(ballot(0, epoch));
            act(self);
            self.cast(ballot(2, epoch));
            let decision = self.vote(epoch);
            assert_eq!(decision.standings[0], Standing::Agreed);
            assert_eq!(decision.standings[2], Standing::Agreed);
            assert_eq!(decision.output(), Some(&[epoch * 10, 0][..]));
            decision.standings[1]
        }
    }

    fn other(replica: u8, epoch: u64) -> Ballot {
        Ballot {
            summary: Summary(1),
            ..ballot(replica, epoch)
        }
    }

    #[test]
    fn equal_ballots_are_unanimous() {
        let mut bench = Bench::new();
        for epoch in 0..3 {
            assert_eq!(
                bench.epoch(epoch, |at| at.cast(ballot(1, epoch))),
                Standing::Agreed
            );
        }
        assert_eq!(
            bench.vote(2).outcome,
            Outcome::NoMajority,
            "a vote cannot be held twice"
        );
    }

    #[test]
    fn what_a_replica_does_wrong_is_told_apart_and_never_stops_the_others() {
        let mut bench = Bench::new();
        let sound = |epoch| move |at: &Bench| at.cast(ballot(1, epoch));
        assert_eq!(bench.epoch(0, sound(0)), Standing::Agreed);
        assert_eq!(
            bench.epoch(1, |at| at.cast(other(1, 1))),
            Standing::Minority
        );
        let asks = Ballot {
            recovering: true,
            ..ballot(1, 2)
        };
        assert_eq!(bench.epoch(2, |at| at.cast(asks)), Standing::Recovering);
        assert_eq!(bench.epoch(3, |_| ()), Standing::Timeout);
        assert_eq!(bench.epoch(4, sound(3)), Standing::Late);
        assert_eq!(bench.epoch(5, sound(5)), Standing::Agreed);
        assert_eq!(bench.epoch(6, sound(2)), Standing::Stale);
        assert_eq!(bench.epoch(7, sound(7)), Standing::Agreed);
        assert_eq!(
            bench.epoch(8, sound(7)),
            Standing::Duplicate,
            "again for a past epoch"
        );
        assert_eq!(bench.epoch(9, sound(9)), Standing::Agreed);
        let twice = |at: &Bench| {
            at.cast(other(1, 10));
            at.cast(ballot(1, 10));
        };
        assert_eq!(
            bench.epoch(10, twice),
            Standing::Duplicate,
            "twice for this epoch"
        );
        assert_eq!(
            bench.epoch(11, sound(12)),
            Standing::Malformed,
            "for the future"
        );
        assert_eq!(bench.epoch(12, sound(12)), Standing::Agreed);
        assert_eq!(
            bench.epoch(13, |at| at.cast_into(1, ballot(2, 13))),
            Standing::Malformed
        );
        let half = |at: &Bench| {
            at.cast(ballot(1, 14));
            at.channels[1][0].fetch_or(1, Ordering::Relaxed);
        };
        assert_eq!(bench.epoch(14, half), Standing::Late, "still writing");
        let flip = |at: &Bench| {
            at.cast(ballot(1, 15));
            at.channels[1][7].fetch_xor(1 << 14, Ordering::Relaxed);
        };
        assert_eq!(bench.epoch(15, flip), Standing::Malformed);
        assert_eq!(bench.epoch(16, sound(16)), Standing::Agreed);
    }

    #[test]
    fn without_a_majority_nothing_is_released() {
        let cases: [(&str, &[Ballot]); 5] = [
            ("one ballot", &[ballot(0, 0)]),
            ("none", &[]),
            ("two that differ", &[ballot(0, 0), other(1, 0)]),
            (
                "three that differ",
                &[
                    ballot(0, 0),
                    other(1, 0),
                    Ballot {
                        count: 1,
                        ..ballot(2, 0)
                    },
                ],
            ),
            (
                "one beside two under repair",
                &[
                    ballot(0, 0),
                    Ballot {
                        recovering: true,
                        ..ballot(1, 0)
                    },
                    Ballot {
                        recovering: true,
                        ..ballot(2, 0)
                    },
                ],
            ),
        ];
        for (what, ballots) in cases {
            let mut bench = Bench::new();
            ballots.iter().for_each(|ballot| bench.cast(*ballot));
            let decision = bench.vote(0);
            assert_eq!(decision.outcome, Outcome::NoMajority, "{what}");
            assert_eq!(decision.output(), None, "{what}");
        }
    }

    #[test]
    fn more_than_half_of_all_replicas_decide() {
        for (replicas, quorum) in [
            (1, 1),
            (2, 2),
            (3, 2),
            (4, 3),
            (5, 3),
            (6, 4),
            (7, 4),
            (8, 5),
        ] {
            let set = Set { replicas, ..SET };
            for agreeing in 1..=replicas {
                let mut ballots = [None; MAX_REPLICAS];
                let mut standings = [Standing::Absent; MAX_REPLICAS];
                for replica in 0..replicas {
                    // The rest disagree with each other, too.
                    let summary = if replica < agreeing {
                        0
                    } else {
                        u64::from(replica) + 1
                    };
                    let ballot = Ballot {
                        summary: Summary(summary),
                        ..ballot(replica, 0)
                    };
                    ballots[usize::from(replica)] = Some(ballot);
                    standings[usize::from(replica)] = Standing::Minority;
                }
                let decision = Decision::of(&set, 0, ballots, standings);
                let decided = decision.outcome != Outcome::NoMajority;
                assert_eq!(decided, agreeing >= quorum, "{agreeing} of {replicas}");
                if decided {
                    assert_eq!(decision.majority().count(), u32::from(agreeing));
                }
            }
        }
    }
}
