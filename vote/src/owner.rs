//! Who of a set has its device, where each of its sandboxes has a voter: a rule on the verdict
//! before and the ballots.
//!
//! Who has the device keeps it while it agrees with the majority and what it hands on as input
//! answers the last command; otherwise the next of the majority gets it. Where nobody gets an
//! answer in a whole round, the line is dead, and the device stays where it is.
use crate::MAX_REPLICAS;
use crate::standing::Members;

/// Who has the device of a set, by a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The replica whose sandbox has the device from the verdict on, and sends the output.
    pub place: u8,
    /// The one whose sandbox had it until then, and has frozen the next epoch's input.
    pub before: u8,
    /// The epoch of the verdict that gave it the device.
    pub since: u64,
    /// How often in a row the device was given on because no answer came.
    pub moves: u8,
}

impl Owner {
    const NOBODY: u64 = u64::MAX;

    /// Returns who has the device after the vote on `epoch`, `last` being who had it after the vote
    /// before. A vote that knows of none begins with the first of the majority.
    ///
    /// `answered` tells whether the majority has run with the sample that answers the last command;
    /// nothing, where nothing was agreed on.
    #[must_use]
    pub fn after(
        last: Option<Self>,
        epoch: u64,
        majority: Members,
        answered: Option<bool>,
    ) -> Option<Self> {
        let Some(last) = last else {
            return majority.iter().next().map(|first| Self {
                place: first,
                before: first,
                since: epoch,
                moves: 0,
            });
        };
        let stays = Self {
            before: last.place,
            ..last
        };
        // Where nothing was agreed, nothing changes hands.
        let Some(is_answered) = answered else {
            return Some(stays);
        };
        // The first input that it froze with the device its own is that of the second epoch after.
        let is_due = epoch >= last.since.saturating_add(2);
        let moves = if is_answered { 0 } else { last.moves };
        let is_dead = u32::from(moves) >= majority.count();
        let is_silent = is_due && !is_answered && !is_dead;
        if majority.contains(last.place) && !is_silent {
            return Some(Self { moves, ..stays });
        }

        let behind = majority.iter().find(|place| *place > last.place);
        let next = behind.or_else(|| majority.iter().next())?;
        Some(Self {
            place: next,
            before: last.place,
            since: epoch,
            moves: moves.saturating_add(u8::from(is_silent)),
        })
    }

    pub(crate) fn encode(owner: Option<Self>) -> [u64; 2] {
        owner.map_or([Self::NOBODY, 0], |owner| {
            let places = [owner.place, owner.before, owner.moves, 0, 0, 0, 0, 0];
            [u64::from_le_bytes(places), owner.since]
        })
    }

    /// Returns what the words say of a set of so many replicas in `epoch`; nothing if no verdict
    /// on it says so.
    pub(crate) fn decode(
        [places, since]: [u64; 2],
        replicas: u8,
        epoch: u64,
    ) -> Option<Option<Self>> {
        if places == Self::NOBODY {
            return (since == 0).then_some(None);
        }
        let [place, before, moves, 0, 0, 0, 0, 0] = places.to_le_bytes() else {
            return None;
        };
        let is_possible = place < replicas
            && before < replicas
            && usize::from(moves) <= MAX_REPLICAS
            && since <= epoch;
        is_possible.then_some(Some(Self {
            place,
            before,
            since,
            moves,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const ALL: Members = Members(0b111);

    /// Who has the device after each of these votes, from epoch 0 on.
    fn owners(votes: &[(Members, Option<bool>)]) -> Vec<Option<u8>> {
        let mut owner = None;
        let votes = votes.iter().zip(0..);
        let each = votes.map(|((members, answered), epoch)| {
            owner = Owner::after(owner, epoch, *members, *answered);
            owner.map(|owner| owner.place)
        });
        each.collect()
    }

    #[test]
    fn who_agrees_and_gets_answers_keeps_the_device() {
        // Nothing was asked before the first command, so that epoch 1 has no answer either.
        let votes: Vec<_> = (0..9).map(|epoch| (ALL, Some(epoch > 1))).collect();
        assert_eq!(owners(&votes), [Some(0); 9]);
    }

    #[test]
    fn who_does_not_agree_hands_it_on_and_does_not_get_it_back_for_that() {
        let others = Members(0b110);
        let votes = [
            (ALL, Some(false)),
            (ALL, Some(false)),
            (others, Some(true)),
            (others, Some(false)),
            (ALL, Some(true)),
            (ALL, Some(true)),
        ];
        assert_eq!(
            owners(&votes),
            [0, 0, 1, 1, 1, 1].map(Some),
            "what came in epoch 3 the old owner froze"
        );
    }

    #[test]
    fn the_last_is_followed_by_the_first() {
        let last = Members(0b100);
        let first = Members(0b011);
        assert_eq!(
            owners(&[(last, Some(false)), (first, Some(false))]),
            [Some(2), Some(0)]
        );
    }

    #[test]
    fn a_device_that_answers_nobody_goes_round_once() {
        let mut votes: Vec<_> = (0..4).map(|epoch| (ALL, Some(epoch > 1))).collect();
        votes.extend([(ALL, Some(false)); 12]);
        let owners = owners(&votes);
        let moves = owners.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(moves, 3, "{owners:?}");
        assert_eq!(owners.last(), Some(&Some(0)));

        // It answers again, and fails again: there is another round.
        votes.extend([(ALL, Some(true)), (ALL, Some(false)), (ALL, Some(false))]);
        assert_eq!(self::owners(&votes).last(), Some(&Some(1)));
    }

    #[test]
    fn nothing_changes_hands_without_a_majority() {
        let nobody = Members::NONE;
        let votes = [
            (ALL, Some(false)),
            (nobody, None),
            (nobody, None),
            (nobody, None),
        ];
        assert_eq!(owners(&votes), [Some(0); 4]);
        assert_eq!(owners(&[(nobody, None)]), [None]);
    }

    #[test]
    fn what_no_verdict_says_is_not_read() {
        let owner = Owner {
            place: 2,
            before: 0,
            since: 7,
            moves: 1,
        };
        let words = Owner::encode(Some(owner));
        assert_eq!(Owner::decode(words, 3, 7), Some(Some(owner)));
        assert_eq!(Owner::decode(Owner::encode(None), 3, 7), Some(None));
        for (words, replicas, epoch) in [
            (words, 2, 7),
            (words, 3, 6),
            ([words[0] | 1 << 24, 7], 3, 7),
            ([words[0] | 0xff << 16, 7], 3, 7),
            ([u64::MAX, 1], 3, 7),
        ] {
            assert_eq!(Owner::decode(words, replicas, epoch), None, "{words:x?}");
        }
    }
}
