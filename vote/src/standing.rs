//! How a vote ends, and how each replica stands after it.
use crate::MAX_REPLICAS;

/// Some replicas of a set; bit n is replica n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Members(pub u8);

impl Members {
    /// Nobody.
    pub const NONE: Self = Self(0);

    /// Whether replica number `replica` is one of them.
    #[must_use]
    pub const fn contains(self, replica: u8) -> bool {
        (replica as usize) < MAX_REPLICAS && self.0 >> replica & 1 == 1
    }

    /// These and replica number `replica`; these alone if there can be no such replica.
    #[must_use]
    pub const fn with(self, replica: u8) -> Self {
        if replica as usize >= MAX_REPLICAS {
            return self;
        }
        Self(self.0 | 1 << replica)
    }

    /// How many they are.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// The `rank`-th of them, counted around without end; `None` of nobody.
    #[must_use]
    pub fn cyclic(self, rank: u32) -> Option<u8> {
        let rank = rank.checked_rem(self.count())?;
        self.iter().nth(rank as usize)
    }

    /// Their numbers, lowest first.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..MAX_REPLICAS as u8).filter(move |replica| self.contains(*replica))
    }
}

/// What the vote of an epoch found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u64)]
pub enum Outcome {
    /// All replicas have run and agree.
    #[default]
    Unanimous = 0,
    /// A majority of all replicas has run and agrees.
    Majority = 1,
    /// A majority agrees on the state it has, without having run: there is no output.
    Held = 2,
    /// No majority: the epoch is lost, and nothing changes hands.
    Lost = 3,
    /// No majority in as many votes as the set is given: it releases nothing until a majority
    /// agrees again, of which nothing in the set makes sure.
    Stopped = 4,
}

impl Outcome {
    pub(crate) const fn from_word(word: u64) -> Option<Self> {
        Some(match word {
            0 => Self::Unanimous,
            1 => Self::Majority,
            2 => Self::Held,
            3 => Self::Lost,
            4 => Self::Stopped,
            _ => return None,
        })
    }

    /// Whether a majority agrees on a state.
    #[must_use]
    pub const fn is_agreement(self) -> bool {
        match self {
            Self::Unanimous | Self::Majority | Self::Held => true,
            Self::Lost | Self::Stopped => false,
        }
    }
}

/// How a replica stands after a vote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// No replica of the set has this number.
    #[default]
    Absent = 0,
    /// Part of the majority.
    Agreed = 1,
    /// It has run, and its ballot says something else than the majority's.
    Minority = 2,
    /// It has not run: its ballot asks for repair.
    Recovering = 3,
    /// It has cast no ballot since the last that counted.
    Timeout = 4,
    /// It has cast a ballot for an earlier epoch, after the vote on that.
    Late = 5,
    /// Its ballot is older than one that it cast before.
    Stale = 6,
    /// It has cast more than one ballot for the epoch.
    Duplicate = 7,
    /// Its ballot is damaged, or not one that this replica can cast now.
    Malformed = 8,
}

impl Standing {
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Absent,
            1 => Self::Agreed,
            2 => Self::Minority,
            3 => Self::Recovering,
            4 => Self::Timeout,
            5 => Self::Late,
            6 => Self::Stale,
            7 => Self::Duplicate,
            8 => Self::Malformed,
            _ => return None,
        })
    }

    /// Whether the replica has cast a ballot that counts: its leaves describe its memory.
    #[must_use]
    pub const fn has_ballot(self) -> bool {
        match self {
            Self::Agreed | Self::Minority | Self::Recovering => true,
            Self::Absent
            | Self::Timeout
            | Self::Late
            | Self::Stale
            | Self::Duplicate
            | Self::Malformed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_counted_around() {
        let members = Members(0b10110);
        let around: std::vec::Vec<_> = (0..6).map(|rank| members.cyclic(rank).unwrap()).collect();
        assert_eq!(around, [1, 2, 4, 1, 2, 4]);
        assert_eq!(Members::NONE.cyclic(0), None);
        assert!(!members.contains(200));
        assert_eq!(members.with(200), members);
    }
}
