//! The word that says which half of a sealed channel its readers read, and which its writer
//! writes.
//!
//! A sealed channel has two halves. Its writer writes one of them, and nobody reads that; the
//! other one, which the hypervisor keeps from being written, is the same for all readers whenever
//! they look. [`crate::hypercall::Hypercall::Seal`] exchanges the two, and gives what is read
//! from then on a number that was never given before.

/// Which half is sealed, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal(u64);

impl Seal {
    /// Nothing has been sealed yet: the first half is open.
    pub const NONE: Self = Self(0);

    /// The seal that a word stands for. Every word is one.
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// The word that stands for it.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        self.0
    }

    /// Returns the number that the sealed half has, if one is sealed.
    #[must_use]
    pub const fn number(self) -> Option<u64> {
        (self.0 >> 1).checked_sub(1)
    }

    /// Returns the half that is read, 0 or 1. Before anything is sealed nothing has been written
    /// there.
    #[must_use]
    pub const fn sealed_half(self) -> usize {
        1 - self.open_half()
    }

    /// Returns the half that is written, 0 or 1.
    #[must_use]
    pub const fn open_half(self) -> usize {
        (self.0 & 1) as usize
    }

    /// Seals the open half as `number`, and opens the other. `None` if the number is not above
    /// the last: what has been read under a number is never read otherwise.
    #[must_use]
    pub const fn next(self, number: u64) -> Option<Self> {
        const MOST: u64 = (u64::MAX >> 1) - 1;
        let is_new = match self.number() {
            Some(last) => number > last,
            None => true,
        };
        if is_new && number <= MOST {
            Some(Self((number + 1) << 1 | self.sealed_half() as u64))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_seal_has_a_higher_number_and_exchanges_the_halves() {
        let none = Seal::NONE;
        assert_eq!((none.number(), none.open_half()), (None, 0));
        let mut seal = none;
        let mut open = 0;
        for number in [0, 1, 7, 8, 1 << 62] {
            seal = seal.next(number).unwrap();
            assert_eq!(seal.number(), Some(number));
            assert_eq!(seal.sealed_half(), open, "what was open is sealed");
            open = seal.open_half();
            assert_ne!(seal.sealed_half(), open);
            assert_eq!(Seal::from_word(seal.to_word()), seal);
            for old in [0, number / 2, number] {
                assert_eq!(seal.next(old), None, "{old} after {number}");
            }
        }
    }

    #[test]
    fn every_word_is_a_seal_and_the_highest_number_is_the_last() {
        for word in [0, 1, 2, 3, u64::MAX - 1, u64::MAX] {
            let seal = Seal::from_word(word);
            assert!(seal.open_half() + seal.sealed_half() == 1);
        }
        let most = (u64::MAX >> 1) - 1;
        let last = Seal::NONE.next(most).unwrap();
        assert_eq!(last.number(), Some(most));
        assert_eq!(last.next(most + 1), None);
        assert_eq!(Seal::NONE.next(u64::MAX), None);
    }
}
