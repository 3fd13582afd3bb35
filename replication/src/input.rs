//! The input of an epoch: the newest sample that the device has sent, frozen for all replicas
//! alike.
//!
//! No sample is kept beside the frozen one, which stands in the voter's channel twice with a
//! checksum: a flip cannot change what was measured, nor pass for a sample to come.
use tern_abi::system_call::MESSAGE_WORDS;
use tern_plant::frames::{Decoder, Frame, Sample};
use tern_vote::{Reader, Release, Set, VoterLayout};

use crate::epoch::Times;
use crate::next::VoterEnv;

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
    let mut newest = Sample {
        number: frozen.sample,
        count: MESSAGE_WORDS as u8,
        words: frozen.payload,
        ..Sample::default()
    };
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
        stale: frozen.stale.saturating_add(u64::from(asked && !fresh)),
        payload: newest.words,
    }
}
