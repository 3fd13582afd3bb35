//! The keys that this sandbox alone was given.
use crate::sync::boot_cell::BootOnce;
use tern_plant::keyring::Entry;
use tern_plant::tag::{Key, PlaceKey};

static WORDS: BootOnce<&[u64]> = BootOnce::new();

/// Keeps the keys for good.
///
/// # Safety
/// Only during boot, once.
///
/// # Errors
/// If the words are no keys.
pub unsafe fn initialize(words: &'static [u64]) -> Result<(), &'static str> {
    let (entries, rest) = words.as_chunks();
    if !rest.is_empty() || entries.iter().any(|it| Entry::from_words(it).is_none()) {
        return Err("boot module 2 does not hold this sandbox's keys");
    }
    // SAFETY: the caller vouches that this is boot.
    unsafe { WORDS.set(words) };
    Ok(())
}

/// Returns all of them.
pub fn all() -> impl Iterator<Item = Entry> {
    let (entries, _) = WORDS.get().as_chunks();
    entries.iter().filter_map(Entry::from_words)
}

/// Returns the key of this sandbox's place in a set.
#[must_use]
pub fn of_place(number: u32) -> Option<PlaceKey> {
    all().find_map(|entry| match entry {
        Entry::Place { set, key, .. } => (set == number).then_some(key),
        Entry::Sensor { .. } | Entry::Source { .. } => None,
    })
}

/// Returns the key of the sensor that a set gets its inputs from.
#[must_use]
pub fn of_sensor(number: u32) -> Option<Key> {
    all().find_map(|entry| match entry {
        Entry::Sensor { set, key } => (set == number).then_some(key),
        Entry::Place { .. } | Entry::Source { .. } => None,
    })
}
