//! A replica's work between a verdict and the next release.
use tern_recovery::{
    Channels, Donor, Hashing, PageMemory, Published, RepairEnd, RepairStep, Target, Witness,
};
use tern_units::StateWords;
use tern_vote::{Page, Plan, Verdict};

use super::base::Pending;
use crate::next::ReplicaChannels;

/// A replica's part in a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// It gives its pages.
    Donor,
    /// It confirms them.
    Witness,
    /// It takes them.
    Target,
    /// It hashes all of its own.
    Rehash,
    /// It finishes the commit of a job whose ballot came too late.
    Commit,
    /// It copies what was agreed on into its checkpoint.
    Keep,
    /// It goes back to what was agreed last.
    RollBack,
}

impl Duty {
    const NONE: u64 = 0;

    /// Returns the part in a repair of replica `number`: members give and confirm, and who is no
    /// member takes. A member that does both confirms first.
    pub(super) fn in_plan(plan: &Plan, number: u8, is_member: bool) -> Option<Self> {
        let parts = [
            (plan.witness, Self::Witness, true),
            (plan.donor, Self::Donor, true),
            (plan.target, Self::Target, false),
        ];
        let mut own = parts
            .iter()
            .filter(|(replica, _, of_members)| (*replica, *of_members) == (number, is_member));
        own.next().map(|(_, duty, _)| *duty)
    }

    /// Returns what is to be done with a checkpoint, as a duty.
    pub(super) const fn of(pending: Pending) -> Self {
        match pending {
            Pending::Keep => Self::Keep,
            Pending::RollBack => Self::RollBack,
        }
    }

    const fn to_word(self) -> u64 {
        match self {
            Self::Donor => 1,
            Self::Witness => 2,
            Self::Target => 3,
            Self::Rehash => 4,
            Self::Commit => 5,
            Self::Keep => 6,
            Self::RollBack => 7,
        }
    }

    const fn from_word(word: u64) -> Option<Self> {
        match word {
            1 => Some(Self::Donor),
            2 => Some(Self::Witness),
            3 => Some(Self::Target),
            4 => Some(Self::Rehash),
            5 => Some(Self::Commit),
            6 => Some(Self::Keep),
            7 => Some(Self::RollBack),
            _ => None,
        }
    }
}

/// The work under way, as words of which any value is one that leads nowhere else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    duty: u64,
    donor: Donor,
    witness: Witness,
    target: Target,
    /// The replicas that the duty is with: target, donor and witness.
    taker: u64,
    giver: u64,
    confirmer: u64,
    /// Pages taken over in the repair under way, or in the last.
    repaired: u64,
}

impl Work {
    /// What it is, if there is any.
    pub(crate) const fn duty(&self) -> Option<Duty> {
        Duty::from_word(self.duty)
    }

    /// Whether it is to take pages.
    pub(crate) fn is_target(&self) -> bool {
        self.duty() == Some(Duty::Target)
    }

    /// Pages that were taken over in the repair under way, or in the last.
    pub(crate) const fn repaired(&self) -> u32 {
        self.repaired as u32
    }

    /// There is nothing to do.
    pub(super) const fn end(&mut self) {
        self.duty = Duty::NONE;
    }

    /// Goes on with what needs no verdict.
    pub(super) fn resume(&mut self, duty: Option<Duty>) {
        self.duty = duty.map_or(Duty::NONE, Duty::to_word);
    }

    /// Takes up what a verdict gives out.
    pub(super) fn take_up(&mut self, duty: Option<Duty>, verdict: &Verdict) {
        self.duty = duty.map_or(Duty::NONE, Duty::to_word);
        let Some((duty, plan)) = duty.zip(verdict.plan) else {
            return;
        };
        let epoch = verdict.epoch;
        (self.taker, self.giver, self.confirmer) = (
            u64::from(plan.target),
            u64::from(plan.donor),
            u64::from(plan.witness),
        );
        match duty {
            Duty::Donor | Duty::Witness => {
                self.donor = Donor::new(epoch, &plan);
                self.witness = Witness::new(epoch, &plan);
            }
            Duty::Target => {
                if plan.round == 0 {
                    self.repaired = 0;
                }
                self.target = Target::new(epoch, &plan, verdict.state.summary, self.repaired());
            }
            Duty::Rehash | Duty::Commit | Duty::Keep | Duty::RollBack => {}
        }
    }

    /// Does at most one page of a donor's, a witness's or a target's work.
    pub(super) fn step<S: AsRef<[u64]> + AsMut<[u64]>>(
        &mut self,
        hashing: &Hashing,
        memory: &mut impl PageMemory,
        table: &mut Published<S>,
        scratch: &mut Page,
        channels: &ReplicaChannels<'_>,
    ) -> RepairStep {
        let ReplicaChannels { own, replicas, .. } = *channels;
        let taker = u8::try_from(self.taker).ok();
        let Some(list) = taker.and_then(|taker| channels.voters.list(taker)) else {
            return RepairStep::Ended(RepairEnd::Incomplete);
        };
        let peer = |replica: u64| {
            let replica = usize::try_from(replica).ok()?;
            replicas.get(replica).copied()
        };
        if self.duty() == Some(Duty::Witness) {
            let step = self.witness.step(hashing, memory, table, list, own);
            if self.giver != self.confirmer {
                return step;
            }
            // Who confirms and gives goes on with that at once.
            match step {
                RepairStep::Ended(RepairEnd::Complete) => self.duty = Duty::Donor.to_word(),
                RepairStep::Page { page, left } => {
                    let left = left.saturating_add(1);
                    return RepairStep::Page { page, left };
                }
                RepairStep::Waiting { .. } | RepairStep::Ended(_) => return step,
            }
        }
        let step = match self.duty() {
            Some(Duty::Donor) => peer(self.taker)
                .map(|target| self.donor.step(hashing, memory, table, list, target, own)),
            Some(Duty::Target) => {
                peer(self.giver)
                    .zip(peer(self.confirmer))
                    .map(|(donor, witness)| {
                        let channels = Channels {
                            voter: list,
                            donor,
                            witness,
                        };
                        let step = self
                            .target
                            .step(hashing, memory, table, scratch, &channels, own);
                        self.repaired = u64::from(self.target.progress().repaired);
                        step
                    })
            }
            Some(Duty::Witness | Duty::Rehash | Duty::Commit | Duty::Keep | Duty::RollBack)
            | None => None,
        };
        step.unwrap_or(RepairStep::Ended(RepairEnd::Incomplete))
    }
}

impl StateWords for Work {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        visitor("work.duty", &mut self.duty);
        self.donor.visit(visitor);
        self.witness.visit(visitor);
        self.target.visit(visitor);
        visitor("work.taker", &mut self.taker);
        visitor("work.giver", &mut self.giver);
        visitor("work.confirmer", &mut self.confirmer);
        visitor("work.repaired", &mut self.repaired);
    }
}
