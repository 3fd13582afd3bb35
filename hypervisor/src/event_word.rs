//! An exception or interrupt in the word that both vendors have for it (AMD APM vol. 2 §15.20,
//! Intel SDM vol. 3 §25.8.3). The error code is beside it, each vendor's in its own place.
use crate::guest::Event;
use bit_field::BitField;
use core::ops::Range;

const VECTOR: Range<usize> = 0..8;
const KIND: Range<usize> = 8..11;
const HAS_ERROR: usize = 11;
const VALID: usize = 31;

const EXTERNAL_INTERRUPT: u64 = 0;
const EXCEPTION: u64 = 3;

/// Returns the word that delivers an exception at the next entry.
#[must_use]
pub fn exception(event: Event) -> u64 {
    let mut word = 0;
    word.set_bits(VECTOR, event.vector.into());
    word.set_bits(KIND, EXCEPTION);
    word.set_bit(HAS_ERROR, event.error.is_some());
    word.set_bit(VALID, true);
    word
}

/// Returns the word that delivers again what `interrupted` says was being delivered at an exit,
/// if that is an external interrupt: it would be lost. All other bits are clear, some of which
/// are undefined where the word is read.
#[must_use]
pub fn again(interrupted: u64) -> Option<u64> {
    let is_interrupt = interrupted.get_bits(KIND) == EXTERNAL_INTERRUPT;
    (interrupted.get_bit(VALID) && is_interrupt).then(|| {
        let mut word = 0;
        word.set_bits(VECTOR, interrupted.get_bits(VECTOR));
        word.set_bit(VALID, true);
        word
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_the_word_of_the_manuals() {
        // AMD APM vol. 2 figure 15-4, Intel SDM vol. 3 table 25-17.
        assert_eq!(exception(Event::INVALID_OPCODE), 6 | 3 << 8 | 1 << 31);
        let with_error = 13 | 3 << 8 | 1 << 11 | 1 << 31;
        assert_eq!(exception(Event::GENERAL_PROTECTION), with_error);
    }

    #[test]
    fn an_external_interrupt_that_was_interrupted_comes_again_and_nothing_else_does() {
        const VALID: u64 = 1 << 31;
        for (interrupted, word) in [
            (0, None),
            (0x41, None),
            (VALID | 0x41, Some(VALID | 0x41)),
            (VALID | 1 << 12 | 0x41, Some(VALID | 0x41)), // NMI unblocking, undefined
            (VALID | 2 << 8 | 2, None),                   // an NMI
            (VALID | 3 << 8 | 14, None),
            (VALID | 4 << 8 | 0x80, None),
        ] {
            assert_eq!(again(interrupted), word, "{interrupted:#x}");
        }
    }
}
