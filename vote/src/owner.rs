//! Who of a set has its device, where each of its sandboxes has a voter: a rule on the verdict
//! before and the ballots.
//!
//! Who has the device keeps it while it agrees with the majority, what it hands on as input
//! answers the last command, and the device has taken the output in that; otherwise the next of
//! the majority gets it. Where nobody gets that in a whole round, the line is dead, and the device
//! stays where it is.
use crate::MAX_REPLICAS;
use crate::ballot::Answer;
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
    /// How often in a row the device was given on because no output was taken.
    pub moves: u8,
    /// Which outputs the device has to take: bit 0 is set if the majority of the verdict has one,
    /// computed from the sample that was asked for last; bit 1, if that before had.
    pub awaited: u8,
}

impl Owner {
    const NOBODY: u64 = u64::MAX;
    /// The bits of [`Owner::awaited`].
    const AWAITED: u8 = 0b11;

    /// Returns who has the device after the vote on `epoch`, `last` being who had it after the vote
    /// before. A vote that knows of none begins with the first of the majority.
    ///
    /// `answer` is what the input of the majority said of the last command; nothing, where nothing
    /// was agreed on.
    #[must_use]
    pub fn after(
        last: Option<Self>,
        epoch: u64,
        majority: Members,
        answer: Option<Answer>,
    ) -> Option<Self> {
        let is_fresh = matches!(answer, Some(Answer::NotTaken | Answer::Taken));
        let Some(last) = last else {
            return majority.iter().next().map(|first| Self {
                place: first,
                before: first,
                since: epoch,
                moves: 0,
                awaited: u8::from(is_fresh),
            });
        };
        let stays = Self {
            before: last.place,
            awaited: (last.awaited << 1 | u8::from(is_fresh)) & Self::AWAITED,
            ..last
        };

        // The answer is to the command of the last epoch but one. That had an output to be taken, if
        // its vote agreed on one; what was computed from an older sample may rightly be refused.
        let was_awaited = last.awaited & 0b10 != 0;
        let (moves, has_failed) = match answer {
            // Where nothing was agreed, nothing changes hands.
            None => return Some(stays),
            Some(Answer::Taken) => (0, false),
            Some(Answer::NotTaken) => (last.moves, was_awaited),
            Some(Answer::None) => (last.moves, true),
        };
        // The first command that it sent with the device its own is answered in the second epoch after.
        let is_due = epoch >= last.since.saturating_add(2);
        let is_dead = u32::from(moves) >= majority.count();
        let is_given_up = has_failed && is_due && !is_dead;
        if majority.contains(last.place) && !is_given_up {
            return Some(Self { moves, ..stays });
        }

        let behind = majority.iter().find(|place| *place > last.place);
        let next = behind.or_else(|| majority.iter().next())?;
        Some(Self {
            place: next,
            since: epoch,
            moves: moves.saturating_add(u8::from(is_given_up)),
            ..stays
        })
    }

    /// Returns who has a device that stays where it is.
    #[must_use]
    pub const fn fixed(place: u8) -> Self {
        Self {
            place,
            before: place,
            since: 0,
            moves: 0,
            awaited: 0,
        }
    }

    pub(crate) fn encode(owner: Option<Self>) -> [u64; 2] {
        owner.map_or([Self::NOBODY, 0], |owner| {
            let (moves, awaited) = (owner.moves, owner.awaited);
            let places = [owner.place, owner.before, moves, awaited, 0, 0, 0, 0];
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
        let [place, before, moves, awaited, 0, 0, 0, 0] = places.to_le_bytes() else {
            return None;
        };
        let is_possible = place < replicas
            && before < replicas
            && usize::from(moves) <= MAX_REPLICAS
            && awaited <= Self::AWAITED
            && since <= epoch;
        is_possible.then_some(Some(Self {
            place,
            before,
            since,
            moves,
            awaited,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    const ALL: Members = Members(0b111);

    const NONE: Option<Answer> = Some(Answer::None);
    const NOT_TAKEN: Option<Answer> = Some(Answer::NotTaken);
    const TAKEN: Option<Answer> = Some(Answer::Taken);

    /// Who has the device after each of these votes, from epoch 0 on.
    fn owners(votes: &[(Members, Option<Answer>)]) -> Vec<Option<u8>> {
        let mut owner = None;
        let votes = votes.iter().zip(0..);
        let each = votes.map(|((members, answer), epoch)| {
            owner = Owner::after(owner, epoch, *members, *answer);
            owner.map(|owner| owner.place)
        });
        each.collect()
    }

    /// The votes on the first epochs: nothing was asked before the first command, so that epoch 1
    /// has no answer either; and output 2 is the first that answers something.
    fn first() -> Vec<(Members, Option<Answer>)> {
        [NONE, NONE, NOT_TAKEN, NOT_TAKEN]
            .map(|answer| (ALL, answer))
            .to_vec()
    }

    fn owners_after_first(votes: &[(Members, Option<Answer>)]) -> Vec<u8> {
        let mut all = first();
        all.extend(votes);
        let owners = owners(&all);
        assert_eq!(owners[..4], [Some(0); 4]);
        owners[4..].iter().flatten().copied().collect()
    }

    #[test]
    fn who_agrees_and_has_outputs_taken_keeps_the_device() {
        assert_eq!(owners_after_first(&[(ALL, TAKEN); 9]), [0; 9]);
    }

    #[test]
    fn who_does_not_agree_hands_it_on_and_does_not_get_it_back_for_that() {
        let others = Members(0b110);
        let votes = [(others, TAKEN), (others, NONE), (ALL, TAKEN), (ALL, TAKEN)];
        assert_eq!(
            owners_after_first(&votes),
            [1; 4],
            "what came in the second epoch the old owner froze"
        );
    }

    #[test]
    fn the_last_is_followed_by_the_first() {
        let last = Members(0b100);
        let first = Members(0b011);
        assert_eq!(owners(&[(last, NONE), (first, NONE)]), [Some(2), Some(0)]);
    }

    #[test]
    fn who_has_an_output_not_taken_hands_the_device_on() {
        let votes = [TAKEN, NOT_TAKEN, NOT_TAKEN, TAKEN, TAKEN, TAKEN];
        let votes = votes.map(|answer| (ALL, answer));
        assert_eq!(
            owners_after_first(&votes),
            [0, 1, 1, 1, 1, 1],
            "the second was the old owner's, too"
        );
        // The next is judged by the same rule.
        let votes = [TAKEN, NOT_TAKEN, NOT_TAKEN, NOT_TAKEN, TAKEN];
        let votes = votes.map(|answer| (ALL, answer));
        assert_eq!(owners_after_first(&votes), [0, 1, 1, 2, 2]);
    }

    #[test]
    fn an_output_that_nobody_agreed_on_or_that_answers_an_old_sample_need_not_be_taken() {
        let nobody = (Members::NONE, None);
        let (taken, not_taken) = ((ALL, TAKEN), (ALL, NOT_TAKEN));
        let votes = [taken, nobody, taken, not_taken, taken, not_taken];
        assert_eq!(owners_after_first(&votes), [0, 0, 0, 0, 0, 1]);

        // What comes too late moves the device; what follows from that does not.
        let votes = [taken, (ALL, NONE), taken, not_taken, taken, not_taken];
        assert_eq!(owners_after_first(&votes), [0, 1, 1, 1, 1, 2]);
    }

    #[test]
    fn a_device_that_takes_nothing_of_anybody_goes_round_once() {
        for failure in [NONE, NOT_TAKEN] {
            let mut votes = vec![(ALL, TAKEN); 4];
            votes.extend([(ALL, failure); 12]);
            let owners = owners_after_first(&votes);
            let moves = owners.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert_eq!(moves, 3, "{owners:?}");
            assert_eq!(owners.last(), Some(&0));

            // It takes one again, and fails again: there is another round.
            votes.extend([(ALL, TAKEN), (ALL, TAKEN), (ALL, TAKEN), (ALL, failure)]);
            assert_eq!(owners_after_first(&votes).last(), Some(&1), "{failure:?}");
        }
    }

    #[test]
    fn nothing_changes_hands_without_a_majority() {
        let nobody = (Members::NONE, None);
        let votes = [(ALL, NONE), nobody, nobody, nobody];
        assert_eq!(owners(&votes), [Some(0); 4]);
        assert_eq!(owners(&[nobody]), [None]);
    }

    #[test]
    fn what_no_verdict_says_is_not_read() {
        let owner = Owner {
            place: 2,
            before: 0,
            since: 7,
            moves: 1,
            awaited: 0b10,
        };
        let words = Owner::encode(Some(owner));
        assert_eq!(Owner::decode(words, 3, 7), Some(Some(owner)));
        assert_eq!(Owner::decode(Owner::encode(None), 3, 7), Some(None));
        for (words, replicas, epoch) in [
            (words, 2, 7),
            (words, 3, 6),
            ([words[0] | 1 << 26, 7], 3, 7),
            ([words[0] | 1 << 32, 7], 3, 7),
            ([words[0] | 0xff << 16, 7], 3, 7),
            ([u64::MAX, 1], 3, 7),
        ] {
            assert_eq!(Owner::decode(words, replicas, epoch), None, "{words:x?}");
        }
    }
}
