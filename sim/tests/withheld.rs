//! An output that the voter does not send is recorded, with why; where nothing goes wrong none is.
mod replicated;

use replicated::{MS, PERIOD, system};
use tern_sim::sets::{Costs, Place, World};
use tern_trace::{Event, WithheldReason};

const PAGES: u32 = 6;
/// The epoch in which something goes wrong.
const EPOCH: u64 = 6;
/// The epoch before which a run ends.
const END: u64 = 12;

/// Whether the voter, which is to be polled, has said how it votes on [`EPOCH`].
fn has_voted(world: &World, place: Place) -> bool {
    let mut events = world.events().iter();
    events
        .any(|(_, event)| matches!(event, Event::Vote { epoch, .. } if u64::from(*epoch) == EPOCH))
        && place == Place::Voter(0)
}

/// Runs a set in which `fault` strikes once, before the first poll that is `due`; returns what was
/// withheld, after seeing that the device did not get it.
fn withheld(
    due: impl Fn(&World, Place) -> bool,
    fault: impl Fn(&mut World),
) -> Vec<(u64, WithheldReason)> {
    let mut system = system(3);
    let voter = system.replica_sets[0].voters[0];
    let server = voter.server as usize;
    // A core that stands still uses up budget: the voter has enough to go on at once.
    system.sandboxes[voter.sandbox as usize].servers[server].budget = 9 * MS;
    let mut world = World::new(&system, 0, PAGES, Costs::default(), 1);
    let mut has_struck = false;
    while world.epoch() < END {
        let place = world.run_to_poll();
        if !has_struck && due(&world, place) {
            has_struck = true;
            fault(&mut world);
        }
        world.poll();
    }
    assert!(has_struck);
    let events = world.events().iter();
    let withheld = events.filter_map(|(_, event)| match event {
        Event::Withheld { epoch, reason, .. } => Some((u64::from(*epoch), *reason)),
        _ => None,
    });
    let withheld: Vec<_> = withheld.collect();
    let seen = world.seen();
    assert!(seen.wrong.is_empty(), "{seen:?}");
    for (epoch, _) in &withheld {
        assert!(!seen.accepted.contains(epoch), "{seen:?}");
    }
    withheld
}

#[test]
fn none_is_where_nothing_goes_wrong() {
    assert_eq!(withheld(has_voted, |_| {}), []);
}

/// The output is held back between the verdict and the line to the device.
#[test]
fn one_whose_epoch_is_over_before_it_is_sent_is_late() {
    // Its first poll in an epoch votes; what it does next is to send.
    let due = |world: &World, place| place == Place::Voter(0) && world.epoch() == EPOCH;
    let held = |world: &mut World| world.hold(Place::Voter(0), PERIOD - 3 * MS);
    assert_eq!(withheld(due, held), [(EPOCH, WithheldReason::Late)]);
}

/// The voter's core stands still from before the ballots are due to after the next release.
#[test]
fn one_whose_epoch_is_over_before_the_vote_is_late() {
    let due = |world: &World, _| world.epoch() == EPOCH;
    let held = |world: &mut World| world.hold(Place::Voter(0), PERIOD + MS);
    assert_eq!(withheld(due, held), [(EPOCH, WithheldReason::Late)]);
}

#[test]
fn one_that_is_not_what_a_majority_cast_has_not_its_digest() {
    for part in [
        "vote.output.count",
        "vote.output.words",
        "vote.output.released",
    ] {
        let flip = |world: &mut World| {
            let mut is_first = true;
            world.visit(Place::Voter(0), &mut |name, word| {
                if name == part && std::mem::take(&mut is_first) {
                    *word ^= 1;
                }
            });
        };
        let found = withheld(has_voted, flip);
        assert_eq!(found, [(EPOCH, WithheldReason::Digest)], "{part}");
    }
}

#[test]
fn one_whose_verdict_the_voter_no_longer_finds_has_none() {
    let damage = |world: &mut World| {
        let words = world.channel_words(Place::Voter(0));
        (0..words).for_each(|word| world.flip_channel(Place::Voter(0), word, 0));
    };
    let found = withheld(has_voted, damage);
    assert_eq!(found, [(EPOCH, WithheldReason::NoVerdict)]);
}
