//! The vote on one epoch, in bounded pieces: who agrees, which pages of one other differ,
//! and the verdict that says so.
use crate::Set;
use crate::ballot::Ballot;
use crate::coded;
use crate::decision::Decision;
use crate::descent::{Descent, DescentEnd, DescentStep};
use crate::layout::VoterLayout;
use crate::lockstep;
use crate::output::output_digest;
use crate::owner::Owner;
use crate::standing::{Members, Outcome, Standing};
use crate::state::{Origin, State};
use crate::summary::Summary;
use crate::verdict::{MOST_ROUNDS, Plan, Verdict};
use crate::words::{Reader, Writer};
use tern_abi::system_call::MESSAGE_WORDS;
use tern_plant::code::Released;
use tern_units::StateWords;

/// What the system description says of a set's recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether replicas outside the majority are repaired.
    pub repairs: bool,
    /// Votes in a row without a majority after which the set has stopped, at least one.
    pub lost_epochs: u32,
}

/// For whom a voter speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// For the set, alone: it has the device, and finds out which pages of any replica differ.
    Arbitrator,
    /// Beside the others, in the sandbox of the replica of that number: its verdict counts as one
    /// of several, and it finds out which pages of that replica differ.
    Member(u8),
    /// In one of two sandboxes in lock-step: only what both voters say is a verdict.
    Lockstep {
        /// The number of the replica beside it.
        place: u8,
        /// That of the replica whose sandbox has the device, which stays there.
        device: u8,
    },
}

/// The output that a majority agreed on, as its ballots have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output {
    count: u64,
    words: [u64; MESSAGE_WORDS],
    /// What the vote on digests let out, as words of 32 bits.
    released: [u64; RELEASED],
}

/// Words of [`Released`].
const RELEASED: usize = 7;

impl Output {
    /// Returns the output's words; none where nothing was agreed.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        let count = self.count.min(MESSAGE_WORDS as u64) as usize;
        &self.words[..count]
    }

    /// Returns the digest that the vote on digests let out, if it is a majority's and this
    /// output's: otherwise a fault has come between the ballots and here, and the output is to be
    /// withheld.
    #[must_use]
    pub fn digest(&self, set: &Set, epoch: u64) -> Option<u64> {
        let mut words = [0; RELEASED];
        for (word, kept) in words.iter_mut().zip(&self.released) {
            *word = u32::try_from(*kept).ok()?;
        }
        let [a, b, c, d, signature, leader, followers] = words;
        let released = Released {
            words: [a, b, c, d],
            signature,
            leader,
            followers,
        };
        let digest = set.code.check(&released, set.replicas)?;
        (digest == output_digest(set, epoch, self.words())).then_some(digest)
    }
}

/// Returns the output that a decision releases, with its digest by a vote of its own.
fn output(set: &Set, decision: &Decision) -> Output {
    let Some(agreed) = decision.agreed else {
        return Output::default();
    };
    let ballots = decision.ballots.iter().flatten();
    let cast = ballots.map(|ballot| (ballot.replica, ballot.words));
    let Released {
        words: [a, b, c, d],
        signature,
        leader,
        followers,
    } = coded::vote(set.code, decision.majority(), cast);
    Output {
        count: u64::from(agreed.count),
        words: agreed.output,
        released: [a, b, c, d, signature, leader, followers].map(u64::from),
    }
}

/// The vote on one epoch.
///
/// [`Vote::on`] reads the ballots, then [`Vote::step`] until it is done; the verdict then
/// stands in the voter's channel. What is kept from step to step are plain words: one that a
/// fault has changed spoils this epoch's verdict and no other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vote {
    /// The verdict so far, as it will be published.
    verdict: [u64; Verdict::WORDS],
    output: Output,
    /// The replica to be repaired, if its number is one.
    target: u64,
    round: u64,
    /// Counts members of the majority through, from one that changes with the round.
    rank: u64,
    tried: u64,
    descent: Descent,
}

/// How a vote goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteStep {
    /// About so many pages are still to be compared.
    More(u32),
    /// The verdict is published.
    Done(Verdict),
    /// What was to be published is no verdict on the epoch: a fault has changed it.
    Void,
}

impl Vote {
    const NOBODY: u64 = u64::MAX;

    /// Reads the ballots for `epoch`, each where its replica casts it, and decides. `before` is the
    /// newest verdict that the voter knows: one that has none, since it started anew, decides as
    /// well.
    #[must_use]
    pub fn on(
        set: &Set,
        rules: &Rules,
        seat: Seat,
        epoch: u64,
        ballots: &[Reader<'_>],
        before: Option<Verdict>,
    ) -> Self {
        let before = before.filter(|before| before.epoch < epoch);
        let decision = Decision::on(set, epoch, before.as_ref(), ballots);
        let mut verdict = verdict(set, rules, before.as_ref(), &decision);
        let next = match rules.repairs && verdict.outcome.is_agreement() {
            true => next_target(before.as_ref(), decision.repairable()),
            false => None,
        };
        let listed = match seat {
            Seat::Arbitrator => next,
            Seat::Lockstep { place, device } => {
                verdict.owner = Some(Owner::fixed(device));
                if !verdict.outcome.is_agreement() {
                    let known = before.and_then(|before| before.agreed(set));
                    let newest = known.or_else(|| lockstep::proven(set, &decision.ballots));
                    (verdict.newest, verdict.state) = split(newest);
                    verdict.plan = newest.filter(|_| rules.repairs).and_then(|newest| {
                        lockstep::plan(&newest, &decision.ballots, before.as_ref())
                    });
                }
                let plan = verdict.plan.filter(|plan| plan.target == place);
                plan.map(|plan| (plan.target, plan.round))
            }
            // Who repairs whom follows from the ballots alone, so that all voters say the same.
            Seat::Member(place) => {
                let members = decision.majority();
                let last = before.and_then(|before| before.owner);
                let answer = decision.agreed.map(|agreed| agreed.answer);
                verdict.owner = Owner::after(last, epoch, members, answer);
                verdict.plan = next.and_then(|(target, round)| plan(members, target, round, round));
                next.filter(|(target, _)| *target == place)
            }
        };
        let (target, round) = listed.map_or((Self::NOBODY, 0), |(target, round)| {
            (u64::from(target), u64::from(round))
        });

        let summary = |ballot: Option<Ballot>| ballot.map_or(Summary::EMPTY, |it| it.summary);
        let ballot = decision.ballots.get(target as usize).copied().flatten();
        let state = verdict.state;
        Self {
            verdict: verdict.encode(set),
            output: output(set, &decision),
            target,
            round,
            rank: round,
            tried: 0,
            descent: Descent::new(epoch, state.pages, state.summary, summary(ballot)),
        }
    }

    /// Returns the output that was agreed on.
    #[must_use]
    pub const fn output(&self) -> &Output {
        &self.output
    }

    /// Returns whose sandbox had the device until this vote, by its verdict, and so freezes the
    /// next epoch's input.
    #[must_use]
    pub fn owner_before(&self, set: &Set, layout: &VoterLayout) -> Option<u8> {
        let verdict = Verdict::decode(set, layout, &self.verdict);
        verdict
            .and_then(|verdict| verdict.owner)
            .map(|owner| owner.before)
    }

    /// Gives the descent up: the next step publishes the verdict, without a list of pages.
    pub const fn give_up_repair(&mut self) {
        self.target = Self::NOBODY;
    }

    /// Does a bounded piece of the vote on `epoch`: compares some pages, whose leaves are in the
    /// replicas' channels, or publishes the verdict.
    pub fn step(
        &mut self,
        set: &Set,
        epoch: u64,
        channels: &[Reader<'_>],
        layout: &VoterLayout,
        own: Writer<'_>,
    ) -> VoteStep {
        let decoded = Verdict::decode(set, layout, &self.verdict);
        let Some(mut verdict) = decoded.filter(|verdict| verdict.epoch == epoch) else {
            return VoteStep::Void;
        };
        let majority = verdict.members(Standing::Agreed);
        let target = u8::try_from(self.target).ok();
        let target = target.filter(|target| !majority.contains(*target));
        let agreed = verdict.plan.filter(|plan| Some(plan.target) == target);
        let chosen = || {
            let round = self.round.min(u64::from(MOST_ROUNDS - 1)) as u32;
            let plan = plan(majority, target?, self.rank as u32, round);
            plan.filter(|_| self.tried < u64::from(majority.count()))
        };
        let channel = |replica: u8| channels.get(usize::from(replica)).copied();

        if let Some(plan) = agreed.or_else(chosen)
            && let (Some(from), Some(to)) = (channel(plan.donor), channel(plan.target))
        {
            match self.descent.step(set, from, to, layout, own) {
                DescentStep::More(pages) => return VoteStep::More(pages),
                // Where all voters have agreed on the donor, the next epoch's is another.
                DescentStep::Done(DescentEnd::MajorityTable) if agreed.is_some() => {}
                DescentStep::Done(DescentEnd::MajorityTable) => {
                    self.rank = u64::from((self.rank as u32).wrapping_add(1));
                    self.tried = self.tried.saturating_add(1);
                    self.descent.restart();
                    return VoteStep::More(verdict.state.pages);
                }
                DescentStep::Done(DescentEnd::TargetTable) => {
                    verdict.rehash = verdict.rehash.with(plan.target);
                }
                DescentStep::Done(DescentEnd::Listed(differing)) => {
                    verdict.plan = Some(Plan { differing, ..plan });
                }
            }
        }
        verdict.publish(set, layout, own);
        VoteStep::Done(verdict)
    }
}

/// Returns the verdict on a decision, without a plan.
fn verdict(set: &Set, rules: &Rules, before: Option<&Verdict>, decision: &Decision) -> Verdict {
    let (outcome, lost) = if decision.outcome.is_agreement() {
        (decision.outcome, 0)
    } else {
        let lost = before.map_or(0, |before| before.lost).saturating_add(1);
        let outcome = match lost >= rules.lost_epochs {
            true => Outcome::Stopped,
            false => Outcome::Lost,
        };
        (outcome, lost)
    };
    // Where nothing was agreed, what was agreed last stands.
    let newest = before.filter(|_| lost > 0).and_then(|it| it.agreed(set));
    let agreed = decision.agreed.map(|ballot| State {
        pages: ballot.pages,
        summary: ballot.summary,
        jobs_until: ballot.jobs_until,
    });
    Verdict {
        epoch: decision.epoch,
        outcome,
        standings: decision.standings,
        rehash: Members::NONE,
        plan: None,
        lost,
        newest: newest.map(|(origin, _)| origin),
        state: agreed
            .or(newest.map(|(_, state)| state))
            .unwrap_or_default(),
        owner: None,
    }
}

/// Returns the origin and the state of what was agreed last, if anything was.
fn split(newest: Option<(Origin, State)>) -> (Option<Origin>, State) {
    newest.map_or((None, State::default()), |(origin, state)| {
        (Some(origin), state)
    })
}

/// Returns who repairs replica `target`: the member of the majority of that rank gives, and the
/// next one confirms. Nobody, if there are not two of them.
fn plan(majority: Members, target: u8, rank: u32, round: u32) -> Option<Plan> {
    let donor = majority.cyclic(rank)?;
    let witness = majority.cyclic(rank.wrapping_add(1))?;
    (donor != witness).then_some(Plan {
        target,
        donor,
        witness,
        round,
        differing: 0,
    })
}

/// Returns the replica to repair next and the round: the one begun with goes on until it is
/// whole, or has had its rounds and others wait.
fn next_target(before: Option<&Verdict>, candidates: Members) -> Option<(u8, u32)> {
    let last = before.and_then(|before| before.plan);
    let Some(last) = last.filter(|last| candidates.contains(last.target)) else {
        return candidates.iter().next().map(|target| (target, 0));
    };
    if last.round + 1 < MOST_ROUNDS {
        return Some((last.target, last.round + 1));
    }
    let behind = candidates.iter().find(|target| *target > last.target);
    behind
        .or_else(|| candidates.iter().next())
        .map(|target| (target, 0))
}

impl StateWords for Vote {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        for word in &mut self.verdict {
            visitor("vote.verdict", word);
        }
        visitor("vote.output.count", &mut self.output.count);
        for word in &mut self.output.words {
            visitor("vote.output.words", word);
        }
        for word in &mut self.output.released {
            visitor("vote.output.released", word);
        }
        visitor("vote.target", &mut self.target);
        visitor("vote.round", &mut self.round);
        visitor("vote.rank", &mut self.rank);
        visitor("vote.tried", &mut self.tried);
        self.descent.visit(visitor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ballot::tests::{SET, ballot, channel};
    use core::sync::atomic::AtomicU64;
    use std::vec::Vec;

    const EPOCH: u64 = 9;
    const RULES: Rules = Rules {
        repairs: true,
        lost_epochs: 3,
    };

    /// The vote on three ballots, of which the first says something else.
    fn vote(set: &Set) -> Vote {
        let channels: Vec<Vec<AtomicU64>> = (0..3).map(|_| channel(10)).collect();
        for (replica, words) in (0..).zip(&channels) {
            let mut ballot = ballot(replica, EPOCH);
            if replica == 0 {
                ballot.output[0] ^= 1 << 50;
            }
            let output = &ballot.output[..2];
            ballot.words = crate::output_words(set, usize::from(replica), EPOCH, output);
            ballot.cast(set, Writer::new(words));
        }
        let readers: Vec<_> = channels.iter().map(|it| Reader::new(it)).collect();
        Vote::on(set, &RULES, Seat::Arbitrator, EPOCH, &readers, None)
    }

    #[test]
    fn the_digest_of_what_a_majority_cast_goes_out_in_either_code() {
        for code in [crate::Code::Arithmetic, crate::Code::Plain] {
            let set = Set { code, ..SET };
            let vote = vote(&set);
            let digest = output_digest(&set, EPOCH, &[EPOCH * 10, 0]);
            assert_eq!(vote.output().words(), [EPOCH * 10, 0]);
            assert_eq!(vote.output().digest(&set, EPOCH), Some(digest));
            assert_eq!(vote.output().digest(&set, EPOCH + 1), None);
        }
    }

    #[test]
    fn an_output_in_which_a_bit_has_changed_since_the_vote_is_withheld() {
        let sound = vote(&SET);
        let mut words = 0;
        sound
            .clone()
            .visit(&mut |name, _| words += u32::from(name.starts_with("vote.output")));
        let mut withheld = 0;
        for (flipped, bit) in (0..words).flat_map(|word| (0..64).map(move |bit| (word, bit))) {
            let mut vote = sound.clone();
            let mut at = 0;
            vote.visit(&mut |name, word| {
                if name.starts_with("vote.output") {
                    *word ^= u64::from(at == flipped) << bit;
                    at += 1;
                }
            });
            match vote.output().digest(&SET, EPOCH) {
                None => withheld += 1,
                // A word behind the output.
                Some(_) => assert_eq!(vote.output().words(), sound.output().words()),
            }
        }
        // The count, the two words in use and the seven that the vote on digests let out.
        assert_eq!(withheld, 64 * (1 + 2 + 7));
    }
}
