//! The device of a set, and which voter's sandbox has it.
use tern_abi::ownership::{OWNER_WORD, Ownership};
use tern_plant::frames::{Decoder, Frame};
use tern_units::Instant;
use tern_vote::Release;

use super::channel::Channel;
use super::plant::Plant;

/// The device, with what is at its far end.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) plant: Plant,
    /// The voter whose sandbox has it, and the epoch whose verdicts gave it that.
    owner: usize,
    since: u64,
}

impl Device {
    /// The one with `plant`, which that voter's sandbox has.
    pub(super) const fn new(plant: Plant, owner: usize) -> Self {
        Self {
            plant,
            owner,
            since: 0,
        }
    }

    /// The voter whose sandbox has the device.
    pub(super) const fn owner(&self) -> usize {
        self.owner
    }

    /// Hands a voter what has come. Who does not have the device reads nothing.
    pub(super) fn give(&mut self, voter: usize, decoder: &mut Decoder) -> Option<Frame> {
        (voter == self.owner)
            .then(|| self.plant.give(decoder))
            .flatten()
    }

    /// Takes what a voter sends. What comes from one that does not have the device is lost.
    pub(super) fn take(&mut self, voter: usize, bytes: &[u8], now: Instant, inputs: &[Release]) {
        if voter == self.owner {
            self.plant.take(bytes, now, inputs);
        }
    }

    /// Gives the device to a voter's sandbox, as the hypervisors do, if that is what most voters have
    /// sealed for `epoch`, and nothing newer has moved it. Returns whether it has it.
    pub(super) fn move_to(&mut self, voter: usize, epoch: u64, verdicts: &[Channel]) -> bool {
        let named = Ownership::new(epoch, voter);
        let names = verdicts.iter().filter(|channel| {
            let said = Ownership::from_word(channel.reader().newest().load(OWNER_WORD));
            channel.is_sealed_as(epoch) && Some(said) == named
        });
        let is_given = names.count() > verdicts.len() / 2;
        if is_given && epoch > self.since && voter != self.owner {
            (self.owner, self.since) = (voter, epoch);
            // Who sets the device up anew empties it.
            self.plant.forget_answers();
        }
        voter == self.owner
    }
}
