//! The word that says which half of a sealed channel its readers read, and which its writer
//! writes.
//!
//! A sealed channel has two halves. Its writer writes one of them, and nobody reads that; the
//! other one, which the hypervisor keeps from being written, is the same for all readers whenever
//! they look. [`crate::hypercall::Hypercall::Seal`] exchanges the two, and gives what is read
//! from then on a number that was never given before.
//!
//! What is not sealed in time never is: from a number's deadline on any reader may *close* it
//! ([`crate::hypercall::Hypercall::Close`]). Who is first, writer or reader, decides for all: one
//! word says which number is the last, and only ever grows.

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

    /// Returns the last number that was sealed or closed, if there is one. What the sealed half
    /// holds belongs to it or, where it was closed, to one before.
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
        self.numbered(number, self.sealed_half())
    }

    /// Closes `number`: nothing can be sealed under it any more, nor under one below it. `None`
    /// if a number as high has been sealed or closed before, and so is decided already.
    ///
    /// The halves stay as they are. Who reads finds in the sealed one what was sealed before, which
    /// says itself that it belongs to another number, so that nobody takes it for this one's. (A
    /// writer that sealed a record of this number too early has it read now, but by all readers.)
    #[must_use]
    pub const fn closed(self, number: u64) -> Option<Self> {
        self.numbered(number, self.open_half())
    }

    /// The seal with a number above the last, and this half open.
    const fn numbered(self, number: u64, open_half: usize) -> Option<Self> {
        const MOST: u64 = (u64::MAX >> 1) - 1;
        let is_new = match self.number() {
            Some(last) => number > last,
            None => true,
        };
        if is_new && number <= MOST {
            Some(Self((number + 1) << 1 | open_half as u64))
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
        let last = Seal::NONE.closed(most).unwrap();
        assert_eq!(last.number(), Some(most));
        assert_eq!(last.closed(most + 1), None);
        assert_eq!(Seal::NONE.closed(u64::MAX), None);
    }

    #[test]
    fn a_number_that_is_closed_is_sealed_no_more_and_one_that_is_sealed_not_closed() {
        for begin in [Seal::NONE, Seal::NONE.next(2).unwrap()] {
            let closed = begin.closed(7).unwrap();
            assert_eq!(closed.number(), Some(7));
            assert_eq!(closed.open_half(), begin.open_half(), "the halves stay");
            let sealed = begin.next(7).unwrap();
            for decided in [closed, sealed] {
                for old in [0, 6, 7] {
                    assert_eq!(decided.next(old), None, "{old} after 7");
                    assert_eq!(decided.closed(old), None, "{old} after 7");
                }
            }
            assert_eq!(
                closed.next(8).unwrap().sealed_half(),
                begin.open_half(),
                "what was written in vain may be sealed as the next"
            );
        }
    }

    #[test]
    fn the_first_number_may_be_closed_before_anything_is_sealed() {
        let closed = Seal::NONE.closed(0).unwrap();
        assert_eq!((closed.number(), closed.open_half()), (Some(0), 0));
        assert_eq!(closed.next(0), None);
        assert_eq!(closed.next(1).unwrap().sealed_half(), 0);
    }
}
