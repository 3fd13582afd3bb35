//! The input of an epoch: the newest sample that the device has sent, frozen for all replicas
//! alike.
//!
//! No sample is kept beside the frozen one, which stands in the voter's channel twice with a
//! checksum: a flip cannot change what was measured, nor pass for a sample to come.
use tern_plant::frames::{Decoder, Frame};
use tern_vote::{Reader, Release, Set, Verdict, VoterLayout, Voters};

use crate::epoch::Times;
use crate::next::{Env, VoterEnv};

/// How often a frame is looked for in an epoch: in lock-step one comes. A device that never stops
/// talking does not hold up the vote.
const MOST_FRAMES: usize = 8;

/// Returns the input of the epoch after `epoch`, in which sample `epoch` is the last that was
/// asked for: the newest that has come, or the one before again.
pub(crate) fn next_input<E: VoterEnv>(
    set: &Set,
    times: &Times,
    epoch: u64,
    decoder: &mut Decoder,
    own: Reader<'_>,
    env: &mut E,
) -> Release {
    let next = epoch.saturating_add(1);
    let frozen = VoterLayout::new(own.len())
        .and_then(|layout| Release::read(set, &layout, own).ok())
        .filter(|frozen| frozen.epoch <= next && frozen.sample <= epoch)
        .unwrap_or_default();
    let mut newest = frozen.sample();
    for _ in 0..MOST_FRAMES {
        if let Some(Frame::Sample(sample)) = env.receive(decoder)
            && sample.replaces(&newest, epoch)
        {
            newest = sample;
        }
    }

    // Nothing was asked for before the first command.
    let asked = epoch > 0;
    let fresh = asked && newest.number == epoch;
    Release {
        epoch: next,
        time: times.release(next),
        fresh,
        sample: newest.number,
        challenge: newest.challenge,
        taken: newest.taken,
        bad: newest.bad,
        tag: newest.tag,
        count: newest.count,
        stale: frozen.stale.saturating_add(u64::from(asked && !fresh)),
        payload: newest.words,
    }
}

/// Returns the input of the epoch after a verdict, for replica `place` and the voter beside it.
///
/// It is what the voter that had the device has frozen. Where each replica has a voter, and that
/// one's input is missing or not sound, the newest that the voters have taken over stands once
/// more. All see the same: what is sealed is decided, and so is whether it is sound.
pub(crate) fn input_after<E: Env>(
    facts: (&Set, &Times),
    verdict: &Verdict,
    place: u8,
    voters: &Voters<'_>,
    env: &mut E,
) -> Option<Release> {
    let (set, times) = facts;
    let next = verdict.epoch.checked_add(1)?;
    let Some(owner) = verdict.owner else {
        return voters.input(set, place, next);
    };
    let frozen = voters.input(set, owner.before, next);
    let frozen = frozen.filter(|input| is_sound(set, times, input, env));
    frozen.or_else(|| {
        let last = voters.known_input(set, place, verdict.epoch)?;
        Some(Release {
            epoch: next,
            time: times.release(next),
            fresh: false,
            stale: last.stale.saturating_add(1),
            ..last
        })
    })
}

/// Whether a frozen input is what a sound voter can have frozen: its sample is the sensor's, and
/// the rest follows from the epoch. What a replica runs with is then nobody's invention; a voter
/// that lies can keep it from a newer sample, and says so with that.
pub(crate) fn is_sound<E: Env>(set: &Set, times: &Times, input: &Release, env: &mut E) -> bool {
    let newest = input.epoch.saturating_sub(1);
    let follows = input.time == times.release(input.epoch)
        && input.sample <= newest
        && input.fresh == (input.sample > 0 && input.sample == newest);
    let nothing = Release {
        epoch: input.epoch,
        time: input.time,
        stale: input.stale,
        count: input.count,
        ..Release::default()
    };
    let is_the_sensors = match input.measured(set) {
        Some(measured) => {
            let rest = &input.payload[measured.words.len()..];
            rest.iter().all(|word| *word == 0) && env.is_measured(&measured, input.tag)
        }
        None => *input == nothing,
    };
    follows && is_the_sensors
}
