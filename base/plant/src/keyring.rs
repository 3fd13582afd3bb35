//! The keys that a sandbox, or the far end of a device, is given: as words that no other sees.
use crate::tag::{Key, MAX_PLACES, PlaceKey};

/// A key, with what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The key of a place: its sandbox tags outputs with it.
    Place {
        /// The set's number.
        set: u32,
        /// The place in the set.
        place: u8,
        /// The key.
        key: PlaceKey,
    },
    /// The key of the sensor: a replica's sandbox knows samples by it.
    Sensor {
        /// The set's number.
        set: u32,
        /// The key.
        key: Key,
    },
    /// What the keys of a place are made of: an actuator knows tags by it.
    Source {
        /// The set's number.
        set: u32,
        /// The place in the set.
        place: u8,
        /// The source.
        key: Key,
    },
}

const PLACE: u64 = 1;
const SENSOR: u64 = 2;
const SOURCE: u64 = 3;

impl Entry {
    /// Words of an entry.
    pub const WORDS: usize = 6;

    /// Returns it as words.
    #[must_use]
    pub const fn to_words(self) -> [u64; Self::WORDS] {
        let (kind, set, place, number, key) = match self {
            Self::Place { set, place, key } => (PLACE, set, place, key.number(), key.key()),
            Self::Sensor { set, key } => (SENSOR, set, 0, 0, key),
            Self::Source { set, place, key } => (SOURCE, set, place, 0, key),
        };
        let [low, high] = key.0;
        [kind, set as u64, place as u64, number as u64, low, high]
    }

    /// Returns what [`Entry::to_words`] made words of; `None` of other words.
    #[must_use]
    pub fn from_words(words: &[u64; Self::WORDS]) -> Option<Self> {
        let [kind, set, place, number, low, high] = *words;
        let set = u32::try_from(set).ok()?;
        let place = u8::try_from(place).ok()?;
        let number = u32::try_from(number).ok()?;
        let key = Key([low, high]);
        if usize::from(place) >= MAX_PLACES {
            return None;
        }
        match kind {
            PLACE => Some(Self::Place {
                set,
                place,
                key: PlaceKey::new(number, key),
            }),
            SENSOR => Some(Self::Sensor { set, key }),
            SOURCE => Some(Self::Source { set, place, key }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_as_it_was_and_other_words_are_none() {
        let key = Key([u64::MAX, 5]);
        let place = Entry::Place {
            set: 3,
            place: 7,
            key: PlaceKey::new(u32::MAX, key),
        };
        let sensor = Entry::Sensor { set: u32::MAX, key };
        let source = Entry::Source {
            set: 0,
            place: 2,
            key,
        };
        for entry in [place, sensor, source] {
            assert_eq!(Entry::from_words(&entry.to_words()), Some(entry));
        }
        for words in [
            [0; 6],
            [4, 0, 0, 0, 1, 2],
            [PLACE, 1 << 32, 0, 0, 1, 2],
            [PLACE, 0, 8, 0, 1, 2],
            [PLACE, 0, 0, 1 << 32, 1, 2],
        ] {
            assert_eq!(Entry::from_words(&words), None, "{words:?}");
        }
    }
}
