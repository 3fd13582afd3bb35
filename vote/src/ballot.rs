//! A ballot: what one replica says its state and output are at the end of an epoch.
use crate::layout::ReplicaLayout;
use crate::leaf::Leaf;
use crate::output::output_digest;
use crate::seal::SealError;
use crate::summary::Summary;
use crate::words::{Reader, Writer};
use crate::{MAX_REPLICAS, Set};
use tern_abi::system_call::MESSAGE_WORDS;

/// What a replica publishes once an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ballot {
    /// The replica's number in the set.
    pub replica: u8,
    /// The epoch it is cast for.
    pub epoch: u64,
    /// Whether it only states what the replica's memory is, without having run: a
    /// replica outside the set asks to be repaired with it.
    pub recovering: bool,
    /// Pages of the replica.
    pub pages: u32,
    /// The summary of all pages.
    pub summary: Summary,
    /// The leaf of the input page, after the job.
    pub input: Leaf,
    /// Words of [`Ballot::output`] in use.
    pub count: u8,
    /// The output, zero beyond [`Ballot::count`].
    pub output: [u64; MESSAGE_WORDS],
    /// The output's digest, made once, by the replica: see [`output_digest`].
    pub digest: u64,
}

/// Why a ballot does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BallotError {
    /// No whole record.
    Seal(SealError),
    /// A whole record that says something no sound replica of this number says.
    Malformed,
}

impl Ballot {
    /// Words of the record's payload.
    pub const WORDS: usize = 9 + MESSAGE_WORDS;

    const RECOVERING: u64 = 1;

    /// Whether two replicas say the same about the same epoch.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        Self {
            replica: 0,
            ..*self
        } == Self {
            replica: 0,
            ..*other
        }
    }

    /// Writes the ballot into the replica's channel; returns the record's generation.
    pub fn cast(&self, set: &Set, layout: &ReplicaLayout, own: Writer<'_>) -> u64 {
        let mut words = [0; Self::WORDS];
        words[..9].copy_from_slice(&[
            u64::from(set.number),
            u64::from(self.replica),
            self.epoch,
            if self.recovering { Self::RECOVERING } else { 0 },
            u64::from(self.pages),
            self.summary.0,
            self.input.0,
            self.digest,
            u64::from(self.count),
        ]);
        words[9..].copy_from_slice(&self.output);
        layout.ballot().write(own, &set.key, &words)
    }

    /// Reads the ballot in the channel of replica number `replica`, with its generation.
    ///
    /// # Errors
    /// If there is no whole record, or it is not one of this replica and set.
    pub fn read(
        set: &Set,
        replica: usize,
        layout: &ReplicaLayout,
        channel: Reader<'_>,
    ) -> Result<(Self, u64), BallotError> {
        let (words, generation) = layout
            .ballot()
            .read(channel, &set.key)
            .map_err(BallotError::Seal)?;
        let mut output = [0; MESSAGE_WORDS];
        output.copy_from_slice(&words[9..]);
        let well_formed = words[0] == u64::from(set.number)
            && words[1] == replica as u64
            && replica < MAX_REPLICAS
            && words[3] <= Self::RECOVERING
            && (1..=u64::from(layout.capacity())).contains(&words[4])
            && words[8] <= MESSAGE_WORDS as u64;
        if !well_formed || output[words[8] as usize..].iter().any(|word| *word != 0) {
            return Err(BallotError::Malformed);
        }
        let ballot = Self {
            replica: replica as u8,
            epoch: words[2],
            recovering: words[3] == Self::RECOVERING,
            pages: words[4] as u32,
            summary: Summary(words[5]),
            input: Leaf(words[6]),
            count: words[8] as u8,
            output,
            digest: words[7],
        };
        let fits = output_digest(set, ballot.epoch, &output[..usize::from(ballot.count)]);
        if fits != ballot.digest {
            return Err(BallotError::Malformed);
        }
        Ok((ballot, generation))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Key;
    use core::sync::atomic::AtomicU64;
    use std::vec::Vec;

    pub const SET: Set = Set {
        number: 4,
        replicas: 3,
        key: Key([1, 2, 3, 4]),
    };

    pub fn channel(pages: u32) -> Vec<AtomicU64> {
        let words = crate::replica_channel_bytes(pages) / 8;
        (0..words).map(|_| AtomicU64::new(0)).collect()
    }

    pub fn ballot(replica: u8, epoch: u64) -> Ballot {
        let mut output = [0; MESSAGE_WORDS];
        output[0] = epoch * 10;
        Ballot {
            replica,
            epoch,
            recovering: false,
            pages: 7,
            summary: Summary(epoch + 1000),
            input: Leaf(epoch + 2000),
            count: 2,
            output,
            digest: output_digest(&SET, epoch, &output[..2]),
        }
    }

    #[test]
    fn a_ballot_comes_back_as_it_was_cast() {
        let words = channel(10);
        let layout = ReplicaLayout::new(words.len()).unwrap();
        let ballot = Ballot {
            recovering: true,
            ..ballot(2, 9)
        };
        let generation = ballot.cast(&SET, &layout, Writer::new(&words));
        let read = Ballot::read(&SET, 2, &layout, Reader::new(&words));
        assert_eq!(read, Ok((ballot, generation)));
    }

    #[test]
    fn a_ballot_of_another_replica_set_size_or_output_is_malformed() {
        let words = channel(10);
        let layout = ReplicaLayout::new(words.len()).unwrap();
        let mut stray = ballot(2, 9);
        stray.output[2] = 1; // beyond its count
        let cases = [
            (ballot(1, 9), SET, "of another replica"),
            (ballot(2, 9), Set { number: 5, ..SET }, "of another set"),
            (
                Ballot {
                    pages: 0,
                    ..ballot(2, 9)
                },
                SET,
                "without pages",
            ),
            (
                Ballot {
                    pages: layout.capacity() + 1,
                    ..ballot(2, 9)
                },
                SET,
                "too large",
            ),
            (stray, SET, "with words beyond its output"),
        ];
        for (ballot, set, what) in cases {
            ballot.cast(&set, &layout, Writer::new(&words));
            let read = Ballot::read(&SET, 2, &layout, Reader::new(&words));
            assert_eq!(read, Err(BallotError::Malformed), "{what}");
        }
    }

    #[test]
    fn replicas_agree_in_everything_but_their_number() {
        let one = ballot(0, 5);
        assert!(one.agrees_with(&ballot(2, 5)));
        let mut output = one.output;
        output[1] ^= 1 << 40;
        for other in [
            ballot(0, 6),
            Ballot {
                recovering: true,
                ..one
            },
            Ballot { pages: 8, ..one },
            Ballot {
                summary: Summary(one.summary.0 ^ 1),
                ..one
            },
            Ballot {
                input: Leaf(one.input.0 ^ 1),
                ..one
            },
            Ballot { count: 3, ..one },
            Ballot { output, ..one },
            Ballot {
                digest: one.digest ^ 1,
                ..one
            },
        ] {
            assert!(!one.agrees_with(&other), "{other:?}");
        }
    }
}
