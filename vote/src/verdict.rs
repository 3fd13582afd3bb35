//! A verdict: what the voter tells the replicas about an epoch.
use crate::decision::Standing;
use crate::layout::VoterLayout;
use crate::seal::SealError;
use crate::summary::Summary;
use crate::words::{Reader, Writer};
use crate::{MAX_REPLICAS, Set};

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

    /// These and replica number `replica`, below [`MAX_REPLICAS`].
    #[must_use]
    pub const fn with(self, replica: u8) -> Self {
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
    /// All replicas agree.
    #[default]
    Unanimous = 0,
    /// A majority of all replicas agrees.
    Majority = 1,
    /// No majority: the set stops, safely and for good.
    NoMajority = 2,
    /// Stopped by the vote of an earlier epoch.
    Stopped = 3,
}

/// Who repairs whom until the next release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The replica that is repaired.
    pub target: u8,
    /// The replica of the majority that gives the pages.
    pub donor: u8,
    /// Another replica of the majority, that confirms them.
    pub witness: u8,
    /// How many epochs in a row the target has been planned for before this one.
    pub round: u32,
    /// Pages in the list of differences.
    pub differing: u32,
}

/// The voter's record on an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The epoch.
    pub epoch: u64,
    /// What the vote found.
    pub outcome: Outcome,
    /// How each replica stands.
    pub standings: [Standing; MAX_REPLICAS],
    /// Who must hash all of its memory anew: its leaves are not what they should be.
    pub rehash: Members,
    /// Whom repair has given up.
    pub abandoned: Members,
    /// Who repairs whom.
    pub plan: Option<Plan>,
    /// Pages of the majority.
    pub pages: u32,
    /// The summary of the majority.
    pub summary: Summary,
}

impl Verdict {
    /// Words of the record's payload.
    pub const WORDS: usize = 10;

    const NO_PLAN: u64 = u64::MAX;

    /// The replicas with that standing.
    #[must_use]
    pub fn members(&self, standing: Standing) -> Members {
        (0..MAX_REPLICAS as u8)
            .filter(|replica| self.standings[usize::from(*replica)] == standing)
            .fold(Members::NONE, Members::with)
    }

    /// The replicas of the set that are not part of the majority.
    #[must_use]
    pub fn faulty(&self) -> Members {
        let all = self.members(Standing::Agreed).0 | self.members(Standing::Absent).0;
        Members(!all)
    }

    /// Whether outputs of the set are released in this epoch.
    #[must_use]
    pub const fn releases(&self) -> bool {
        matches!(self.outcome, Outcome::Unanimous | Outcome::Majority)
    }

    /// Writes it into the voter's channel.
    pub fn publish(&self, set: &Set, layout: &VoterLayout, own: Writer<'_>) {
        let standings = self.standings.map(|standing| standing as u8);
        let (roles, counts) = match self.plan {
            None => (Self::NO_PLAN, 0),
            Some(plan) => (
                u64::from_le_bytes([plan.target, plan.donor, plan.witness, 0, 0, 0, 0, 0]),
                u64::from(plan.round) << 32 | u64::from(plan.differing),
            ),
        };
        let words = [
            u64::from(set.number),
            self.epoch,
            self.outcome as u64,
            u64::from_le_bytes(standings),
            u64::from(self.rehash.0),
            u64::from(self.abandoned.0),
            roles,
            counts,
            u64::from(self.pages),
            self.summary.0,
        ];
        layout.verdict().write(own, &set.key, &words);
    }

    /// Reads the verdict in the voter's channel, whichever epoch it is on.
    ///
    /// # Errors
    /// If there is no whole record of this set.
    pub fn read(set: &Set, layout: &VoterLayout, voter: Reader<'_>) -> Result<Self, SealError> {
        let words = layout.verdict().read(voter, &set.key)?;
        Self::decode(set, layout, &words).ok_or(SealError::Checksum)
    }

    fn decode(set: &Set, layout: &VoterLayout, words: &[u64; Self::WORDS]) -> Option<Self> {
        let outcome = match words[2] {
            0 => Outcome::Unanimous,
            1 => Outcome::Majority,
            2 => Outcome::NoMajority,
            3 => Outcome::Stopped,
            _ => return None,
        };
        let mut standings = [Standing::Absent; MAX_REPLICAS];
        for (standing, byte) in standings.iter_mut().zip(words[3].to_le_bytes()) {
            *standing = Standing::from_byte(byte)?;
        }
        let plan = match words[6] {
            Self::NO_PLAN => None,
            roles => {
                let [target, donor, witness, ..] = roles.to_le_bytes();
                let differing = words[7] as u32;
                if [target, donor, witness]
                    .iter()
                    .any(|replica| *replica >= set.replicas)
                    || differing > layout.capacity()
                {
                    return None;
                }
                Some(Plan {
                    target,
                    donor,
                    witness,
                    round: (words[7] >> 32) as u32,
                    differing,
                })
            }
        };
        (words[0] == u64::from(set.number)).then_some(Self {
            epoch: words[1],
            outcome,
            standings,
            rehash: Members(words[4] as u8),
            abandoned: Members(words[5] as u8),
            plan,
            pages: words[8] as u32,
            summary: Summary(words[9]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ballot::tests::SET;
    use core::sync::atomic::AtomicU64;
    use std::vec::Vec;

    #[test]
    fn a_verdict_comes_back_as_it_was_published() {
        let words: Vec<AtomicU64> = (0..512).map(|_| AtomicU64::new(0)).collect();
        let layout = VoterLayout::new(words.len()).unwrap();
        let mut standings = [Standing::Absent; MAX_REPLICAS];
        standings[..3].copy_from_slice(&[Standing::Agreed, Standing::Late, Standing::Agreed]);
        let verdict = Verdict {
            epoch: u64::MAX,
            outcome: Outcome::Majority,
            standings,
            rehash: Members(0b010),
            abandoned: Members::NONE,
            plan: Some(Plan {
                target: 1,
                donor: 2,
                witness: 0,
                round: 3,
                differing: 64,
            }),
            pages: 90,
            summary: Summary(77),
        };
        for verdict in [
            verdict,
            Verdict {
                plan: None,
                outcome: Outcome::Stopped,
                ..verdict
            },
        ] {
            verdict.publish(&SET, &layout, Writer::new(&words));
            assert_eq!(
                Verdict::read(&SET, &layout, Reader::new(&words)),
                Ok(verdict)
            );
            assert_eq!(verdict.faulty(), Members(0b010));
        }
        let wrong = Verdict {
            plan: Some(Plan {
                target: 3,
                donor: 2,
                witness: 0,
                round: 0,
                differing: 0,
            }),
            ..verdict
        };
        wrong.publish(&SET, &layout, Writer::new(&words));
        assert!(Verdict::read(&SET, &layout, Reader::new(&words)).is_err());
    }

    #[test]
    fn members_are_counted_around() {
        let members = Members(0b10110);
        let around: Vec<_> = (0..6).map(|rank| members.cyclic(rank).unwrap()).collect();
        assert_eq!(around, [1, 2, 4, 1, 2, 4]);
        assert_eq!(Members::NONE.cyclic(0), None);
        assert!(!members.contains(200));
    }
}
