//! Two replicas in lock-step: neither outvotes the other, so nothing is agreed unless both say it.
//!
//! Where they differ, what was agreed last stands, and tells which of them is wrong: the one that
//! has it again gives its pages to the one that says it has not.
use crate::ballot::{Ballot, BallotKind};
use crate::state::{Origin, State};
use crate::verdict::{MOST_ROUNDS, Plan, Verdict};
use crate::{MAX_REPLICAS, Set};

type Ballots = [Option<Ballot>; MAX_REPLICAS];

/// Returns the state that was agreed last, and the verdict that agreed on it, where the voters know
/// of no verdict: one replica holds a state that is the one of the verdict that it names, and the
/// other names the same verdict, or none. A replica that names another is not told what it was.
pub(crate) fn proven(set: &Set, ballots: &Ballots) -> Option<(Origin, State)> {
    let all = || ballots.iter().flatten();
    let holds = |ballot: &&Ballot| ballot.kind == BallotKind::Held;
    let proof = all().filter(holds).find_map(|ballot| {
        let (origin, state) = (ballot.origin?, ballot.state());
        origin
            .is_of(set, &state)
            .then_some((ballot.replica, origin, state))
    });
    let (by, origin, state) = proof?;
    let mut others = all().filter(holds).filter(|ballot| ballot.replica != by);
    let is_undisputed = others.next()?.origin.is_none_or(|it| it == origin);
    is_undisputed.then_some((origin, state))
}

/// Returns who repairs whom after a vote without agreement: the replica whose state comes from the
/// newest agreed verdict gives, and the one that does not run and does not have that state takes.
///
/// The list of pages is made from the giver's leaves, which must sum up to the agreed summary. Where
/// it has run, they do not: it rolls back, holds its state in the next epoch, and gives then.
pub(crate) fn plan(
    (origin, state): &(Origin, State),
    ballots: &Ballots,
    before: Option<&Verdict>,
) -> Option<Plan> {
    let all = || ballots.iter().flatten();
    let comes_from_it = |ballot: &&Ballot| ballot.origin == Some(*origin);
    let target = all().find(|ballot| {
        let is_held = ballot.kind == BallotKind::Held;
        is_held && !comes_from_it(ballot) && ballot.state() != *state
    })?;
    let donor = all().find(comes_from_it)?;
    let last = before.and_then(|before| before.plan);
    let round = last.map_or(0, |last| (last.round + 1) % MOST_ROUNDS);
    Some(Plan {
        target: target.replica,
        donor: donor.replica,
        witness: donor.replica,
        round,
        differing: 0,
    })
}
