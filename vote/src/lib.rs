//! Page hashes, summaries, ballots and the majority vote, and the words in which
//! replicas and voter write them into their channels.
//!
//! Nothing here knows of time, threads or page tables: all of it is arithmetic on
//! pages and on words that the caller hands in, in pieces bounded by one page.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod ballot;
mod coded;
mod decision;
mod descent;
mod key;
mod layout;
mod leaf;
mod lockstep;
mod output;
mod owner;
mod release;
mod sealed_channel;
mod sealed_record;
mod standing;
mod state;
mod summary;
mod tagged;
mod verdict;
mod vote;
mod voters;
mod words;

pub use ballot::{Answer, Ballot, BallotError, BallotKind};
pub use coded::{Cast, Outlet, VoteOnDigests, coded_vote, plain_vote};
pub use decision::Decision;
pub use descent::{Descent, DescentEnd, DescentStep, Difference, PAGES_PER_STEP};
pub use key::Key;
pub use layout::{
    BALLOT, ReplicaLayout, SLOTS, TAGGED, VoterLayout, ballot_channel_bytes, replica_channel_bytes,
    voter_channel_bytes,
};
pub use leaf::{Leaf, LeafKind, Page, PageHash, PageHasher, page_of_words, sha256};
pub use output::{output_digest, output_words, sound_output};
pub use owner::Owner;
pub use release::Release;
pub use sealed_channel::{ChannelReader, ChannelWriter};
pub use sealed_record::{Generation, SealError, SealedRecord, Twice};
pub use standing::{Members, Outcome, Standing};
pub use state::{Origin, State};
pub use summary::{LeafTable, Summary};
pub use tagged::Tagged;
pub use tern_plant::code::{Code, Released};
pub use verdict::{MOST_ROUNDS, Plan, Verdict};
pub use vote::{Output, Rules, Seat, Vote, VoteStep};
pub use voters::Voters;
pub use words::{Reader, Writer};

/// The most replicas in a set: members fit the bits of a byte.
pub const MAX_REPLICAS: usize = 8;

/// What voter and replicas of a set agree on beforehand; from the system description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    /// The set's position in the system description.
    pub number: u32,
    /// Replicas in it, 1 to [`MAX_REPLICAS`].
    pub replicas: u8,
    /// Key of its hashes, summaries and checksums.
    pub key: Key,
    /// How the digests of its outputs are cast.
    pub code: Code,
}

impl Set {
    /// How many replicas must agree: more than half of all, present or not.
    #[must_use]
    pub const fn quorum(&self) -> u32 {
        self.replicas as u32 / 2 + 1
    }

    /// Whether it has two replicas, of which neither can outvote the other: they run in lock-step.
    #[must_use]
    pub const fn is_pair(&self) -> bool {
        self.replicas == 2
    }
}
