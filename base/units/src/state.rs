//! State as words, so that a test can reach every one of them.

/// State that outlives a step of what owns it, word by word.
///
/// A fault may flip any bit of such a word at any time. So it is kept in plain integers, of
/// which every value is one that the code takes apart with a check, and a simulation that
/// visits the words flips each bit of each of them.
pub trait StateWords {
    /// Hands every word to `visitor`, always in the same order, with the name of its field;
    /// what the visitor leaves in it is what the state has then.
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64));
}

impl StateWords for [u64] {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        self.iter_mut().for_each(|word| visitor("", word));
    }
}
