//! The log: what happened in each epoch, in a ring, with a running check that goes out
//! with every output. An entry enters the check when it is written and once more when
//! its place is used again, so the receiver would see that the log was altered.

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
        // FNV-1a, by words: every step is a bijection of the check.
        words.iter().fold(check, |check, word| {
            (check ^ word).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}

/// Writes `entry` in its place, and returns the running check after `check`.
pub fn write(log: &mut [Entry], entry: Entry, check: u64) -> u64 {
    if log.is_empty() {
        return entry.fold_into(check);
    }
    let place = (entry.epoch % log.len() as u64) as usize;
    let replaced = core::mem::replace(&mut log[place], entry);
    entry.fold_into(replaced.fold_into(check))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_altered_entry_shows_in_the_check_when_its_place_is_used_again() {
        let run = |alter: bool| {
            let mut log = [Entry::default(); 4];
            let mut check = 0;
            let mut checks = [0; 8];
            for epoch in 0..8 {
                if alter && epoch == 4 {
                    log[2].force = f64::from_bits(log[2].force.to_bits() ^ 1);
                }
                let entry = Entry {
                    epoch,
                    force: 1.5,
                    ..Entry::default()
                };
                check = write(&mut log, entry, check);
                checks[epoch as usize] = check;
            }
            checks
        };
        let (altered, good) = (run(true), run(false));
        assert_eq!(altered[..6], good[..6]);
        assert_ne!(altered[6], good[6]);
        assert_ne!(altered[7], good[7]);
    }
}
