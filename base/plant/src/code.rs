//! The arithmetic code of the digests that replicas cast: code words, and what may be accepted of
//! a vote on them.
//!
//! It is the ANB code of P. Forin, "Vital coded microprocessor principles and application for
//! various transit systems" (IFAC Control, Computers, Communications in Transportation, 1989),
//! without its time stamps: an epoch is part of the digest. U. Schiffel, A. Schmitt, M. Süßkraut
//! and C. Fetzer, "ANB- and ANBDmem-encoding: detecting hardware errors in software" (SAFECOMP
//! 2010) compute in it in software; P. Ulbrich and others, "Eliminating single points of failure
//! in software-based redundancy" (EDCC 2012) vote in it. The value v of replica n is the word
//! A·v + B(n). A sound word of replica n leaves B(n) when it is divided by A.
//!
//! A digest of 64 bits is four values of 16 bits. What holds for their words of 32 bits:
//! * up to five flipped bits never make another value's word of the same replica;
//! * up to three flipped bits never make a word of another replica;
//! * the difference of two replicas' words for different values is, modulo 2^32, never that of
//!   their words for the same value: A is odd, and the values differ by less than 2^16.
//!
//! A and B are public: the code finds faults, and stops nobody who computes code words himself.

/// The factor of every code word.
///
/// It is the one with which M. Hoffmann and others, "A practitioner's guide to software-based
/// soft-error mitigation using AN-codes" (HASE 2014), tell apart all values of 16 bits in words of
/// 32 bits that fewer than six flips lead from one to another.
pub const A: u32 = 58_659;

/// What is added to the words of each replica: the least numbers that are pairwise at least four
/// bits apart in any two words, found one after the other, from 1, 44 and 87 on.
pub const B: [u32; MOST_PLACES] = [1, 44, 87, 648, 1205, 1248, 1807, 3094];

/// Replicas that can be told apart.
pub const MOST_PLACES: usize = 8;

/// Words of a digest.
pub const WORDS: usize = 4;

/// A digest as one replica casts it.
pub type CodeWords = [u32; WORDS];

/// How the digests of a set are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Code {
    /// In code words.
    #[default]
    Arithmetic,
    /// As the values are: nothing tells a digest from any other.
    Plain,
}

impl Code {
    /// Returns the code of a set whose description says whether it is coded.
    #[must_use]
    pub const fn of(coded: bool) -> Self {
        match coded {
            true => Self::Arithmetic,
            false => Self::Plain,
        }
    }

    /// Returns the words in which the replica at `place` casts `digest`; words that no replica
    /// casts where there is no such place.
    #[must_use]
    pub fn encode(self, digest: u64, place: usize) -> CodeWords {
        let (a, b) = match (self, B.get(place)) {
            (Self::Arithmetic, Some(b)) => (A, *b),
            (Self::Arithmetic, None) => (0, 0),
            (Self::Plain, _) => (1, 0),
        };
        // The largest word is A·65535 + 3094, below 2^32.
        core::array::from_fn(|word| a * (digest >> (16 * word)) as u16 as u32 + b)
    }

    /// Returns the digest that `released` carries, if it is one that a majority of `replicas`
    /// cast. Of plain words this asks nothing but that they are values.
    #[must_use]
    pub fn check(self, released: &Released, replicas: u8) -> Option<u64> {
        let leader = released.leader as usize;
        let (others, members) = (released.followers, (1_u32 << replicas.min(31)) - 1);
        let quorum = u32::from(replicas) / 2 + 1;
        let is_majority = 1_u32.checked_shl(released.leader)? & members & !others != 0
            && others & !members == 0
            && others.count_ones() + 1 >= quorum;
        if !is_majority {
            return None;
        }

        let (a, b) = match self {
            Self::Plain => (1, 0),
            // Another signature is no fault of a value, and no multiple of A away from this one
            // on purpose: it is compared as it is.
            Self::Arithmetic if released.signature != signature(leader, others)? => return None,
            Self::Arithmetic => (A, *B.get(leader)?),
        };
        let mut digest = 0;
        for word in released.words.iter().rev() {
            let multiple = word.checked_sub(b)?;
            if multiple % a != 0 {
                return None;
            }
            digest = digest << 16 | u64::from(u16::try_from(multiple / a).ok()?);
        }
        Some(digest)
    }
}

/// What a vote on digests lets out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Released {
    /// The words of the leader's digest.
    pub words: CodeWords,
    /// The weighted differences of the words and the followers', once before and once after they
    /// went out; nothing where words are plain.
    pub signature: u32,
    /// The replica whose words these are.
    pub leader: u32,
    /// The replicas that cast the same digest, a bit each.
    pub followers: u32,
}

/// The times that a word of a follower is compared with what goes out.
pub const PASSES: usize = 2;

/// Returns the weight of a difference in the signature: odd, and another one for each word,
/// follower and pass, so that what is lost from one of them is nowhere else.
#[must_use]
pub const fn weight(pass: usize, follower: usize, word: usize) -> u32 {
    (((pass * MOST_PLACES + follower) * WORDS + word) * 2 + 1) as u32
}

/// Returns the signature of a sound vote.
fn signature(leader: usize, followers: u32) -> Option<u32> {
    let own = *B.get(leader)?;
    let mut sum = 0_u32;
    for (follower, b) in B.iter().enumerate() {
        if followers >> follower & 1 == 0 {
            continue;
        }
        for pass in 0..PASSES {
            for word in 0..WORDS {
                let difference = own.wrapping_sub(*b);
                sum = sum.wrapping_add(difference.wrapping_mul(weight(pass, follower, word)));
            }
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeSet;

    /// Calls `visit` with every way in which flips of at most `bits` bits change a word's value:
    /// a sum of as many powers of two, each once, added or subtracted.
    fn changes(bits: u32, from: u32, sum: i64, visit: &mut impl FnMut(i64)) {
        for bit in from..32 {
            for change in [1_i64 << bit, -(1 << bit)] {
                visit(sum + change);
                if bits > 1 {
                    changes(bits - 1, bit + 1, sum + change, visit);
                }
            }
        }
    }

    #[test]
    fn five_flips_make_no_word_of_the_same_replica() {
        let mut sums = 0;
        changes(5, 0, 0, &mut |sum| {
            sums += 1;
            assert_ne!(sum % i64::from(A), 0, "{sum}");
        });
        // 32 over k, times 2^k, for k from 1 to 5.
        assert_eq!(sums, 64 + 1_984 + 39_680 + 575_360 + 6_444_032);
    }

    #[test]
    fn three_flips_make_no_word_of_another_replica() {
        let mut reached = BTreeSet::new();
        changes(3, 0, 0, &mut |sum| {
            reached.insert(sum.rem_euclid(i64::from(A)));
        });
        for (place, b) in B.iter().enumerate() {
            for other in B.iter().filter(|other| *other != b) {
                let difference = i64::from(*other) - i64::from(*b);
                let residue = difference.rem_euclid(i64::from(A));
                assert!(
                    !reached.contains(&residue),
                    "place {place}, {b} and {other}"
                );
            }
        }
    }

    #[test]
    fn words_of_different_values_never_differ_as_those_of_one_value_do() {
        // x' - y' = A(x - y) + Bx - By: whether that is Bx - By modulo 2^32 depends on x - y.
        for difference in 1..=u32::from(u16::MAX) {
            assert_ne!(A.wrapping_mul(difference), 0);
        }
    }

    /// What a sound vote of `leader` with `followers` lets out.
    fn released(code: Code, digest: u64, leader: usize, followers: u32) -> Released {
        Released {
            words: code.encode(digest, leader),
            signature: signature(leader, followers).unwrap(),
            leader: leader as u32,
            followers,
        }
    }

    const DIGEST: u64 = 0xffff_0000_8001_1234;

    #[test]
    fn every_majority_is_accepted_and_nothing_less() {
        for replicas in 1..=MOST_PLACES as u8 {
            let mut accepted = 0;
            for leader in 0..MOST_PLACES {
                for followers in 0..1 << MOST_PLACES {
                    let one = released(Code::Arithmetic, DIGEST, leader, followers);
                    let digest = Code::Arithmetic.check(&one, replicas);
                    let all = followers | 1 << leader;
                    let majority = all.count_ones() > u32::from(replicas) / 2
                        && followers >> leader & 1 == 0
                        && all < 1 << replicas;
                    assert_eq!(digest, majority.then_some(DIGEST), "{one:?} of {replicas}");
                    accepted += u32::from(majority);
                }
            }
            assert!(accepted > 0);
        }
    }

    #[test]
    fn a_flip_of_one_or_two_bits_in_what_goes_out_is_refused() {
        let sound = released(Code::Arithmetic, DIGEST, 1, 0b101);
        let flipped = |bit: usize, one: &mut Released| {
            let [a, b, c, d] = &mut one.words;
            let places = [
                a,
                b,
                c,
                d,
                &mut one.signature,
                &mut one.leader,
                &mut one.followers,
            ];
            let mut places = places.into_iter();
            *places.nth(bit / 32).unwrap() ^= 1 << (bit % 32);
        };
        for first in 0..7 * 32 {
            for second in 0..=first {
                let mut damaged = sound;
                flipped(first, &mut damaged);
                if second < first {
                    flipped(second, &mut damaged);
                }
                assert_eq!(Code::Arithmetic.check(&damaged, 3), None, "{damaged:?}");
            }
        }
    }

    #[test]
    fn a_branch_that_was_taken_wrongly_shows_in_the_signature() {
        // Replica 0 leads and says something else: each word differs from its followers' by a
        // multiple of A more than it should, which a signature modulo A would not show.
        let other = DIGEST ^ 0x40;
        let words = Code::Arithmetic.encode(other, 0);
        let followers = [1, 2].map(|place| Code::Arithmetic.encode(DIGEST, place));
        let mut sum = 0_u32;
        for (follower, theirs) in (1..).zip(followers) {
            for word in 0..WORDS {
                let difference = words[word].wrapping_sub(theirs[word]);
                for pass in 0..PASSES {
                    sum = sum.wrapping_add(difference.wrapping_mul(weight(pass, follower, word)));
                }
            }
        }
        let wrong = Released {
            words,
            signature: sum,
            leader: 0,
            followers: 0b110,
        };
        let sound = signature(0, 0b110).unwrap();
        assert_eq!((sum.wrapping_sub(sound) as i32) % A as i32, 0);
        assert_eq!(Code::Arithmetic.check(&wrong, 3), None);
    }

    #[test]
    fn plain_words_are_what_they_say() {
        let one = released(Code::Plain, DIGEST, 2, 0b011);
        assert_eq!(Code::Plain.check(&one, 3), Some(DIGEST));
        assert_eq!(Code::Arithmetic.check(&one, 3), None);
        let mut large = one;
        large.words[3] = 1 << 16;
        assert_eq!(Code::Plain.check(&large, 3), None);
    }
}
