//! Tags: what shows that a place of a set, or the sensor, has said what stands beside them.
//!
//! A tag is SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT
//! 2012) under a key of 128 bits. Who has not the key makes a good tag with one try of 2^64,
//! however many good ones it has seen. A checksum, or the digest that compares states, is no
//! such thing: from one pair of message and digest follow all others.
use core::fmt;
use core::hash::Hasher;
use siphasher::{sip, sip128};
use tern_abi::system_call::MESSAGE_WORDS;

/// The most places of a set: they fit the bits of a byte.
pub const MAX_PLACES: usize = 8;

/// What is tagged begins with what it is, and in which version, so that no tag passes for one of
/// another kind.
const OUTPUT: [u8; 2] = *b"O1";
/// A sample that answers a command whose output was not taken, and one whose output was.
const SAMPLE: [[u8; 2]; 2] = [*b"S2", *b"T2"];
const CHALLENGE: u64 = u64::from_le_bytes(*b"TernAsk1");
const PLACE: u64 = u64::from_le_bytes(*b"TernPla1");
const SENSOR: u64 = u64::from_le_bytes(*b"TernSen1");
const NUMBER: u64 = u64::from_le_bytes(*b"TernKey1");

/// Returns the first word of what is tagged for a set, with `small` in it, and as many of `words`
/// as there can be, which it counts.
fn first_word(kind: [u8; 2], set: u32, small: u8, words: &[u64]) -> (u64, &[u64]) {
    let words = &words[..words.len().min(MESSAGE_WORDS)];
    let [a, b, c, d] = set.to_le_bytes();
    let first = [words.len() as u8, small, kind[0], kind[1], a, b, c, d];
    (u64::from_le_bytes(first), words)
}

/// A key, which no one prints.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(pub [u64; 2]);

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(..)")
    }
}

impl Key {
    /// Returns the hash of words, each as its bytes from the lowest on.
    fn hash(&self, head: &[u64], rest: &[u64]) -> u64 {
        let mut hasher = sip::SipHasher24::new_with_keys(self.0[0], self.0[1]);
        // Word by word: an array of bytes to copy them to would cost as much as the hash.
        head.iter().for_each(|word| hasher.write_u64(*word));
        rest.iter().for_each(|word| hasher.write_u64(*word));
        hasher.finish()
    }

    /// Returns a key for one purpose. From it follows neither another nor this one.
    fn derive(&self, purpose: u64, number: u64) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&purpose.to_le_bytes());
        bytes[8..].copy_from_slice(&number.to_le_bytes());
        let hasher = sip128::SipHasher24::new_with_keys(self.0[0], self.0[1]);
        let hash = hasher.hash(&bytes);
        Self([hash.h1, hash.h2])
    }

    /// Returns what the keys of a place are made of, where this is the system's secret.
    #[must_use]
    pub fn of_place(&self, set: u32, place: u8) -> Self {
        self.derive(PLACE, u64::from(set) << 8 | u64::from(place))
    }

    /// Returns the key of the sensor that a set gets its inputs from, where this is the
    /// system's secret.
    #[must_use]
    pub fn of_sensor(&self, set: u32) -> Self {
        self.derive(SENSOR, u64::from(set))
    }

    /// Returns key number `number` of the place whose keys are made of this.
    #[must_use]
    pub fn numbered(&self, number: u32) -> PlaceKey {
        PlaceKey {
            number,
            key: self.derive(NUMBER, u64::from(number)),
        }
    }

    /// Returns what sample `count` of boot `boot` asks.
    #[must_use]
    pub fn challenge(&self, boot: u32, count: u64) -> Challenge {
        Challenge(self.hash(&[CHALLENGE, u64::from(boot), count], &[]).max(1))
    }

    /// Returns the sensor's tag of a sample.
    #[must_use]
    pub fn tag_sample(&self, sample: &Measured<'_>) -> u64 {
        let kind = SAMPLE[usize::from(sample.taken)];
        let (first, words) = first_word(kind, sample.set, sample.bad.0, sample.words);
        self.hash(&[first, sample.number, sample.challenge.to_word()], words)
    }
}

/// Some places of a set; bit n is place n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places(pub u8);

impl Places {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether place `place` is one of them.
    #[must_use]
    pub const fn contains(self, place: u8) -> bool {
        (place as usize) < MAX_PLACES && self.0 >> place & 1 == 1
    }

    /// Returns these and place `place`.
    #[must_use]
    pub const fn with(self, place: u8) -> Self {
        match (place as usize) < MAX_PLACES {
            true => Self(self.0 | 1 << place),
            false => self,
        }
    }

    /// Returns how many they are.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }
}

/// What a device asks with a sample: whatever answers it was made after it.
///
/// It is a hash of the number of the device's boot and a count of its samples, which never come
/// twice, under a key that no sandbox has: what will be asked next is not known to anybody, so
/// that no answer can be prepared. The default asks nothing, and nothing answers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Challenge(u64);

impl Challenge {
    /// Returns it as records and frames have it.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        self.0
    }

    /// Returns what [`Challenge::to_word`] made a word of.
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }
}

/// What a place says of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The set's number.
    pub set: u32,
    /// The place in the set.
    pub place: u8,
    /// The epoch.
    pub epoch: u64,
    /// The challenge of the sample that the output was computed from.
    pub challenge: Challenge,
    /// The output, at most [`MESSAGE_WORDS`] words.
    pub output: &'a [u64],
}

/// What the sensor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured<'a> {
    /// The number of the set that it is for.
    pub set: u32,
    /// The number that the sample was asked for with.
    pub number: u64,
    /// What it asks.
    pub challenge: Challenge,
    /// Whether the output of the command that it answers was taken.
    pub taken: bool,
    /// Places whose tags of the last output were bad.
    pub bad: Places,
    /// The measurement, at most [`MESSAGE_WORDS`] words.
    pub words: &'a [u64],
}

/// A key of a place, as the sandbox at that place has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceKey {
    number: u32,
    key: Key,
}

impl PlaceKey {
    /// Returns the key of that number, as the sandbox was given it.
    #[must_use]
    pub const fn new(number: u32, key: Key) -> Self {
        Self { number, key }
    }

    /// Returns its number: one more after each restart of the sandbox.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Returns the key's words, to be handed to the sandbox.
    #[must_use]
    pub const fn key(&self) -> Key {
        self.key
    }

    /// Tags a statement.
    #[must_use]
    pub fn tag(&self, statement: &Statement<'_>) -> PlaceTag {
        let (set, place) = (statement.set, statement.place);
        let (first, output) = first_word(OUTPUT, set, place, statement.output);
        // The key's number need not be said: the key is made of it.
        let head = [first, statement.epoch, statement.challenge.to_word()];
        PlaceTag {
            number: self.number,
            tag: self.key.hash(&head, output),
        }
    }
}

/// A tag, with the number of the key that it was made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaceTag {
    /// The key's number.
    pub number: u32,
    /// The tag.
    pub tag: u64,
}

/// The tags of an output, by place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    present: Places,
    by_place: [PlaceTag; MAX_PLACES],
}

impl Tags {
    /// No tag.
    pub const NONE: Self = Self {
        present: Places::NONE,
        by_place: [PlaceTag { number: 0, tag: 0 }; MAX_PLACES],
    };

    /// Puts the tag of a place; that of a place that there cannot be is dropped.
    pub fn put(&mut self, place: u8, tag: PlaceTag) {
        if let Some(slot) = self.by_place.get_mut(usize::from(place)) {
            *slot = tag;
            self.present = self.present.with(place);
        }
    }

    /// Returns the tag of a place.
    #[must_use]
    pub fn get(&self, place: u8) -> Option<PlaceTag> {
        let tag = self.by_place.get(usize::from(place)).copied();
        tag.filter(|_| self.present.contains(place))
    }

    /// Returns the places that have one.
    #[must_use]
    pub const fn places(&self) -> Places {
        self.present
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    /// The key of the paper's Appendix A: bytes 0 to 15.
    const KEY: Key = Key([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);

    const STATEMENT: Statement<'_> = Statement {
        set: 2,
        place: 1,
        epoch: 40,
        challenge: Challenge(0x0123_4567_89ab_cdef),
        output: &[7, 8, 9],
    };

    const MEASURED: Measured<'_> = Measured {
        set: 2,
        number: 41,
        challenge: STATEMENT.challenge,
        taken: false,
        bad: Places(0b10),
        words: STATEMENT.output,
    };

    #[test]
    fn the_hash_is_the_one_of_the_paper_and_of_its_reference_program() {
        // Appendix A of the paper: bytes 0 to 14. The others are `vectors_sip64` of the reference
        // program, for inputs of 0, 8 and 63 bytes.
        let bytes: Vec<u8> = (0..63).collect();
        let hasher = sip::SipHasher24::new_with_keys(KEY.0[0], KEY.0[1]);
        for (length, hash) in [
            (15, 0xa129_ca61_49be_45e5),
            (0, 0x726f_db47_dd0e_0e31),
            (8, 0x93f5_f579_9a93_2462),
            (63, 0x958a_324c_eb06_4572),
        ] {
            assert_eq!(hasher.hash(&bytes[..length]), hash, "{length} bytes");
        }
        // Words are hashed as their bytes, lowest first.
        assert_eq!(KEY.hash(&[KEY.0[0]], &[]), 0x93f5_f579_9a93_2462);
        assert_eq!(KEY.hash(&[], &[]), 0x726f_db47_dd0e_0e31);
        // `vectors_sip128` of the reference program, for no byte: it is SipHash-2-4-128 that
        // makes keys of keys.
        let hash = sip128::SipHasher24::new_with_keys(KEY.0[0], KEY.0[1]).hash(&[]);
        let bytes = [0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6];
        assert_eq!(hash.h1, u64::from_le_bytes(bytes));
        let bytes = [0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93];
        assert_eq!(hash.h2, u64::from_le_bytes(bytes));
    }

    #[test]
    fn every_bit_of_a_statement_and_of_its_key_moves_the_tag() {
        let tag = KEY.numbered(0).tag(&STATEMENT).tag;
        let mut seen = std::vec![tag];
        let mut look = |key: PlaceKey, statement: Statement<'_>, what: &str| {
            let other = key.tag(&statement).tag;
            assert!(!seen.contains(&other), "{what}");
            seen.push(other);
        };
        for bit in 0..64 {
            let mut words = [7, 8, 9];
            for word in 0..3 {
                words[word] ^= 1 << bit;
                let changed = Statement {
                    output: &words,
                    ..STATEMENT
                };
                look(KEY.numbered(0), changed, "a bit of the output");
                words[word] ^= 1 << bit;
            }
            let epoch = STATEMENT.epoch ^ 1 << bit;
            look(KEY.numbered(0), Statement { epoch, ..STATEMENT }, "epoch");
            let challenge = Challenge(STATEMENT.challenge.0 ^ 1 << bit);
            let changed = Statement {
                challenge,
                ..STATEMENT
            };
            look(KEY.numbered(0), changed, "challenge");
            for word in 0..2 {
                let mut key = KEY;
                key.0[word] ^= 1 << bit;
                look(key.numbered(0), STATEMENT, "a bit of the key");
            }
        }
        for bit in 0..32 {
            let set = STATEMENT.set ^ 1 << bit;
            look(KEY.numbered(0), Statement { set, ..STATEMENT }, "set");
            look(KEY.numbered(1 << bit), STATEMENT, "the key's number");
        }
        for place in (0..=u8::MAX).filter(|place| *place != STATEMENT.place) {
            look(KEY.numbered(0), Statement { place, ..STATEMENT }, "place");
        }
        let zeros = [7, 8, 9, 0, 0];
        for count in [0, 1, 2, 4, 5] {
            let output = &zeros[..count];
            look(
                KEY.numbered(0),
                Statement {
                    output,
                    ..STATEMENT
                },
                "count",
            );
        }
        let sample = KEY.numbered(0).key().tag_sample(&MEASURED);
        assert!(!seen.contains(&sample), "a sample's tag is no output's");
    }

    #[test]
    fn every_bit_of_a_sample_moves_its_tag() {
        let tag = KEY.tag_sample(&MEASURED);
        let mut words = [7, 8, 9];
        for bit in 0..64 {
            let number = MEASURED.number ^ 1 << bit;
            let changed = Measured { number, ..MEASURED };
            assert_ne!(KEY.tag_sample(&changed), tag, "number, bit {bit}");
            let challenge = Challenge(MEASURED.challenge.0 ^ 1 << bit);
            let changed = Measured {
                challenge,
                ..MEASURED
            };
            assert_ne!(KEY.tag_sample(&changed), tag, "challenge, bit {bit}");
            for word in 0..3 {
                words[word] ^= 1 << bit;
                let changed = Measured {
                    words: &words,
                    ..MEASURED
                };
                assert_ne!(KEY.tag_sample(&changed), tag, "word {word}, bit {bit}");
                words[word] ^= 1 << bit;
            }
        }
        for bit in 0..8 {
            let bad = Places(MEASURED.bad.0 ^ 1 << bit);
            let changed = Measured { bad, ..MEASURED };
            assert_ne!(KEY.tag_sample(&changed), tag, "bad, bit {bit}");
        }
        let taken = !MEASURED.taken;
        assert_ne!(KEY.tag_sample(&Measured { taken, ..MEASURED }), tag);
        for bit in 0..32 {
            let set = MEASURED.set ^ 1 << bit;
            let changed = Measured { set, ..MEASURED };
            assert_ne!(KEY.tag_sample(&changed), tag, "set, bit {bit}");
        }
    }

    #[test]
    fn no_boot_asks_what_it_or_another_has_asked() {
        let samples = (0..8).flat_map(|boot| (0..1000).map(move |count| (boot, count)));
        let mut asked: Vec<u64> = samples
            .map(|(boot, count)| KEY.challenge(boot, count).to_word())
            .collect();
        asked.sort_unstable();
        asked.dedup();
        assert_eq!(asked.len(), 8000);
        assert_ne!(asked[0], Challenge::default().to_word());
    }

    #[test]
    fn no_two_keys_of_a_system_are_equal() {
        let mut keys = std::vec![KEY.0];
        for set in [0, 1, 2, 255, 256, u32::MAX] {
            keys.push(KEY.of_sensor(set).0);
            for place in 0..MAX_PLACES as u8 {
                let source = KEY.of_place(set, place);
                keys.push(source.0);
                keys.extend([0, 1, 2, u32::MAX].map(|number| source.numbered(number).key().0));
            }
        }
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn a_key_is_not_printed() {
        let text = std::format!("{:?}", Key([0x1234, 0x5678]).numbered(3));
        assert_eq!(text, "PlaceKey { number: 3, key: Key(..) }");
    }
}
