//! What a replica says to the device's far end: its tag of its output, in its channel.
//!
//! It stands beside the ballot and is no part of the vote: what is agreed on is the output, and
//! whose tags of it are good is for the actuator to say.
use crate::layout::{CAST_WORDS, TAGGED, TAGGED_WORDS};
use crate::words::{Reader, Writer};
use crate::{MAX_REPLICAS, Set};
use tern_plant::tag::{Challenge, MAX_PLACES, PlaceTag};

const _: () = assert!(MAX_PLACES == MAX_REPLICAS);

/// A replica's tag of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// The replica's number in the set.
    pub replica: u8,
    /// The epoch of the output.
    pub epoch: u64,
    /// What the output answers.
    pub challenge: Challenge,
    /// The tag.
    pub tag: PlaceTag,
}

impl Tagged {
    /// Words of the record's payload.
    pub const WORDS: usize = TAGGED_WORDS;

    /// Writes the tag beside the ballot.
    pub fn cast(&self, set: &Set, own: Writer<'_>) {
        let words = [
            u64::from(set.number) << 32 | u64::from(self.tag.number),
            u64::from(self.replica),
            self.epoch,
            self.challenge.to_word(),
            self.tag.tag,
        ];
        TAGGED.write(own, &set.key, self.epoch, &words);
    }

    /// Reads the tag of an output of `epoch` beside the ballot of replica number `replica`, if
    /// there is one.
    #[must_use]
    pub fn read(set: &Set, replica: u8, epoch: u64, channel: Reader<'_>) -> Option<Self> {
        if channel.len() < CAST_WORDS {
            return None;
        }
        let (words, _) = TAGGED.read(channel, &set.key).ok()?;
        let [numbers, from, of, challenge, tag] = words;
        let expected = [u64::from(set.number), u64::from(replica), epoch];
        ([numbers >> 32, from, of] == expected).then_some(Self {
            replica,
            epoch,
            challenge: Challenge::from_word(challenge),
            tag: PlaceTag {
                number: numbers as u32,
                tag,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ballot::tests::{SET, channel};

    #[test]
    fn a_tag_is_read_for_its_own_set_replica_and_epoch_alone() {
        let words = channel(10);
        let tagged = Tagged {
            replica: 2,
            epoch: 9,
            challenge: Challenge::from_word(77),
            tag: PlaceTag { number: 3, tag: 5 },
        };
        let read = |set, replica, epoch| Tagged::read(&set, replica, epoch, Reader::new(&words));
        assert_eq!(read(SET, 2, 9), None);
        tagged.cast(&SET, Writer::new(&words));
        assert_eq!(read(SET, 2, 9), Some(tagged));
        let other = Set { number: 5, ..SET };
        assert_eq!(read(other, 2, 9), None);
        assert_eq!((read(SET, 1, 9), read(SET, 2, 10)), (None, None));
    }

    #[test]
    fn a_tag_and_a_ballot_leave_each_other_alone() {
        let words = channel(10);
        let own = Writer::new(&words);
        let ballot = crate::ballot::tests::ballot(2, 9);
        ballot.cast(&SET, own);
        let tagged = Tagged {
            replica: 2,
            epoch: 9,
            challenge: Challenge::from_word(77),
            tag: PlaceTag { number: 3, tag: 5 },
        };
        tagged.cast(&SET, own);
        let read = crate::Ballot::read(&SET, 2, own.reader());
        assert_eq!(read, Ok(ballot));
    }
}
