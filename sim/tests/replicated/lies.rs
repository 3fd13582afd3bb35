//! What a sandbox of a set may say and do that each have a voter, whatever its replica and its voter
//! would.
use std::cell::RefCell;

use tern_sim::sets::{Place, World};
use tern_vote::{
    BALLOT, Ballot, Members, Origin, Outcome, Owner, Plan, Release, Set, Standing, Verdict,
    VoterLayout, Writer,
};

use super::{BALLOT_FIELDS, Random, VALUES};

/// Changes the ballot that stands in an open half, as if it had been cast so.
pub fn change_ballot(replica: usize, change: impl FnOnce(&mut Ballot), set: &Set, own: Writer<'_>) {
    if let Ok(mut ballot) = Ballot::read(set, replica, own.reader()) {
        change(&mut ballot);
        own.store(BALLOT.at, 0);
        ballot.cast(set, own);
    }
}

pub fn change_verdict(change: impl FnOnce(&mut Verdict), set: &Set, own: Writer<'_>) {
    let layout = VoterLayout::new(own.reader().len()).unwrap();
    if let Ok(mut verdict) = Verdict::read(set, &layout, own.reader()) {
        change(&mut verdict);
        verdict.publish(set, &layout, own);
    }
}

pub fn change_input(change: impl FnOnce(&mut Release), set: &Set, own: Writer<'_>) {
    let layout = VoterLayout::new(own.reader().len()).unwrap();
    if let Ok(mut input) = Release::read(set, &layout, own.reader()) {
        change(&mut input);
        input.publish(set, &layout, own);
    }
}

pub type VerdictField = (&'static str, fn(&mut Verdict, u64));

fn owner(verdict: &mut Verdict, change: impl FnMut(&mut Owner)) {
    verdict.owner.iter_mut().for_each(change);
}

fn plan(verdict: &mut Verdict, change: impl FnOnce(&mut Plan)) {
    let plan = verdict.plan.get_or_insert(Plan {
        target: 0,
        donor: 1,
        witness: 2,
        round: 0,
        differing: 1,
    });
    change(plan);
}

pub const VERDICT_FIELDS: [VerdictField; 20] = [
    ("epoch", |it, value| it.epoch = value),
    ("outcome", |it, value| {
        it.outcome = match value % 5 {
            0 => Outcome::Unanimous,
            1 => Outcome::Majority,
            2 => Outcome::Held,
            3 => Outcome::Lost,
            _ => Outcome::Stopped,
        }
    }),
    ("standing", |it, value| {
        it.standings[value as usize % 3] = Standing::Malformed;
    }),
    ("rehash", |it, value| it.rehash = Members(value as u8)),
    ("plan.target", |it, value| {
        plan(it, |it| it.target = value as u8 % 3)
    }),
    ("plan.donor", |it, value| {
        plan(it, |it| it.donor = value as u8 % 3)
    }),
    ("plan.witness", |it, value| {
        plan(it, |it| it.witness = value as u8 % 3)
    }),
    ("plan.round", |it, value| {
        plan(it, |it| it.round = value as u32)
    }),
    ("plan.differing", |it, value| {
        plan(it, |it| it.differing = value as u32)
    }),
    ("lost", |it, value| it.lost = value as u32),
    ("newest", |it, value| {
        it.newest = Some(Origin {
            after: value,
            digest: value,
        });
    }),
    ("pages", |it, value| it.state.pages = value as u32),
    ("summary", |it, value| it.state.summary.0 = value),
    ("jobs_until", |it, value| it.state.jobs_until = value),
    ("no owner", |it, _| it.owner = None),
    ("owner.place", |it, value| {
        owner(it, |it| it.place = value as u8 % 3)
    }),
    ("owner.before", |it, value| {
        owner(it, |it| it.before = value as u8 % 3)
    }),
    ("owner.since", |it, value| owner(it, |it| it.since = value)),
    ("owner.moves", |it, value| {
        owner(it, |it| it.moves = value as u8)
    }),
    ("owner.awaited", |it, value| {
        owner(it, |it| it.awaited = value as u8)
    }),
];

pub type InputField = (&'static str, fn(&mut Release, u64));

pub const INPUT_FIELDS: [InputField; 11] = [
    ("epoch", |it, value| it.epoch = value),
    ("time", |it, value| {
        it.time = tern_units::Instant::from_nanos(value)
    }),
    ("fresh", |it, _| it.fresh ^= true),
    ("sample", |it, value| it.sample = value),
    ("challenge", |it, value| {
        it.challenge = tern_plant::tag::Challenge::from_word(value);
    }),
    ("taken", |it, _| it.taken ^= true),
    ("bad", |it, value| it.bad.0 = value as u8),
    ("tag", |it, value| it.tag = value),
    ("stale", |it, value| it.stale = value),
    ("count", |it, value| it.count = value as u8),
    ("payload", |it, value| it.payload[1] = value),
];

/// Does at any time anything that a sandbox can do with its channels, and with those of others.
pub fn do_anything(world: &World, victim: usize, random: &mut Random) {
    let about = |value: u64, random: &mut Random| {
        let value = value.wrapping_add(random.below(4));
        value.wrapping_sub(2)
    };
    let places = [
        Place::Replica(victim),
        Place::Ballot(victim),
        Place::Voter(victim),
    ];
    let of = places[random.below(3) as usize];
    match random.below(4) {
        0 => {
            let word = match random.below(2) {
                0 => random.below(128),
                _ => random.below(1 << 20),
            };
            let value = match random.below(3) {
                0 => 0,
                1 => about(world.epoch(), random),
                _ => random.below(u64::MAX),
            };
            world.store(of, word as usize, value);
        }
        1 => world.seal_in(of, about(world.epoch(), random)),
        2 => world.close_all(about(world.epoch(), random)),
        _ => {
            // What another says, as its own.
            let replicas = world.description().replicas.len();
            let other = (victim + 1 + random.below(replicas as u64 - 1) as usize) % replicas;
            let from = match of {
                Place::Replica(_) => Place::Replica(other),
                Place::Ballot(_) => Place::Ballot(other),
                Place::Voter(_) => Place::Voter(other),
            };
            world.copy_open(from, of);
        }
    }
}

/// Lets a sandbox say now and then, in whole records, something else than its replica or its voter.
pub fn lie_always(world: &mut World, victim: usize, seed: u64) {
    let random = RefCell::new(Random(seed ^ 0x11e5));
    let of = match seed % 2 {
        0 => Place::Replica(victim),
        _ => Place::Voter(victim),
    };
    let any = move |most: usize| random.borrow_mut().below(most as u64) as usize;
    world.lie_in(of, move |set, own| {
        let value = VALUES[any(VALUES.len())];
        let is_ballot = matches!(of, Place::Replica(_));
        match any(4) {
            _ if is_ballot => {
                let (_, change) = BALLOT_FIELDS[any(BALLOT_FIELDS.len())];
                if any(3) == 0 {
                    change_ballot(victim, |ballot| change(ballot, value), set, own);
                }
            }
            0 => {
                let (_, change) = VERDICT_FIELDS[any(VERDICT_FIELDS.len())];
                change_verdict(|verdict| change(verdict, value), set, own);
            }
            1 => {
                let (_, change) = INPUT_FIELDS[any(INPUT_FIELDS.len())];
                change_input(|input| change(input, value), set, own);
            }
            _ => {}
        }
    });
}
