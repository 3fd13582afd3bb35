//! Numbers as ranges of those that follow each other: jobs that were missed, epochs whose
//! input was stale.
use std::fmt::{self, Display, Formatter};

use serde::Serialize;

/// How many ranges are shown.
const SHOWN: usize = 10;

/// Ascending numbers. However many they are, they take no more room than the records
/// between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Ranges(Vec<Range>);

/// Numbers without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The first.
    pub first: u32,
    /// The last.
    pub last: u32,
}

impl Ranges {
    /// Adds the numbers from `first` to `last`, which come after all that are there.
    pub(crate) fn push(&mut self, first: u32, last: u32) {
        match self.0.last_mut() {
            Some(before) if before.last.checked_add(1) == Some(first) => before.last = last,
            _ => self.0.push(Range { first, last }),
        }
    }

    /// The first number.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.0.first().map(|range| range.first)
    }

    /// Whether `number` is among them.
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        self.0
            .iter()
            .any(|range| (range.first..=range.last).contains(&number))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count_within(0, u32::MAX)
    }

    /// How many there are from `first` to `last`.
    #[must_use]
    pub fn count_within(&self, first: u32, last: u32) -> u64 {
        let common = |range: &Range| {
            let (from, to) = (range.first.max(first), range.last.min(last));
            (u64::from(to) + 1).saturating_sub(from.into())
        };
        self.0.iter().map(common).sum()
    }
}

impl Display for Ranges {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for (position, range) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(out, "{comma}{}", range.first)?;
            if range.last > range.first {
                write!(out, " to {}", range.last)?;
            }
        }
        match self.0.len() > SHOWN {
            true => write!(out, ", ..."),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_are_one_range() {
        let mut ranges = Ranges::default();
        for (first, last) in [(3, 3), (4, 8), (12, 12), (20, u32::MAX)] {
            ranges.push(first, last);
        }
        assert_eq!(ranges.to_string(), "3 to 8, 12, 20 to 4294967295");
        assert_eq!(ranges.first(), Some(3));
        assert_eq!(ranges.count(), 6 + 1 + (u64::from(u32::MAX) - 19));
        let inside: Vec<u32> = (0..22).filter(|&number| ranges.contains(number)).collect();
        assert_eq!(inside, [3, 4, 5, 6, 7, 8, 12, 20, 21]);
        for (first, last, count) in [(0, 2, 0), (8, 12, 2), (9, 11, 0), (12, 20, 2), (5, 4, 0)] {
            assert_eq!(ranges.count_within(first, last), count, "{first} to {last}");
        }
    }

    #[test]
    fn only_the_first_ranges_are_shown() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.to_string(), "");
        for number in 0..11 {
            ranges.push(2 * number, 2 * number);
        }
        assert_eq!(ranges.to_string(), "0, 2, 4, 6, 8, 10, 12, 14, 16, 18, ...");
    }
}
