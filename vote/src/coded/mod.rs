//! The vote on digests: what goes out is what the leader of a majority cast, and its followers too.
//!
//! Who agrees is decided elsewhere ([`crate::Decision`]); here it is made sure of at the words
//! themselves, once more and last. In code words ([`Code::Arithmetic`]) no fault of one bit, in any
//! register or word of memory at any instruction of the vote, lets out a digest that is accepted
//! and not the majority's: it is refused, or nothing goes out. In plain words one can.
//!
//! This is a claim on instructions, not on this text: `tests/tests/coded_vote.rs` tries every such
//! fault on the kernel's own. It is none on faults of two bits in different words, and none on a
//! replica or voter that lies, since everybody can compute code words.
mod arithmetic;
mod plain;

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};
use tern_plant::code::{Code, CodeWords, MOST_PLACES, Released, WORDS};

pub use arithmetic::coded_vote;
pub use plain::plain_vote;

use crate::MAX_REPLICAS;
use crate::standing::Members;

const _: () = assert!(MAX_REPLICAS == MOST_PLACES);

/// The words of one replica.
type Words = [AtomicU32; WORDS];

/// The digests that were cast, by replica; zeros, which are no code words, where there is none.
///
/// Words are atomic so that each access in the source is one of the machine's: a compiler that
/// knew the words to be equal would fold the comparisons away.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Cast([Words; MOST_PLACES]);

/// Where a vote lets its digest out. It holds none, which no check accepts, until the vote has
/// found the leader's and the followers' words to be of one digest.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Outlet {
    words: Words,
    signature: AtomicU32,
    leader: AtomicU32,
    followers: AtomicU32,
}

/// A vote on `cast`, in machine code that is the same wherever it is called from.
pub type VoteOnDigests = extern "C" fn(&Cast, u32, u32, &Outlet);

impl Cast {
    /// Takes down the words of the replica at `place`.
    fn put(&self, place: usize, words: CodeWords) {
        if let Some(at) = self.0.get(place) {
            for (at, word) in at.iter().zip(words) {
                at.store(word, Ordering::Relaxed);
            }
        }
    }
}

impl Outlet {
    fn take(&self) -> Released {
        let load = |word: &AtomicU32| word.load(Ordering::Relaxed);
        Released {
            words: self.words.each_ref().map(load),
            signature: load(&self.signature),
            leader: load(&self.leader),
            followers: load(&self.followers),
        }
    }
}

/// Votes on what these replicas cast: the first of `majority` leads, and the others follow it.
pub(crate) fn vote(
    code: Code,
    majority: Members,
    cast: impl Iterator<Item = (u8, CodeWords)>,
) -> Released {
    let words = Cast::default();
    for (replica, cast) in cast {
        words.put(usize::from(replica), cast);
    }
    let leader = u32::from(majority.0).trailing_zeros();
    let followers = u32::from(majority.0) & u32::from(majority.0).wrapping_sub(1);
    let outlet = Outlet::default();
    let vote: VoteOnDigests = match code {
        Code::Arithmetic => coded_vote,
        Code::Plain => plain_vote,
    };
    // Called by its address alone: the code that is tested is the code that votes.
    black_box(vote)(&words, leader, followers, &outlet);
    outlet.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: u64 = 0x0123_4567_89ab_cdef;

    /// The digests that `replicas` cast, of which those of `wrong` say something else.
    fn cast(code: Code, replicas: u8, wrong: Members) -> impl Iterator<Item = (u8, CodeWords)> {
        (0..replicas).map(move |replica| {
            let digest = RIGHT ^ u64::from(wrong.contains(replica)) << 40;
            (replica, code.encode(digest, usize::from(replica)))
        })
    }

    fn all(replicas: u8) -> Members {
        Members(((1_u32 << replicas) - 1) as u8)
    }

    #[test]
    fn what_a_majority_cast_goes_out_and_is_accepted() {
        for code in [Code::Arithmetic, Code::Plain] {
            for replicas in 1..=MAX_REPLICAS as u8 {
                for wrong in (0..=u8::MAX).map(Members) {
                    let majority = Members(all(replicas).0 & !wrong.0);
                    if u32::from(replicas) / 2 >= majority.count() {
                        continue;
                    }
                    let released = vote(code, majority, cast(code, replicas, wrong));
                    assert_eq!(code.check(&released, replicas), Some(RIGHT));
                }
            }
        }
    }

    #[test]
    fn a_majority_that_is_none_lets_nothing_out() {
        for code in [Code::Arithmetic, Code::Plain] {
            for replicas in 3..=MAX_REPLICAS as u8 {
                for wrong in 0..replicas {
                    let wrong = Members::NONE.with(wrong);
                    let released = vote(code, all(replicas), cast(code, replicas, wrong));
                    assert_eq!(
                        code.check(&released, replicas),
                        None,
                        "{replicas}, {wrong:?}"
                    );
                }
            }
            let released = vote(code, Members::NONE, cast(code, 3, Members::NONE));
            assert_eq!(code.check(&released, 3), None);
        }
    }

    #[test]
    fn a_replica_that_has_cast_nothing_follows_nobody() {
        let cast = cast(Code::Arithmetic, 3, Members::NONE).take(2);
        let released = vote(Code::Arithmetic, all(3), cast);
        assert_eq!(Code::Arithmetic.check(&released, 3), None);
    }
}
