//! The vote in plain words: the same questions, and nothing that shows a fault in the answers.
use core::sync::atomic::Ordering;

use super::{Cast, Outlet};

/// Lets the digest of `leader` out if all `followers`, a bit each, cast the same.
pub extern "C" fn plain_vote(cast: &Cast, leader: u32, followers: u32, outlet: &Outlet) {
    let Some(led) = cast.0.get(leader as usize) else {
        return;
    };
    let mut left = followers;
    while left != 0 {
        let follower = left.trailing_zeros() as usize;
        left &= left.wrapping_sub(1);
        let Some(theirs) = cast.0.get(follower) else {
            return;
        };
        for (word, theirs) in led.iter().zip(theirs) {
            if word.load(Ordering::Relaxed) != theirs.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    for (out, word) in outlet.words.iter().zip(led) {
        out.store(word.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    outlet.leader.store(leader, Ordering::Relaxed);
    outlet.followers.store(followers, Ordering::Relaxed);
}
