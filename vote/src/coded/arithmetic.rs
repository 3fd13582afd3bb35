//! The vote in code words, which are never decoded here.
use core::sync::atomic::{AtomicU32, Ordering};
use tern_plant::code::{B, WORDS, weight};

use super::{Cast, Outlet};

/// Lets the digest of `leader` out if all `followers`, a bit each, cast the same.
///
/// Words are of one value where their difference is that of their replicas' B. The differences
/// are taken twice, and weighed into the signature: before the branch, between leader and
/// followers, and after it, between what has gone out and the followers. So a branch that was
/// taken wrongly, or another's words going out, shows in the signature; and a word that changes
/// after both shows in the word itself.
#[expect(
    clippy::needless_range_loop,
    reason = "by iterators the vote takes more instructions, and a fault may hit each"
)]
pub extern "C" fn coded_vote(cast: &Cast, leader: u32, followers: u32, outlet: &Outlet) {
    let Some((led, own)) = cast.0.get(leader as usize).zip(B.get(leader as usize)) else {
        return;
    };
    let mut signature = 0_u32;
    let mut is_one = true;
    let mut left = followers;
    while left != 0 {
        let follower = left.trailing_zeros() as usize;
        left &= left.wrapping_sub(1);
        let Some((theirs, other)) = cast.0.get(follower).zip(B.get(follower)) else {
            return;
        };
        let expected = own.wrapping_sub(*other);
        for place in 0..WORDS {
            let difference = difference(&led[place], &theirs[place]);
            is_one &= difference == expected;
            let weighted = difference.wrapping_mul(weight(0, follower, place));
            signature = signature.wrapping_add(weighted);
        }
    }
    if !is_one {
        return;
    }

    for (out, word) in outlet.words.iter().zip(led) {
        out.store(word.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    let mut left = followers;
    while left != 0 {
        let follower = left.trailing_zeros() as usize;
        left &= left.wrapping_sub(1);
        let Some(theirs) = cast.0.get(follower) else {
            return;
        };
        for place in 0..WORDS {
            let difference = difference(&outlet.words[place], &theirs[place]);
            let weighted = difference.wrapping_mul(weight(1, follower, place));
            signature = signature.wrapping_add(weighted);
        }
    }
    outlet.signature.store(signature, Ordering::Relaxed);
    outlet.leader.store(leader, Ordering::Relaxed);
    outlet.followers.store(followers, Ordering::Relaxed);
}

fn difference(word: &AtomicU32, theirs: &AtomicU32) -> u32 {
    let theirs = theirs.load(Ordering::Relaxed);
    word.load(Ordering::Relaxed).wrapping_sub(theirs)
}
