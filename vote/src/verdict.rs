//! A verdict: what the voter tells the replicas about an epoch.
use crate::layout::{VERDICT_WORDS, VoterLayout};
use crate::owner::Owner;
use crate::sealed_record::SealError;
use crate::standing::{Members, Outcome, Standing};
use crate::state::{Origin, State};
use crate::summary::Summary;
use crate::words::{Reader, Writer};
use crate::{MAX_REPLICAS, Set};
use tern_abi::ownership::{OWNER_WORD, Ownership};

/// Epochs in a row for which one replica is repaired before another that waits for it.
pub const MOST_ROUNDS: u32 = 64;

/// Who repairs whom until the next release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The replica that is repaired.
    pub target: u8,
    /// The replica of the majority that gives the pages.
    pub donor: u8,
    /// Another replica of the majority, that confirms them; of two replicas the donor itself.
    pub witness: u8,
    /// How many epochs in a row the target has been planned for before this one, below
    /// [`MOST_ROUNDS`].
    pub round: u32,
    /// Pages in the list of differences.
    pub differing: u32,
}

/// The voter's record on an epoch: a function of the verdict before and of the epoch's
/// ballots, and of nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The epoch.
    pub epoch: u64,
    /// What the vote found.
    pub outcome: Outcome,
    /// How each replica stands.
    pub standings: [Standing; MAX_REPLICAS],
    /// Who must hash all of its memory anew: its leaves are not what its ballot says.
    pub rehash: Members,
    /// Who repairs whom.
    pub plan: Option<Plan>,
    /// Votes in a row without a majority, this one included.
    pub lost: u32,
    /// The verdict that the newest agreed state was agreed by, where this is none; nobody's
    /// where this is one, or where the voter knows of none.
    pub newest: Option<Origin>,
    /// The newest agreed state.
    pub state: State,
    /// Who has the device, where each replica's sandbox has a voter: with one voter, that has it.
    pub owner: Option<Owner>,
}

impl Verdict {
    /// Words of the record's payload.
    pub const WORDS: usize = VERDICT_WORDS;

    const NONE: u64 = u64::MAX;

    /// The replicas with that standing.
    #[must_use]
    pub fn members(&self, standing: Standing) -> Members {
        (0..MAX_REPLICAS as u8)
            .filter(|replica| self.standings[usize::from(*replica)] == standing)
            .fold(Members::NONE, Members::with)
    }

    /// The replicas of the set that are not part of the majority. Where there is none, and one is to
    /// be repaired all the same, it is that one: the other has what was agreed last.
    #[must_use]
    pub fn faulty(&self) -> Members {
        if let (false, Some(plan)) = (self.outcome.is_agreement(), self.plan) {
            return Members::NONE.with(plan.target);
        }
        let all = self.members(Standing::Agreed).0 | self.members(Standing::Absent).0;
        Members(!all)
    }

    /// Whether an output of the set is released in this epoch.
    #[must_use]
    pub const fn releases(&self) -> bool {
        match self.outcome {
            Outcome::Unanimous | Outcome::Majority => true,
            Outcome::Held | Outcome::Lost | Outcome::Stopped => false,
        }
    }

    /// Returns the newest agreed state and the verdict that it was agreed by: this one, or
    /// the one that it names.
    #[must_use]
    pub fn agreed(&self, set: &Set) -> Option<(Origin, State)> {
        let origin = if self.outcome.is_agreement() {
            Origin::of(set, self.epoch, &self.state)
        } else {
            self.newest?
        };
        Some((origin, self.state))
    }

    /// Writes it into the voter's channel, and beside it for the hypervisor who has the device.
    pub fn publish(&self, set: &Set, layout: &VoterLayout, own: Writer<'_>) {
        let words = self.encode(set);
        layout.verdict().write(own, &set.key, self.epoch, &words);
        // Where the hypervisor looks who is to have the device.
        let owner = self.owner.map(|owner| usize::from(owner.place));
        let owner = owner.and_then(|place| Ownership::new(self.epoch, place));
        own.store(OWNER_WORD, owner.unwrap_or(Ownership::NONE).to_word());
    }

    /// Reads the verdict in the voter's channel, whichever epoch it is on.
    ///
    /// # Errors
    /// If there is no whole record that a voter of this set can have written.
    pub fn read(set: &Set, layout: &VoterLayout, voter: Reader<'_>) -> Result<Self, SealError> {
        let words = layout.verdict().read(voter, &set.key)?;
        Self::decode(set, layout, &words).ok_or(SealError::Checksum)
    }

    /// Returns the words that stand for it.
    #[must_use]
    pub fn encode(&self, set: &Set) -> [u64; Self::WORDS] {
        let standings = self.standings.map(|standing| standing as u8);
        let (roles, counts) = match self.plan {
            None => (Self::NONE, 0),
            Some(plan) => (
                u64::from_le_bytes([plan.target, plan.donor, plan.witness, 0, 0, 0, 0, 0]),
                pair(plan.round, plan.differing),
            ),
        };
        let newest = self.newest.unwrap_or(Origin {
            after: Self::NONE,
            digest: 0,
        });
        let [owner, since] = Owner::encode(self.owner);
        [
            u64::from(set.number),
            self.epoch,
            self.outcome as u64 | u64::from(self.rehash.0) << 8,
            u64::from_le_bytes(standings),
            roles,
            counts,
            pair(self.lost, self.state.pages),
            self.state.summary.0,
            self.state.jobs_until,
            newest.after,
            newest.digest,
            owner,
            since,
        ]
    }

    /// Returns the verdict that [`Verdict::encode`] has made these words of, if a voter of this
    /// set can have said it.
    #[must_use]
    pub fn decode(set: &Set, layout: &VoterLayout, words: &[u64; Self::WORDS]) -> Option<Self> {
        let [
            number,
            epoch,
            outcome,
            standings,
            roles,
            counts,
            pages,
            summary,
            jobs_until,
            after,
            digest,
            owner,
            since,
        ] = *words;
        let mut decoded = [Standing::Absent; MAX_REPLICAS];
        for (index, byte) in standings.to_le_bytes().into_iter().enumerate() {
            let standing = Standing::from_byte(byte)?;
            let is_member = index < usize::from(set.replicas);
            if is_member == (standing == Standing::Absent) {
                return None;
            }
            decoded[index] = standing;
        }
        let plan = match roles {
            Self::NONE => None,
            roles => Some(Plan::decode(set, layout, roles, counts)?),
        };
        let newest = Origin { after, digest };
        let verdict = Self {
            epoch,
            outcome: Outcome::from_word(outcome & 0xff)?,
            standings: decoded,
            rehash: Members((outcome >> 8) as u8),
            plan,
            lost: (pages >> 32) as u32,
            newest: (after != Self::NONE).then_some(newest),
            state: State {
                pages: pages as u32,
                summary: Summary(summary),
                jobs_until,
            },
            owner: Owner::decode([owner, since], set.replicas, epoch)?,
        };
        let possible = number == u64::from(set.number)
            && outcome >> 16 == 0
            && verdict.state.pages <= layout.capacity()
            && jobs_until <= epoch.checked_add(1)?
            && verdict.newest.is_none_or(|newest| newest.after <= epoch)
            && verdict.outcome.is_agreement() == (verdict.lost == 0);
        possible.then_some(verdict)
    }
}

impl Plan {
    fn decode(set: &Set, layout: &VoterLayout, roles: u64, counts: u64) -> Option<Self> {
        let [target, donor, witness, 0, 0, 0, 0, 0] = roles.to_le_bytes() else {
            return None;
        };
        let (round, differing) = ((counts >> 32) as u32, counts as u32);
        // Of two replicas nobody else is left to confirm what the donor gives.
        let are_apart = target != donor && target != witness && (donor != witness) != set.is_pair();
        let members = [target, donor, witness];
        let possible = are_apart
            && members.iter().all(|replica| *replica < set.replicas)
            && differing <= layout.capacity()
            && round < MOST_ROUNDS;
        possible.then_some(Self {
            target,
            donor,
            witness,
            round,
            differing,
        })
    }
}

const fn pair(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ballot::tests::SET;
    use core::sync::atomic::AtomicU64;
    use std::vec::Vec;

    fn verdict() -> Verdict {
        let mut standings = [Standing::Absent; MAX_REPLICAS];
        standings[..3].copy_from_slice(&[Standing::Agreed, Standing::Late, Standing::Agreed]);
        Verdict {
            epoch: 1 << 40,
            outcome: Outcome::Majority,
            standings,
            rehash: Members(0b010),
            plan: Some(Plan {
                target: 1,
                donor: 2,
                witness: 0,
                round: 3,
                differing: 64,
            }),
            lost: 0,
            newest: None,
            state: State {
                pages: 90,
                summary: Summary(77),
                jobs_until: 1 << 40,
            },
            owner: Some(Owner {
                place: 2,
                before: 0,
                since: 77,
                moves: 1,
                awaited: 0b10,
            }),
        }
    }

    fn lost() -> Verdict {
        Verdict {
            outcome: Outcome::Lost,
            plan: None,
            lost: 2,
            newest: Some(Origin {
                after: 1 << 39,
                digest: 5,
            }),
            ..verdict()
        }
    }

    fn channel() -> (Vec<AtomicU64>, VoterLayout) {
        let words: Vec<AtomicU64> = (0..512).map(|_| AtomicU64::new(0)).collect();
        let layout = VoterLayout::new(words.len()).unwrap();
        (words, layout)
    }

    #[test]
    fn a_verdict_comes_back_as_it_was_published() {
        let (words, layout) = channel();
        let stopped = Verdict {
            outcome: Outcome::Stopped,
            newest: None,
            ..lost()
        };
        for verdict in [verdict(), lost(), stopped] {
            verdict.publish(&SET, &layout, Writer::new(&words));
            assert_eq!(
                Verdict::read(&SET, &layout, Reader::new(&words)),
                Ok(verdict)
            );
            assert_eq!(verdict.faulty(), Members(0b010));
        }
    }

    #[test]
    fn an_agreement_names_itself_and_a_lost_epoch_the_last_agreement() {
        let (origin, state) = verdict().agreed(&SET).unwrap();
        assert_eq!((origin.after, state), ((1 << 40) + 1, verdict().state));
        let planned = Verdict {
            plan: None,
            rehash: Members::NONE,
            ..verdict()
        };
        assert_eq!(planned.agreed(&SET).unwrap().0, origin, "the same state");
        let mut other = verdict();
        other.state.summary.0 ^= 1;
        assert_ne!(other.agreed(&SET).unwrap().0, origin, "another state");
        assert_eq!(
            lost().agreed(&SET),
            Some((lost().newest.unwrap(), lost().state))
        );
        let nobody = Verdict {
            newest: None,
            ..lost()
        };
        assert_eq!(nobody.agreed(&SET), None);
    }

    #[test]
    fn what_no_voter_of_the_set_writes_is_not_read() {
        let (words, layout) = channel();
        let plan = verdict().plan.unwrap();
        let planned = |plan| Verdict {
            plan: Some(plan),
            ..verdict()
        };
        let mut fourth = verdict();
        fourth.standings[3] = Standing::Timeout;
        let mut absent = verdict();
        absent.standings[1] = Standing::Absent;
        let cases = [
            (
                "a target outside the set",
                planned(Plan { target: 3, ..plan }),
            ),
            ("its own donor", planned(Plan { donor: 1, ..plan })),
            ("one for two", planned(Plan { witness: 2, ..plan })),
            (
                "too long a list",
                planned(Plan {
                    differing: layout.capacity() + 1,
                    ..plan
                }),
            ),
            (
                "too many rounds",
                planned(Plan {
                    round: MOST_ROUNDS,
                    ..plan
                }),
            ),
            ("a fourth of three", fourth),
            ("nobody where there is one", absent),
            (
                "a state of jobs to come",
                Verdict {
                    state: State {
                        jobs_until: (1 << 40) + 2,
                        ..verdict().state
                    },
                    ..verdict()
                },
            ),
            (
                "an agreement to come",
                Verdict {
                    newest: Some(Origin {
                        after: (1 << 40) + 1,
                        digest: 0,
                    }),
                    ..lost()
                },
            ),
            (
                "lost and agreed",
                Verdict {
                    lost: 1,
                    ..verdict()
                },
            ),
            ("lost, but no vote was", Verdict { lost: 0, ..lost() }),
            (
                "the end of time",
                Verdict {
                    epoch: u64::MAX,
                    ..verdict()
                },
            ),
        ];
        for (what, wrong) in cases {
            wrong.publish(&SET, &layout, Writer::new(&words));
            let read = Verdict::read(&SET, &layout, Reader::new(&words));
            assert!(read.is_err(), "{what}");
        }
    }
}
