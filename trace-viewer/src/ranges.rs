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

    /// Those from `first` on and before `end`, and the others.
    pub(crate) fn split(&self, first: u32, end: u32) -> (Self, Self) {
        let (mut inside, mut outside) = (Self::default(), Self::default());
        for range in &self.0 {
            // Nothing is inside an empty interval: then all is before it.
            let first = if first < end { first } else { u32::MAX };
            if range.first < first {
                outside.push(range.first, range.last.min(first - 1));
            }
            let (from, to) = (
                range.first.max(first),
                range.last.min(end.saturating_sub(1)),
            );
            if from <= to {
                inside.push(from, to);
            }
            let from = range.first.max(end).max(first);
            if from <= range.last {
                outside.push(from, range.last);
            }
        }
        (inside, outside)
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
    fn ranges_are_split_at_the_ends_of_an_interval() {
        let mut ranges = Ranges::default();
        for (first, last) in [(3, 8), (12, 12), (20, u32::MAX)] {
            ranges.push(first, last);
        }
        for (first, end, inside) in [
            (0, 3, ""),
            (4, 7, "4 to 6"),
            (5, 13, "5 to 8, 12"),
            (8, 21, "8, 12, 20"),
            (0, u32::MAX, "3 to 8, 12, 20 to 4294967294"),
            (7, 7, ""),
            (9, 4, ""),
        ] {
            let (found, others) = ranges.split(first, end);
            assert_eq!(found.to_string(), inside, "{first} to {end}");
            assert_eq!(
                found.count() + others.count(),
                ranges.count(),
                "{first} to {end}"
            );
            let both = [0, 3, 4, 6, 8, 12, 13, 20, u32::MAX - 1, u32::MAX];
            for number in both {
                let is_inside = found.contains(number);
                assert_eq!(
                    is_inside || others.contains(number),
                    ranges.contains(number),
                    "{number}"
                );
                assert!(!(is_inside && others.contains(number)), "{number}");
            }
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
