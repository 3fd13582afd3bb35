//! The word that says which of the sandboxes that share a device has it, and since which epoch.
//!
//! Each of them says whom it takes for the owner: in the sealed half of a channel that it writes,
//! at [`OWNER_WORD`]. Whom more than half of all name for one epoch may have the device from then
//! on ([`crate::hypercall::Hypercall::Take`]). Sandboxes are named by their *place* among those
//! that share the device.

/// Where in a half of its channel a sandbox names the owner, in words of 64 bits.
pub const OWNER_WORD: usize = 127;

/// A place and an epoch, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership(u64);

const PLACE_BITS: u32 = 8;

impl Ownership {
    /// Nobody has it.
    pub const NONE: Self = Self(0);

    /// The sandbox at `place` has it from `epoch` on. `None` if one of them is too large for the
    /// word: neither comes near that.
    #[must_use]
    pub const fn new(epoch: u64, place: usize) -> Option<Self> {
        if epoch >= u64::MAX >> PLACE_BITS || place >= 1 << PLACE_BITS {
            return None;
        }
        Some(Self((epoch + 1) << PLACE_BITS | place as u64))
    }

    /// What a word says. Every word says something.
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// The word that says it.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        self.0
    }

    /// Returns since which epoch somebody has it.
    #[must_use]
    pub const fn epoch(self) -> Option<u64> {
        (self.0 >> PLACE_BITS).checked_sub(1)
    }

    /// Returns the place of who has it.
    #[must_use]
    pub const fn place(self) -> Option<usize> {
        match self.epoch() {
            Some(_) => Some((self.0 & ((1 << PLACE_BITS) - 1)) as usize),
            None => None,
        }
    }

    /// Returns whether `self` is of a later epoch than `other`.
    #[must_use]
    pub const fn is_later_than(self, other: Self) -> bool {
        self.0 >> PLACE_BITS > other.0 >> PLACE_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_place_and_epoch_and_zero_says_nobody() {
        assert_eq!(Ownership::from_word(0), Ownership::NONE);
        assert_eq!(
            (Ownership::NONE.epoch(), Ownership::NONE.place()),
            (None, None)
        );
        for (epoch, place) in [(0, 0), (0, 7), (1, 0), (1 << 55, 255)] {
            let own = Ownership::new(epoch, place).unwrap();
            assert_eq!((own.epoch(), own.place()), (Some(epoch), Some(place)));
            assert_eq!(Ownership::from_word(own.to_word()), own);
        }
        // No epoch, whatever the place.
        assert_eq!(Ownership::from_word(3).place(), None);
        for (epoch, place) in [(u64::MAX >> 8, 0), (u64::MAX, 0), (0, 256)] {
            assert_eq!(Ownership::new(epoch, place), None);
        }
    }

    #[test]
    fn the_first_epoch_is_later_than_none_and_none_than_itself() {
        let of = |epoch, place| Ownership::new(epoch, place).unwrap();
        assert!(of(0, 0).is_later_than(Ownership::NONE));
        assert!(of(5, 0).is_later_than(of(4, 9)));
        assert!(!of(5, 9).is_later_than(of(5, 0)));
        assert!(!of(4, 9).is_later_than(of(5, 0)));
    }
}
