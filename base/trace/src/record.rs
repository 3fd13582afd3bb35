//! The record: 16 bytes, two little-endian words.
use crate::Kind;

/// One entry of the trace.
///
/// First word: the timestamp counter, or in a [`Kind::Continuation`] the 64-bit
/// argument. Second word, from the low end: kind (8 bits), flags (8), object (16),
/// argument (32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The timestamp counter when it was written; a continuation's 64-bit argument.
    pub tsc: u64,
    /// What it tells.
    pub kind: Kind,
    /// How, by kind.
    pub flags: u8,
    /// Thread, server, replica set, vector or reason, by kind.
    pub object: u16,
    /// Job, epoch, page, number or amount, by kind.
    pub argument: u32,
}

const _: () = assert!(size_of::<Record>() == Record::BYTES);

impl Record {
    /// Its size in a ring and in a file.
    pub const BYTES: usize = 16;
    /// The same in words.
    pub const WORDS: usize = 2;

    /// A record of `kind` with its flags zero.
    #[must_use]
    #[inline]
    pub const fn new(tsc: u64, kind: Kind, object: u16, argument: u32) -> Self {
        Self {
            tsc,
            kind,
            flags: 0,
            object,
            argument,
        }
    }

    /// The same with other flags.
    #[must_use]
    #[inline]
    pub const fn with_flags(self, flags: u8) -> Self {
        Self { flags, ..self }
    }

    /// The continuation that carries `wide`.
    #[must_use]
    #[inline]
    pub const fn continuation(wide: u64) -> Self {
        Self::new(wide, Kind::Continuation, 0, 0)
    }

    /// Its encoding.
    #[must_use]
    #[inline]
    pub const fn to_words(self) -> [u64; Self::WORDS] {
        [
            self.tsc,
            self.kind as u64
                | (self.flags as u64) << 8
                | (self.object as u64) << 16
                | (self.argument as u64) << 32,
        ]
    }

    /// Decodes what `to_words` made; `None` for an unknown kind.
    #[must_use]
    pub const fn from_words(words: [u64; Self::WORDS]) -> Option<Self> {
        let [tsc, rest] = words;
        match Kind::from_number(rest as u8) {
            Some(kind) => Some(Self {
                tsc,
                kind,
                flags: (rest >> 8) as u8,
                object: (rest >> 16) as u16,
                argument: (rest >> 32) as u32,
            }),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_survives_the_encoding_at_its_extremes() {
        for &kind in Kind::ALL {
            for (tsc, flags, object, argument) in [
                (0, 0, 0, 0),
                (u64::MAX, u8::MAX, u16::MAX, u32::MAX),
                (1 << 63, 0x80, 0x8001, 0x8000_0001),
            ] {
                let record = Record {
                    tsc,
                    kind,
                    flags,
                    object,
                    argument,
                };
                assert_eq!(Record::from_words(record.to_words()), Some(record));
            }
        }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let record = Record::new(7, Kind::Miss, 0x1234, 0xAABB_CCDD).with_flags(0x9E);
        assert_eq!(record.to_words(), [7, 0xAABB_CCDD_1234_9E05]);
    }

    #[test]
    fn a_cleared_slot_is_no_record() {
        assert_eq!(Record::from_words([0, 0]), None);
    }
}
