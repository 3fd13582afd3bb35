//! A ballot: what one replica says its state and output are at the end of an epoch.
use crate::layout::{BALLOT, BALLOT_WORDS, CAST_WORDS};
use crate::leaf::Leaf;
use crate::output::output_words;
use crate::sealed_record::SealError;
use crate::state::{Origin, State};
use crate::summary::Summary;
use crate::words::{Reader, Writer};
use crate::{MAX_REPLICAS, Set};
use tern_abi::system_call::MESSAGE_WORDS;
use tern_plant::code::CodeWords;

/// What a replica has done in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum BallotKind {
    /// It has run the epoch's job.
    Ran = 0,
    /// It has not run: it holds the state that it had.
    Held = 1,
}

/// What a replica's input said of the command before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u64)]
pub enum Answer {
    /// Nothing: the sample that was asked for last has not come, or the replica has not run.
    #[default]
    None = 0,
    /// That its output was not taken, if it had one.
    NotTaken = 1,
    /// That its output was taken.
    Taken = 2,
}

/// What a replica publishes once an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ballot {
    /// The replica's number in the set.
    pub replica: u8,
    /// The epoch it is cast for.
    pub epoch: u64,
    /// Whether the replica has run in the epoch.
    pub kind: BallotKind,
    /// What the input of its job said of the command before it.
    pub answer: Answer,
    /// Where its state comes from. A replica that has started anew, or whose job was cut off,
    /// has no such verdict: its ballot supports nobody's state.
    pub origin: Option<Origin>,
    /// One more than the epoch of the last job that the state has seen; zero before the first.
    pub jobs_until: u64,
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
    /// The output's digest, made and written once, by the replica: see [`output_words`].
    pub words: CodeWords,
}

/// Why a ballot does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BallotError {
    /// No whole record.
    Seal(SealError),
    /// A whole record that says something no sound replica of this number says.
    Malformed,
    /// Cast more than once in its epoch.
    Duplicate,
}

impl Ballot {
    /// Words of the record's payload.
    pub const WORDS: usize = BALLOT_WORDS;

    const NO_ORIGIN: u64 = u64::MAX;

    /// Whether two replicas say the same about the same epoch. Their digests are in words of
    /// their own, which the vote on digests compares.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        let Self {
            replica: _,
            epoch,
            kind,
            answer,
            origin,
            jobs_until,
            pages,
            summary,
            input,
            count,
            output,
            words: _,
        } = self;
        // The words that differ most often come first.
        *summary == other.summary
            && *output == other.output
            && *input == other.input
            && *origin == other.origin
            && *jobs_until == other.jobs_until
            && *epoch == other.epoch
            && (*kind, *answer, *pages, *count)
                == (other.kind, other.answer, other.pages, other.count)
    }

    /// Whether two replicas hold the same state in the same epoch, wherever each has learned what
    /// it comes from.
    #[must_use]
    pub fn holds_the_state_of(&self, other: &Self) -> bool {
        let held = |it: &Self| (it.kind == BallotKind::Held).then_some((it.epoch, it.state()));
        held(self).is_some_and(|own| held(other) == Some(own))
    }

    /// Returns the state that it is cast with.
    #[must_use]
    pub const fn state(&self) -> State {
        State {
            pages: self.pages,
            summary: self.summary,
            jobs_until: self.jobs_until,
        }
    }

    /// Whether it says what a replica can be at the end of its epoch.
    ///
    /// Who has run came from the verdict before, or from the start; of two in lock-step, from an
    /// older one where epochs were lost since. Who has not holds what earlier epochs left it, and
    /// has no output.
    fn is_possible(&self, set: &Set) -> bool {
        let came_from = self.origin.map(|origin| origin.after);
        match self.kind {
            BallotKind::Ran => {
                let is_followed = came_from == Some(self.epoch)
                    || set.is_pair() && came_from.is_some_and(|after| after <= self.epoch);
                is_followed && self.jobs_until.checked_sub(1) == Some(self.epoch)
            }
            BallotKind::Held => {
                came_from.is_none_or(|after| after <= self.epoch)
                    && self.jobs_until <= self.epoch
                    && self.count == 0
                    && self.answer == Answer::None
            }
        }
    }

    /// Writes the ballot where the replica casts it.
    pub fn cast(&self, set: &Set, own: Writer<'_>) {
        let origin = self.origin.unwrap_or(Origin {
            after: Self::NO_ORIGIN,
            digest: 0,
        });
        let mut words = [0; Self::WORDS];
        words[..HEAD].copy_from_slice(&[
            u64::from(set.number),
            u64::from(self.replica),
            self.epoch,
            self.kind as u64 | (self.answer as u64) << 8,
            origin.after,
            origin.digest,
            self.jobs_until,
            u64::from(self.pages),
            self.summary.0,
            self.input.0,
            pair(self.words[0], self.words[1]),
            pair(self.words[2], self.words[3]),
            u64::from(self.count),
        ]);
        words[HEAD..].copy_from_slice(&self.output);
        BALLOT.write(own, &set.key, self.epoch, &words);
    }

    /// Reads the ballot in the channel in which replica number `replica` casts it.
    ///
    /// # Errors
    /// If there is no whole record, or it is not one that this replica of the set can have
    /// cast, once.
    pub fn read(set: &Set, replica: usize, channel: Reader<'_>) -> Result<Self, BallotError> {
        if channel.len() < CAST_WORDS {
            return Err(BallotError::Malformed);
        }
        let record = BALLOT.read(channel, &set.key);
        let (words, generation) = record.map_err(BallotError::Seal)?;
        let ballot = Self::decode(set, replica, &words).ok_or(BallotError::Malformed)?;
        if !generation.is_of(ballot.epoch) {
            return Err(BallotError::Malformed);
        }
        if generation.writes() > 1 {
            return Err(BallotError::Duplicate);
        }
        Ok(ballot)
    }

    fn decode(set: &Set, replica: usize, words: &[u64; Self::WORDS]) -> Option<Self> {
        let [
            number,
            from,
            epoch,
            kind,
            after,
            origin_digest,
            jobs_until,
            pages,
            summary,
            input,
            low,
            high,
            count,
            ref output @ ..,
        ] = *words;
        let (kind, answer) = match kind {
            0 => (BallotKind::Ran, Answer::None),
            0x100 => (BallotKind::Ran, Answer::NotTaken),
            0x200 => (BallotKind::Ran, Answer::Taken),
            1 => (BallotKind::Held, Answer::None),
            _ => return None,
        };
        let of_this = number == u64::from(set.number) && from == replica as u64;
        let used = usize::try_from(count).ok()?;
        let halves = [low, low >> 32, high, high >> 32];
        let cast = halves.map(|half| half as u32);
        let well_formed = of_this
            && replica < MAX_REPLICAS
            && (1..=u64::from(u32::MAX)).contains(&pages)
            && used <= MESSAGE_WORDS
            && output[used..].iter().all(|word| *word == 0)
            && cast == output_words(set, replica, epoch, &output[..used]);
        let origin = Origin {
            after,
            digest: origin_digest,
        };
        let ballot = Self {
            replica: replica as u8,
            epoch,
            kind,
            answer,
            origin: (after != Self::NO_ORIGIN).then_some(origin),
            jobs_until,
            pages: pages as u32,
            summary: Summary(summary),
            input: Leaf(input),
            count: used as u8,
            output: *output,
            words: cast,
        };
        (well_formed && ballot.is_possible(set)).then_some(ballot)
    }
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Words of the payload before the output.
const HEAD: usize = BALLOT_WORDS - MESSAGE_WORDS;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Code, Key};
    use core::sync::atomic::AtomicU64;
    use std::vec::Vec;

    pub const SET: Set = Set {
        number: 4,
        replicas: 3,
        key: Key([1, 2, 3, 4]),
        code: Code::Arithmetic,
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
            kind: BallotKind::Ran,
            answer: Answer::Taken,
            origin: Some(Origin {
                after: epoch,
                digest: 77,
            }),
            jobs_until: epoch + 1,
            pages: 7,
            summary: Summary(epoch + 1000),
            input: Leaf(epoch + 2000),
            count: 2,
            output,
            words: output_words(&SET, usize::from(replica), epoch, &output[..2]),
        }
    }

    /// The ballot of a replica that has not run, nor seen the verdict before.
    pub fn held(replica: u8, epoch: u64) -> Ballot {
        Ballot {
            kind: BallotKind::Held,
            answer: Answer::None,
            origin: Some(Origin {
                after: epoch.saturating_sub(1),
                digest: 76,
            }),
            jobs_until: epoch,
            input: Leaf(0),
            count: 0,
            output: [0; MESSAGE_WORDS],
            words: output_words(&SET, usize::from(replica), epoch, &[]),
            ..ballot(replica, epoch)
        }
    }

    #[test]
    fn a_ballot_comes_back_as_it_was_cast() {
        let words = channel(10);
        let nobody = Ballot {
            origin: None,
            ..held(2, 10)
        };
        for ballot in [ballot(2, 9), nobody, held(2, 11)] {
            ballot.cast(&SET, Writer::new(&words));
            let read = Ballot::read(&SET, 2, Reader::new(&words));
            assert_eq!(read, Ok(ballot));
        }
    }

    #[test]
    fn a_second_ballot_for_an_epoch_is_seen_and_forgotten_in_the_next() {
        let words = channel(10);
        let own = Writer::new(&words);
        for (epoch, duplicate) in [(9, false), (9, true), (9, true), (10, false)] {
            ballot(2, epoch).cast(&SET, own);
            let read = Ballot::read(&SET, 2, Reader::new(&words));
            assert_eq!(read == Err(BallotError::Duplicate), duplicate);
        }
    }

    #[test]
    fn a_ballot_of_another_replica_set_size_or_output_is_malformed() {
        let words = channel(10);
        let mut stray = ballot(2, 9);
        stray.output[2] = 1; // beyond its count
        let cases = [
            (ballot(1, 9), SET, "of another replica"),
            (ballot(2, 9), Set { number: 5, ..SET }, "of another set"),
            (
                Ballot {
                    words: ballot(1, 9).words,
                    ..ballot(2, 9)
                },
                SET,
                "with another's digest",
            ),
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
                    answer: Answer::Taken,
                    ..held(2, 9)
                },
                SET,
                "that has not run with a sample",
            ),
            (stray, SET, "with words beyond its output"),
            (
                Ballot {
                    origin: None,
                    ..ballot(2, 9)
                },
                SET,
                "that has run from nowhere",
            ),
            (
                Ballot {
                    origin: ballot(2, 8).origin,
                    ..ballot(2, 9)
                },
                SET,
                "that has run from an older verdict",
            ),
            (
                Ballot {
                    jobs_until: 9,
                    ..ballot(2, 9)
                },
                SET,
                "that has run and has not",
            ),
            (
                Ballot {
                    origin: ballot(2, 10).origin,
                    ..held(2, 9)
                },
                SET,
                "that holds a state of the future",
            ),
            (
                Ballot {
                    jobs_until: 10,
                    ..held(2, 9)
                },
                SET,
                "that has not run and has",
            ),
            (
                Ballot {
                    jobs_until: u64::MAX,
                    epoch: u64::MAX,
                    ..ballot(2, 9)
                },
                SET,
                "at the end of time",
            ),
        ];
        for (ballot, set, what) in cases {
            ballot.cast(&set, Writer::new(&words));
            let read = Ballot::read(&SET, 2, Reader::new(&words));
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
                kind: BallotKind::Held,
                ..one
            },
            Ballot {
                origin: None,
                ..one
            },
            Ballot {
                jobs_until: 5,
                ..one
            },
            Ballot { pages: 8, ..one },
            Ballot {
                answer: Answer::NotTaken,
                ..one
            },
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
        ] {
            assert!(!one.agrees_with(&other), "{other:?}");
        }
    }
}
