//! The majority vote on the ballots of one epoch, and what each replica's ballot, or
//! the lack of one, says about it.
use crate::ballot::{Ballot, BallotError, BallotKind};
use crate::sealed_record::SealError;
use crate::standing::{Members, Outcome, Standing};
use crate::verdict::Verdict;
use crate::words::Reader;
use crate::{MAX_REPLICAS, Set};

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
    /// Reads the ballots for `epoch` where the replicas cast them and votes. It never
    /// waits: what is not there is a fault of its replica.
    ///
    /// `before` is the verdict before, if the voter knows it. It only tells the ways of not
    /// casting apart: what the set agrees on is the ballots' business alone.
    #[must_use]
    pub fn on(set: &Set, epoch: u64, before: Option<&Verdict>, channels: &[Reader<'_>]) -> Self {
        let mut ballots = [None; MAX_REPLICAS];
        let mut standings = [Standing::Absent; MAX_REPLICAS];
        for replica in 0..usize::from(set.replicas).min(MAX_REPLICAS) {
            let counted = match channels.get(replica) {
                Some(channel) => count(set, epoch, before, replica, *channel),
                None => Err(Standing::Timeout),
            };
            match counted {
                Ok(ballot) => {
                    standings[replica] = match ballot.kind {
                        BallotKind::Ran => Standing::Minority,
                        BallotKind::Held => Standing::Recovering,
                    };
                    ballots[replica] = Some(ballot);
                }
                Err(standing) => standings[replica] = standing,
            }
        }
        Self::of(set, epoch, ballots, standings)
    }

    /// Votes: the replicas whose ballots are equal and more than half of all are the
    /// majority. There is at most one such group. A ballot whose state comes from no agreed
    /// verdict is in none: two replicas that have started anew are equal, and not right.
    fn of(
        set: &Set,
        epoch: u64,
        ballots: [Option<Ballot>; MAX_REPLICAS],
        mut standings: [Standing; MAX_REPLICAS],
    ) -> Self {
        let eligible = || {
            let all = ballots.iter().flatten();
            all.filter(|ballot| ballot.origin.is_some())
        };
        // Of two in lock-step, one may not know of the verdict that the other's state comes from.
        let agree = |one: &Ballot, other: &Ballot| {
            one.agrees_with(other) || set.is_pair() && one.holds_the_state_of(other)
        };
        let supporters = |ballot: &Ballot| {
            let equal = eligible().filter(|other| agree(other, ballot));
            equal.count() as u32
        };
        let agreed = eligible()
            .find(|ballot| supporters(ballot) >= set.quorum())
            .copied();

        if let Some(agreed) = agreed {
            for ballot in eligible().filter(|ballot| agree(ballot, &agreed)) {
                standings[usize::from(ballot.replica)] = Standing::Agreed;
            }
        }
        let mut everybody = standings.iter().take(usize::from(set.replicas));
        let outcome = match agreed.map(|ballot| ballot.kind) {
            None => Outcome::Lost,
            Some(BallotKind::Held) => Outcome::Held,
            Some(BallotKind::Ran) if everybody.all(|one| *one == Standing::Agreed) => {
                Outcome::Unanimous
            }
            Some(BallotKind::Ran) => Outcome::Majority,
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
}

/// Returns the replica's ballot for `epoch`, or what its channel says instead.
fn count(
    set: &Set,
    epoch: u64,
    before: Option<&Verdict>,
    replica: usize,
    channel: Reader<'_>,
) -> Result<Ballot, Standing> {
    let ballot = match Ballot::read(set, replica, channel) {
        Ok(ballot) => ballot,
        Err(BallotError::Seal(SealError::Empty)) => return Err(Standing::Timeout),
        Err(BallotError::Seal(SealError::Torn)) => return Err(Standing::Late),
        Err(BallotError::Duplicate) => return Err(Standing::Duplicate),
        Err(BallotError::Seal(SealError::Checksum) | BallotError::Malformed) => {
            return Err(Standing::Malformed);
        }
    };
    if ballot.epoch > epoch {
        return Err(Standing::Malformed);
    }
    if ballot.epoch == epoch {
        return Ok(ballot);
    }

    // An old ballot: the verdict before says whether it, or a newer one, was counted then.
    let Some(before) = before else {
        return Err(Standing::Timeout);
    };
    let counted = before.standings[replica].has_ballot();
    Err(if ballot.epoch > before.epoch {
        Standing::Late
    } else if ballot.epoch == before.epoch {
        if counted {
            Standing::Timeout
        } else {
            Standing::Late
        }
    } else if counted {
        Standing::Stale
    } else {
        Standing::Timeout
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ballot::tests::{SET, ballot, channel, held};
    use crate::state::Origin;
    use crate::state::State;
    use crate::summary::Summary;
    use crate::words::Writer;
    use core::sync::atomic::{AtomicU64, Ordering};
    use std::vec::Vec;

    struct Bench {
        channels: Vec<Vec<AtomicU64>>,
        before: Option<Verdict>,
    }

    impl Bench {
        fn new() -> Self {
            let channels = (0..3).map(|_| channel(10)).collect();
            Self {
                channels,
                before: None,
            }
        }

        fn cast(&self, ballot: Ballot) {
            self.cast_into(usize::from(ballot.replica), ballot);
        }

        fn cast_into(&self, channel: usize, ballot: Ballot) {
            let words = &self.channels[channel];
            ballot.cast(&SET, Writer::new(words));
        }

        fn vote(&mut self, epoch: u64) -> Decision {
            let readers: Vec<_> = self
                .channels
                .iter()
                .map(|words| Reader::new(words))
                .collect();
            let decision = Decision::on(&SET, epoch, self.before.as_ref(), &readers);
            self.before = Some(Verdict {
                epoch,
                outcome: decision.outcome,
                standings: decision.standings,
                rehash: Members::NONE,
                plan: None,
                lost: 0,
                newest: None,
                owner: None,
                state: State::default(),
            });
            decision
        }

        /// Replicas 0 and 2 do as they should, replica 1 what `act` does.
        fn epoch(&mut self, epoch: u64, act: impl FnOnce(&Self)) -> Standing {
            self.cast(ballot(0, epoch));
            act(self);
            self.cast(ballot(2, epoch));
            let decision = self.vote(epoch);
            assert_eq!(decision.standings[0], Standing::Agreed);
            assert_eq!(decision.standings[2], Standing::Agreed);
            assert_eq!(decision.agreed, Some(ballot(0, epoch)));
            decision.standings[1]
        }
    }

    fn other(replica: u8, epoch: u64) -> Ballot {
        Ballot {
            summary: Summary(1),
            ..ballot(replica, epoch)
        }
    }

    /// The ballot of a replica that has started anew.
    fn stranger(replica: u8, epoch: u64) -> Ballot {
        Ballot {
            origin: None,
            ..held(replica, epoch)
        }
    }

    #[test]
    fn equal_ballots_are_unanimous_and_a_vote_that_is_held_again_is_the_same() {
        let mut bench = Bench::new();
        for epoch in 0..3 {
            assert_eq!(
                bench.epoch(epoch, |at| at.cast(ballot(1, epoch))),
                Standing::Agreed
            );
        }
        assert_eq!(bench.vote(2).outcome, Outcome::Unanimous);
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
        let asks = stranger(1, 2);
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
        assert_eq!(bench.epoch(10, twice), Standing::Duplicate);
        assert_eq!(
            bench.epoch(11, sound(12)),
            Standing::Malformed,
            "for the future"
        );
        assert_eq!(bench.epoch(13, sound(13)), Standing::Agreed);
        assert_eq!(
            bench.epoch(14, |at| at.cast_into(1, ballot(2, 14))),
            Standing::Malformed
        );
        let half = |at: &Bench| {
            at.cast(ballot(1, 15));
            at.channels[1][0].fetch_or(1, Ordering::Relaxed);
        };
        assert_eq!(bench.epoch(15, half), Standing::Late, "still writing");
        let flip = |at: &Bench| {
            at.cast(ballot(1, 16));
            at.channels[1][7].fetch_xor(1 << 14, Ordering::Relaxed);
        };
        assert_eq!(bench.epoch(16, flip), Standing::Malformed);
        assert_eq!(bench.epoch(17, sound(17)), Standing::Agreed);
        // Epochs that nobody voted on.
        assert_eq!(bench.epoch(20, sound(18)), Standing::Late);
        assert_eq!(bench.epoch(21, sound(16)), Standing::Timeout);
    }

    /// Whatever a voter believes to have been before, the ballots decide.
    #[test]
    fn no_verdict_before_changes_who_agrees() {
        let mut bench = Bench::new();
        (0..3).for_each(|replica| bench.cast(ballot(replica, 5)));
        let wanted = bench.vote(5);
        let standings = [
            Standing::Agreed,
            Standing::Timeout,
            Standing::Duplicate,
            Standing::Malformed,
        ];
        let outcomes = [Outcome::Stopped, Outcome::Lost, Outcome::Unanimous];
        for epoch in [0, 4, 5, 6, 1 << 40, u64::MAX] {
            for (standing, outcome) in standings.into_iter().zip(outcomes.into_iter().cycle()) {
                bench.before = Some(Verdict {
                    epoch,
                    outcome,
                    standings: [standing; MAX_REPLICAS],
                    ..bench.before.unwrap()
                });
                let decision = bench.vote(5);
                assert_eq!(decision.agreed, wanted.agreed);
                assert_eq!(decision.standings, wanted.standings);
            }
        }
    }

    #[test]
    fn equal_states_that_come_from_the_same_verdict_are_agreement_without_a_job() {
        let of_another = Ballot {
            origin: Some(Origin {
                after: 3,
                digest: 1,
            }),
            ..held(2, 5)
        };
        let cases: [(&str, [Ballot; 3], Outcome, u32); 6] = [
            (
                "all hold",
                [held(0, 5), held(1, 5), held(2, 5)],
                Outcome::Held,
                3,
            ),
            (
                "one has run",
                [ballot(0, 5), held(1, 5), held(2, 5)],
                Outcome::Held,
                2,
            ),
            (
                "two have run",
                [ballot(0, 5), ballot(1, 5), held(2, 5)],
                Outcome::Majority,
                2,
            ),
            (
                "one has started anew",
                [held(0, 5), held(1, 5), stranger(2, 5)],
                Outcome::Held,
                2,
            ),
            (
                "two have started anew, and are equal",
                [held(0, 5), stranger(1, 5), stranger(2, 5)],
                Outcome::Lost,
                0,
            ),
            (
                "one comes from another verdict",
                [held(0, 5), held(1, 5), of_another],
                Outcome::Held,
                2,
            ),
        ];
        for (what, ballots, outcome, majority) in cases {
            let mut bench = Bench::new();
            ballots.iter().for_each(|ballot| bench.cast(*ballot));
            let decision = bench.vote(5);
            assert_eq!(decision.outcome, outcome, "{what}");
            assert_eq!(decision.majority().count(), majority, "{what}");
            let without_output = decision.agreed.is_none_or(|ballot| ballot.count == 0);
            let held = matches!(outcome, Outcome::Held | Outcome::Lost);
            assert_eq!(without_output, held, "{what}");
        }
    }

    #[test]
    fn without_a_majority_nothing_is_agreed() {
        let cases: [(&str, &[Ballot]); 4] = [
            ("one ballot", &[ballot(0, 0)]),
            ("none", &[]),
            ("two that differ", &[ballot(0, 0), other(1, 0)]),
            (
                "three that differ",
                &[
                    ballot(0, 0),
                    other(1, 0),
                    Ballot {
                        summary: Summary(2),
                        ..ballot(2, 0)
                    },
                ],
            ),
        ];
        for (what, ballots) in cases {
            let mut bench = Bench::new();
            ballots.iter().for_each(|ballot| bench.cast(*ballot));
            let decision = bench.vote(0);
            assert_eq!(decision.outcome, Outcome::Lost, "{what}");
            assert_eq!(decision.agreed, None, "{what}");
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
                let decided = decision.outcome != Outcome::Lost;
                assert_eq!(decided, agreeing >= quorum, "{agreeing} of {replicas}");
                if decided {
                    assert_eq!(decision.majority().count(), u32::from(agreeing));
                }
            }
        }
    }
}
