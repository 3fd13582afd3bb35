//! Ranges of physical memory: what is free, and what is taken out of it.
use alloc::vec::Vec;
use core::fmt;
use tern_units::HostPhysical;

/// A half-open range of physical addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// First address past it.
    pub end: u64,
}

impl Range {
    /// The `bytes` from `start`, cut off at the end of the address space.
    #[must_use]
    pub const fn new(start: u64, bytes: u64) -> Self {
        Self {
            start,
            end: start.saturating_add(bytes),
        }
    }

    /// Its size.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:#x}..{:#x}", self.start, self.end)
    }
}

/// Disjoint ranges in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range>);

impl Ranges {
    /// No memory.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a range; where it overlaps others they become one.
    pub fn add(&mut self, range: Range) {
        if range.bytes() == 0 {
            return;
        }
        let mut merged = range;
        self.0.retain(|other| {
            let apart = other.end < merged.start || merged.end < other.start;
            if !apart {
                merged.start = merged.start.min(other.start);
                merged.end = merged.end.max(other.end);
            }
            apart
        });
        let at = self.0.partition_point(|other| other.start < merged.start);
        self.0.insert(at, merged);
    }

    /// Takes a range away from all that overlap it.
    pub fn remove(&mut self, range: Range) {
        let pieces = self.0.iter().flat_map(|other| {
            [
                Range {
                    start: other.start,
                    end: other.end.min(range.start),
                },
                Range {
                    start: other.start.max(range.end),
                    end: other.end,
                },
            ]
        });
        self.0 = if range.bytes() == 0 {
            self.0.clone()
        } else {
            pieces.filter(|piece| piece.bytes() > 0).collect()
        };
    }

    /// Takes the lowest `bytes` that begin at a multiple of `alignment` (a power of
    /// two) and lie inside `window`; `None` if there are none.
    pub fn take(&mut self, bytes: u64, alignment: u64, window: Range) -> Option<HostPhysical> {
        let found = self.0.iter().find_map(|range| {
            let start = range
                .start
                .max(window.start)
                .checked_next_multiple_of(alignment)?;
            let end = start.checked_add(bytes)?;
            (end <= range.end.min(window.end)).then_some(start)
        })?;
        self.remove(Range::new(found, bytes));
        Some(HostPhysical::new(found))
    }

    /// Takes away and returns what lies from `limit` on.
    #[must_use]
    pub fn split_off(&mut self, limit: u64) -> Self {
        let (low, high) = (
            Range {
                start: 0,
                end: limit,
            },
            Range {
                start: limit,
                end: u64::MAX,
            },
        );
        let mut above = self.clone();
        above.remove(low);
        self.remove(high);
        above
    }

    /// All bytes in whole pieces of `alignment`, a power of two.
    #[must_use]
    pub fn aligned_bytes(&self, alignment: u64) -> u64 {
        let whole = self.0.iter().map(|range| {
            let start = range.start.next_multiple_of(alignment);
            (range.end & !(alignment - 1)).saturating_sub(start)
        });
        whole.sum()
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Range> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn ranges(list: &[(u64, u64)]) -> Ranges {
        let mut ranges = Ranges::new();
        for &(start, end) in list {
            ranges.add(Range { start, end });
        }
        ranges
    }

    fn pairs(ranges: &Ranges) -> Vec<(u64, u64)> {
        ranges
            .iter()
            .map(|range| (range.start, range.end))
            .collect()
    }

    #[test]
    fn overlapping_and_touching_ranges_become_one() {
        assert_eq!(
            pairs(&ranges(&[(10, 20), (40, 50), (20, 30), (29, 41), (0, 0)])),
            vec![(10, 50)]
        );
    }

    #[test]
    fn removal_cuts_shortens_and_splits() {
        let mut memory = ranges(&[(0, 100), (200, 300)]);
        memory.remove(Range { start: 40, end: 50 });
        memory.remove(Range {
            start: 90,
            end: 210,
        });
        memory.remove(Range { start: 60, end: 60 });
        assert_eq!(pairs(&memory), vec![(0, 40), (50, 90), (210, 300)]);
    }

    #[test]
    fn splitting_at_an_address_loses_nothing() {
        let mut memory = ranges(&[(0, 10), (20, 40), (50, 60)]);
        let above = memory.split_off(30);
        assert_eq!(pairs(&memory), vec![(0, 10), (20, 30)]);
        assert_eq!(pairs(&above), vec![(30, 40), (50, 60)]);
    }

    #[test]
    fn what_is_taken_is_aligned_inside_the_window_and_no_longer_free() {
        let mut memory = ranges(&[(3, 100)]);
        let all = Range {
            start: 0,
            end: u64::MAX,
        };
        assert_eq!(memory.take(8, 16, all), Some(HostPhysical::new(16)));
        assert_eq!(memory.take(8, 16, all), Some(HostPhysical::new(32)));
        let low = Range { start: 0, end: 16 };
        assert_eq!(memory.take(16, 1, low), None);
        assert_eq!(memory.take(u64::MAX, 1, all), None);
        assert_eq!(pairs(&memory), vec![(3, 16), (24, 32), (40, 100)]);
    }
}
