//! What a sandbox says in its channel in the place of what its task has written there, before
//! anybody reads it: what voters and owners of the device may do that mean harm.
use tern_plant::tag::{Challenge, Places};
use tern_units::Instant;
use tern_vote::{
    Ballot, Members, Origin, Outcome, Plan, Release, Set, Standing, Verdict, VoterLayout, Writer,
};

/// What is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// The ballot is that of so many epochs before.
    Stale { age: u64 },
    /// A second ballot is cast whose summary differs in this bit.
    Twice { bit: u32 },
    /// A bit of the ballot's record differs.
    Malformed { word: usize, bit: u32 },
    /// A field of the verdict is this.
    Verdict(VerdictField, u64),
    /// A field of the input is this.
    Input(InputField, u64),
}

/// A field of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VerdictField {
    Epoch,
    Outcome,
    Standings,
    Rehash,
    Plan,
    Lost,
    Newest,
    Pages,
    Summary,
    JobsUntil,
    NoOwner,
    OwnerPlace,
    OwnerBefore,
    OwnerSince,
    OwnerMoves,
    OwnerAwaited,
}

/// A field of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputField {
    Epoch,
    Time,
    Fresh,
    Sample,
    Challenge,
    Taken,
    Bad,
    Tag,
    Stale,
    Count,
    Payload,
}

impl VerdictField {
    pub const ALL: [Self; 16] = [
        Self::Epoch,
        Self::Outcome,
        Self::Standings,
        Self::Rehash,
        Self::Plan,
        Self::Lost,
        Self::Newest,
        Self::Pages,
        Self::Summary,
        Self::JobsUntil,
        Self::NoOwner,
        Self::OwnerPlace,
        Self::OwnerBefore,
        Self::OwnerSince,
        Self::OwnerMoves,
        Self::OwnerAwaited,
    ];

    /// Makes the field of a verdict in a set of so many replicas what `value` says.
    fn change(self, verdict: &mut Verdict, replicas: u8, value: u64) {
        let place = (value % u64::from(replicas.max(1))) as u8;
        let next = (place + 1) % replicas.max(1);
        let mut owner = verdict.owner;
        match self {
            Self::Epoch => verdict.epoch = value,
            Self::Outcome => {
                verdict.outcome = match value % 5 {
                    0 => Outcome::Unanimous,
                    1 => Outcome::Majority,
                    2 => Outcome::Held,
                    3 => Outcome::Lost,
                    _ => Outcome::Stopped,
                }
            }
            Self::Standings => verdict.standings[usize::from(place)] = Standing::Malformed,
            Self::Rehash => verdict.rehash = Members(value as u8),
            Self::Plan => {
                verdict.plan = Some(Plan {
                    target: place,
                    donor: next,
                    witness: (next + 1) % replicas.max(1),
                    round: 0,
                    differing: value as u32 % 8,
                });
            }
            Self::Lost => verdict.lost = value as u32,
            Self::Newest => {
                verdict.newest = Some(Origin {
                    after: value,
                    digest: value,
                });
            }
            Self::Pages => verdict.state.pages = value as u32,
            Self::Summary => verdict.state.summary.0 = value,
            Self::JobsUntil => verdict.state.jobs_until = value,
            Self::NoOwner => owner = None,
            Self::OwnerPlace => owner.iter_mut().for_each(|owner| owner.place = place),
            Self::OwnerBefore => owner.iter_mut().for_each(|owner| owner.before = place),
            Self::OwnerSince => owner.iter_mut().for_each(|owner| owner.since = value),
            Self::OwnerMoves => owner.iter_mut().for_each(|owner| owner.moves = value as u8),
            Self::OwnerAwaited => owner.iter_mut().for_each(|it| it.awaited = value as u8),
        }
        verdict.owner = owner;
    }
}

impl InputField {
    pub const ALL: [Self; 11] = [
        Self::Epoch,
        Self::Time,
        Self::Fresh,
        Self::Sample,
        Self::Challenge,
        Self::Taken,
        Self::Bad,
        Self::Tag,
        Self::Stale,
        Self::Count,
        Self::Payload,
    ];

    fn change(self, input: &mut Release, value: u64) {
        match self {
            Self::Epoch => input.epoch = value,
            Self::Time => input.time = Instant::from_nanos(value),
            Self::Fresh => input.fresh ^= true,
            Self::Sample => input.sample = value,
            Self::Challenge => input.challenge = Challenge::from_word(value),
            Self::Taken => input.taken ^= true,
            Self::Bad => input.bad = Places(value as u8),
            Self::Tag => input.tag = value,
            Self::Stale => input.stale = value,
            Self::Count => input.count = value as u8,
            Self::Payload => input.payload[1] = value,
        }
    }
}

impl Lie {
    /// Changes what is in the open half of the channel of a replica or a voter. `replica` is the
    /// one in the sandbox, `stale` an earlier ballot of it.
    pub fn tell(&self, set: &Set, replica: usize, stale: &[u64], own: Writer<'_>) {
        match *self {
            Self::Stale { .. } => {
                let words = stale.iter().enumerate();
                words.for_each(|(word, value)| own.store(word, *value));
            }
            Self::Twice { bit } => {
                if let Ok(mut ballot) = Ballot::read(set, replica, own.reader()) {
                    ballot.summary.0 ^= 1 << bit;
                    ballot.cast(set, own);
                }
            }
            Self::Malformed { word, bit } => {
                own.store(word, own.reader().load(word) ^ 1 << bit);
            }
            Self::Verdict(field, value) => {
                if let Some(layout) = VoterLayout::new(own.reader().len())
                    && let Ok(mut verdict) = Verdict::read(set, &layout, own.reader())
                {
                    let truth = verdict;
                    field.change(&mut verdict, set.replicas, value);
                    // What it says is never true.
                    verdict.state.summary.0 ^= u64::from(verdict == truth);
                    verdict.publish(set, &layout, own);
                }
            }
            Self::Input(field, value) => {
                if let Some(layout) = VoterLayout::new(own.reader().len())
                    && let Ok(mut input) = Release::read(set, &layout, own.reader())
                {
                    let truth = input;
                    field.change(&mut input, value);
                    input.payload[0] ^= u64::from(input == truth);
                    input.publish(set, &layout, own);
                }
            }
        }
    }
}
