//! The log: what happened in each epoch, in a ring, and the running check that goes
//! out with every output. Each epoch a page of the log and a filter of the bank are
//! folded into the check, so the receiver sees within 64 epochs that one was altered.

/// Entries in a page of the log.
pub const PAGE_ENTRIES: usize = 4096 / size_of::<Entry>();

/// What happened in one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Entry {
    /// The epoch.
    pub epoch: u64,
    /// The newest sample that was used.
    pub sample: u64,
    /// The measured position and angle, zero without a fresh sample.
    pub measured: [f64; 2],
    /// The estimated angle that the output was computed from.
    pub angle: f64,
    /// The trim from the filter bank.
    pub trim: f64,
    /// The output.
    pub force: f64,
    /// The running check before this entry.
    pub check: u64,
}

const _: () = assert!(size_of::<Entry>() == 64);

impl Entry {
    /// Folds this entry into a running check.
    #[must_use]
    pub fn fold_into(&self, check: u64) -> u64 {
        let [position, angle] = self.measured;
        let words = [
            self.epoch,
            self.sample,
            position.to_bits(),
            angle.to_bits(),
            self.angle.to_bits(),
            self.trim.to_bits(),
            self.force.to_bits(),
            self.check,
        ];
        words.into_iter().fold(check, fold)
    }
}

/// Folds a word into a running check: FNV-1a by words, a bijection of the check.
#[must_use]
pub fn fold(check: u64, word: u64) -> u64 {
    (check ^ word).wrapping_mul(0x0000_0100_0000_01b3)
}

/// Writes `entry` in its place.
pub fn write(log: &mut [Entry], entry: Entry) {
    let length = log.len().max(1) as u64;
    if let Some(place) = log.get_mut((entry.epoch % length) as usize) {
        *place = entry;
    }
}

/// Folds the page of the log whose turn it is in `epoch` into a running check.
#[must_use]
pub fn review(log: &[Entry], epoch: u64, check: u64) -> u64 {
    let pages = log.len().div_ceil(PAGE_ENTRIES).max(1) as u64;
    let page = log.chunks(PAGE_ENTRIES).nth((epoch % pages) as usize);
    let entries = page.unwrap_or_default();
    entries
        .iter()
        .fold(check, |check, entry| entry.fold_into(check))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::LOG_ENTRIES;
    use std::vec;

    #[test]
    fn every_altered_bit_of_an_entry_shows_when_its_page_is_reviewed() {
        let pages = (LOG_ENTRIES / PAGE_ENTRIES) as u64;
        let mut log = vec![Entry::default(); LOG_ENTRIES];
        for epoch in 0..100 {
            let entry = Entry {
                epoch,
                force: 1.5,
                ..Entry::default()
            };
            write(&mut log, entry);
        }
        let review_all =
            |log: &[Entry]| (0..pages).fold(0, |check, epoch| review(log, epoch, check));
        let good = review_all(&log);
        for place in [0, 77, LOG_ENTRIES - 1] {
            for bit in 0..64 {
                let mut altered = log.clone();
                altered[place].force = f64::from_bits(altered[place].force.to_bits() ^ 1 << bit);
                assert_ne!(review_all(&altered), good, "entry {place}, bit {bit}");
            }
        }
    }
}
