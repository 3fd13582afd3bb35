//! Words that nothing else tells, kept three times: a fault in one copy is outvoted and mended.
use tern_units::StateWords;

/// Three copies of the same words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copies<const N: usize> {
    copies: [[u64; N]; 3],
}

impl<const N: usize> Copies<N> {
    pub(crate) const fn new(words: [u64; N]) -> Self {
        Self {
            copies: [words, words, words],
        }
    }

    /// Replaces the words.
    pub(crate) const fn write(&mut self, words: [u64; N]) {
        *self = Self::new(words);
    }

    /// Returns the words, each bit by majority, and makes the copies equal again.
    pub(crate) fn read(&mut self) -> [u64; N] {
        let [a, b, c] = &self.copies;
        if a == b && a == c {
            return *a;
        }
        let mut words = [0; N];
        for (index, word) in words.iter_mut().enumerate() {
            let (a, b, c) = (a[index], b[index], c[index]);
            *word = a & b | a & c | b & c;
        }
        self.copies = [words, words, words];
        words
    }
}

impl<const N: usize> StateWords for Copies<N> {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        let words = self.copies.iter_mut().flatten();
        words.for_each(|word| visitor("copies", word));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flip_in_any_copy_is_outvoted_and_mended() {
        let words = [1, u64::MAX, 0x0123_4567_89ab_cdef];
        let mut copies = Copies::new(words);
        for place in 0..9 {
            for bit in 0..64 {
                let mut at = 0;
                copies.visit(&mut |_, word| {
                    *word ^= u64::from(at == place) << bit;
                    at += 1;
                });
                assert_eq!(copies.read(), words);
                assert_eq!(copies, Copies::new(words));
            }
        }
    }
}
