//! The voter of a set: vote, descend, verdict, epoch after epoch.
use crate::decision::{Ballots, Decision};
use crate::descent::{Descent, DescentEnd, DescentStep};
use crate::layout::VoterLayout;
use crate::verdict::{Members, Outcome, Plan, Verdict};
use crate::words::{Reader, Writer};
use crate::{MAX_REPLICAS, Set};

/// The voter of one replica set.
///
/// In each epoch: [`Voter::begin`] once, then [`Voter::step`] until it is done; the
/// verdict then stands in the voter's channel.
#[derive(Clone, Debug)]
pub struct Voter {
    set: Set,
    most_rounds: u32,
    ballots: Ballots,
    /// How many epochs in a row each replica has been repaired without success.
    rounds: [u32; MAX_REPLICAS],
    abandoned: Members,
    stopped: bool,
    work: Option<Work>,
}

/// The descent under way.
#[derive(Clone, Debug)]
struct Work {
    verdict: Verdict,
    decision: Decision,
    target: u8,
    /// Counts members of the majority through, from one that changes with the round.
    rank: u32,
    tried: u32,
    descent: Descent,
}

/// How a vote goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoterStep {
    /// About so many pages are still to be compared.
    More(u32),
    /// The verdict is published.
    Done(Verdict),
}

impl Voter {
    /// The voter before the first epoch. After `most_rounds` epochs of repair in a row
    /// without success a replica is abandoned.
    #[must_use]
    pub const fn new(set: Set, most_rounds: u32) -> Self {
        Self {
            set,
            most_rounds,
            ballots: Ballots::new(set),
            rounds: [0; MAX_REPLICAS],
            abandoned: Members::NONE,
            stopped: false,
            work: None,
        }
    }

    /// Whether the set has stopped for good.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Reads the ballots for `epoch` and votes; the output may be taken from the
    /// decision at once. Without a majority the set is stopped: from then on no decision
    /// has an output.
    pub fn begin(&mut self, epoch: u64, channels: &[Reader<'_>]) -> Decision {
        let mut decision = self.ballots.vote(epoch, channels);
        if self.stopped {
            decision.outcome = Outcome::Stopped;
            decision.agreed = None;
        }
        self.stopped |= decision.agreed.is_none();
        self.note_agreement(&decision);
        let verdict = self.verdict(&decision);
        let target = self.target(&decision);
        let rank = target.map_or(0, |target| self.rounds[usize::from(target)]);
        self.work = Some(Work {
            verdict,
            target: target.unwrap_or(u8::MAX),
            rank,
            tried: 0,
            descent: Self::descent(&decision, target),
            decision: decision.clone(),
        });
        decision
    }

    /// Does a bounded piece of what [`Voter::begin`] began: compares some pages, or
    /// publishes the verdict. `None` if nothing is begun.
    pub fn step(
        &mut self,
        channels: &[Reader<'_>],
        layout: &VoterLayout,
        own: Writer<'_>,
    ) -> Option<VoterStep> {
        let mut work = self.work.take()?;
        let majority = work.decision.majority();
        let donor = majority.cyclic(work.rank);
        let witness = majority.cyclic(work.rank + 1);
        if let (Some(donor), Some(witness)) = (donor, witness)
            && let Some(target) = channels.get(usize::from(work.target))
            && donor != witness
            && work.tried < majority.count()
        {
            let from = channels[usize::from(donor)];
            match work.descent.step(&self.set, from, *target, layout, own) {
                DescentStep::More(pages) => {
                    self.work = Some(work);
                    return Some(VoterStep::More(pages));
                }
                DescentStep::Done(DescentEnd::MajorityTable) => {
                    work.rank += 1;
                    work.tried += 1;
                    work.descent = Self::descent(&work.decision, Some(work.target));
                    let pages = work.verdict.pages;
                    self.work = Some(work);
                    return Some(VoterStep::More(pages));
                }
                DescentStep::Done(DescentEnd::TargetTable) => {
                    work.verdict.rehash = work.verdict.rehash.with(work.target);
                }
                DescentStep::Done(DescentEnd::Listed(differing)) => {
                    let target = work.target;
                    let round = self.rounds[usize::from(target)];
                    work.verdict.plan = Some(Plan {
                        target,
                        donor,
                        witness,
                        round,
                        differing,
                    });
                }
            }
            self.rounds[usize::from(work.target)] += 1;
        }
        work.verdict.publish(&self.set, layout, own);
        Some(VoterStep::Done(work.verdict))
    }

    /// A replica that agrees is whole again.
    fn note_agreement(&mut self, decision: &Decision) {
        for replica in decision.majority().iter() {
            self.rounds[usize::from(replica)] = 0;
            self.abandoned.0 &= !(1 << replica);
        }
        for replica in 0..self.set.replicas {
            if self.rounds[usize::from(replica)] >= self.most_rounds {
                self.abandoned = self.abandoned.with(replica);
            }
        }
    }

    /// The replica to repair next: one that has been begun before the others.
    fn target(&self, decision: &Decision) -> Option<u8> {
        decision.agreed.as_ref()?;
        let candidates = Members(decision.repairable().0 & !self.abandoned.0);
        candidates
            .iter()
            .max_by_key(|replica| (self.rounds[usize::from(*replica)] > 0, u8::MAX - replica))
    }

    fn verdict(&self, decision: &Decision) -> Verdict {
        let rehash = (0..self.set.replicas)
            .filter(|replica| !decision.standings[usize::from(*replica)].has_ballot())
            .fold(Members::NONE, Members::with);
        let agreed = decision.agreed.as_ref();
        Verdict {
            epoch: decision.epoch,
            outcome: decision.outcome,
            standings: decision.standings,
            rehash,
            abandoned: self.abandoned,
            plan: None,
            pages: agreed.map_or(0, |ballot| ballot.pages),
            summary: agreed.map_or_else(Default::default, |ballot| ballot.summary),
        }
    }

    fn descent(decision: &Decision, target: Option<u8>) -> Descent {
        let agreed = decision.agreed.as_ref();
        let (pages, majority) = agreed.map_or((0, Default::default()), |a| (a.pages, a.summary));
        let target = target.and_then(|target| decision.ballots[usize::from(target)]);
        let summary = target.map_or_else(Default::default, |ballot| ballot.summary);
        Descent::new(decision.epoch, pages, majority, summary)
    }
}
