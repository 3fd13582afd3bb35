//! What has been seen of a set, and whether it is as it should be.
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use tern_abi::system_call::MESSAGE_WORDS;
use tern_trace::{Event, RepairResult};
use tern_units::StateWords;
use tern_vote::{Release, Verdict, Voters};

use super::{Place, World};
use crate::sets::channel::Channel;
use crate::sets::plant::measured;
use crate::sets::program::Memory;

/// What has been seen of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Epochs whose output the device took.
    pub accepted: Vec<u64>,
    /// Those whose output is not what a copy computes that no fault reaches.
    pub wrong: Vec<u64>,
    /// Epochs at whose command the device took its safe action.
    pub safe: Vec<u64>,
    /// Epochs whose frozen input is not what the device measured.
    pub wrong_inputs: Vec<u64>,
    /// Votes that accused replicas: the epoch, and a bit for each of them.
    pub accused: Vec<(u64, u32)>,
    /// Epochs in which the voter said that the set has stopped.
    pub stopped: Vec<u64>,
    /// Pages that targets took over.
    pub repaired: u64,
    /// Pages on the lists of repairs that ended complete.
    pub listed: u64,
    /// Jobs that were not done in time.
    pub missed: u64,
}

impl World {
    /// What has been seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let mut seen = Seen {
            accepted: self.device.plant.accepted.clone(),
            wrong: self.device.plant.wrong.clone(),
            safe: self.device.plant.safe.clone(),
            wrong_inputs: self.wrong_inputs(),
            missed: self.missed.iter().sum(),
            ..Seen::default()
        };
        let mut differing = 0;
        for (_, event) in &self.events {
            match *event {
                Event::Vote { epoch, parties, .. } if parties.faulty != 0 => {
                    // Each voter of a set says so.
                    let accused = (u64::from(epoch), parties.faulty);
                    if seen.accused.last() != Some(&accused) {
                        seen.accused.push(accused);
                    }
                }
                Event::Stop { epoch, .. } => seen.stopped.push(u64::from(epoch)),
                Event::RepairPage { .. } => seen.repaired += 1,
                Event::RepairStart {
                    differing: pages, ..
                } => differing = pages,
                Event::RepairEnd {
                    result: RepairResult::Done,
                    ..
                } => seen.listed += u64::from(differing),
                _ => {}
            }
        }
        seen
    }

    /// Jobs that were not done in time and that no fault at one of `hit` explains: all of the
    /// other cores, and those of other threads on cores that were not held.
    #[must_use]
    pub fn missed_by_others(&self, hit: &[Place]) -> u64 {
        let cores: Vec<usize> = hit.iter().map(|place| self.core_of(*place)).collect();
        let tasks = self.missed.iter().enumerate();
        let tasks = tasks.filter(|(core, _)| !cores.contains(core));
        let loads = self.cores.iter().filter(|core| !core.was_held());
        tasks.map(|(_, missed)| missed).sum::<u64>() + loads.map(|it| it.late_loads).sum::<u64>()
    }

    /// Everything recorded so far, with when.
    #[must_use]
    pub fn events(&self) -> &[(u64, Event)] {
        &self.events
    }

    /// The inputs that are not what the device measured, or are said to be fresh and are not.
    fn wrong_inputs(&self) -> Vec<u64> {
        let is_wrong = |input: &&Release| {
            let sample = input.sample;
            let payload = match sample {
                0 => [0; MESSAGE_WORDS],
                _ => measured(sample),
            };
            let newest = input.epoch.saturating_sub(1);
            input.payload != payload
                || sample > newest
                || input.fresh != (sample > 0 && sample == newest)
        };
        let wrong = self.inputs.iter().filter(is_wrong);
        wrong.map(|input| input.epoch).collect()
    }

    /// The verdict that the voters' channels say, if there is one.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let voters: Vec<_> = self.voter_channels.iter().map(Channel::reader).collect();
        Voters(&voters).verdict(&self.set)
    }

    /// The voter whose sandbox has the device.
    #[must_use]
    pub const fn device_owner(&self) -> usize {
        self.device.owner()
    }

    /// Whether all replicas have the memory that a copy has that no fault reaches.
    #[must_use]
    pub fn memories_are_sound(&self) -> bool {
        let first = &self.nodes[0].memory;
        let mut nodes = self.nodes.iter();
        nodes.all(|node| node.memory.holds_the_same(first)) && self.is_sound(0)
    }

    /// The memory of a replica.
    #[must_use]
    pub fn memory(&self, replica: usize) -> &Memory {
        &self.nodes[replica].memory
    }

    /// Whether a replica has the memory of a copy that no fault reaches.
    #[must_use]
    pub fn is_sound(&self, replica: usize) -> bool {
        let own = &self.nodes[replica].memory;
        let mut sound = self.device.plant.sound().iter();
        sound.any(|memory| memory.holds_the_same(own))
    }

    /// Whether everything that outlives a step is as in `other`: tasks, memories and channels.
    #[must_use]
    pub fn is_as(&mut self, other: &mut Self) -> bool {
        let same = |one: &[AtomicU64], other: &[AtomicU64]| {
            let mut both = one.iter().zip(other);
            both.all(|(one, other)| one.load(Ordering::Relaxed) == other.load(Ordering::Relaxed))
        };
        let mut both = self.nodes.iter().zip(&other.nodes);
        let memories = both.all(|(one, other)| one.memory == other.memory);
        let mut channels = self.channels.iter().zip(&other.channels);
        let slots = self.words_before_slots();
        memories
            && self.sealed().zip(other.sealed()).all(|(one, other)| {
                one.seal_word() == other.seal_word() && same(one.words(), other.words())
            })
            && channels.all(|(one, other)| same(&one[..slots], &other[..slots]))
            && self.words() == other.words()
    }

    /// A digest of everything that outlives a step but for the replicas' memories: tasks,
    /// channels, and faults that have still to strike. Two worlds whose digests and memories are
    /// equal go on alike.
    #[must_use]
    pub fn digest(&mut self) -> u64 {
        let [a, b, c, d] = [1, 2, 3, 4];
        let mut hasher = RandomState::with_seeds(a, b, c, d).build_hasher();
        for node in &self.nodes {
            let has_register = u8::from(node.register.is_some());
            let waits = u8::from(node.is_endless) | u8::from(node.is_silent) << 1;
            hasher.write_u8(waits | has_register << 2);
        }
        let slots = self.words_before_slots();
        let channels = self.channels.iter().map(|words| &words[..slots]);
        for words in channels.chain(self.sealed().map(Channel::words)) {
            let words = words.iter().map(|word| word.load(Ordering::Relaxed));
            words.for_each(|word| hasher.write_u64(word));
        }
        self.sealed()
            .for_each(|channel| hasher.write_u64(channel.seal_word()));
        hasher.write_usize(self.device.owner());
        self.words().iter().for_each(|word| hasher.write_u64(*word));
        let held = self.cores.iter().map(|core| core.is_held_after(self.now));
        held.for_each(|is_held| hasher.write_u8(u8::from(is_held)));
        hasher.finish()
    }

    fn words(&mut self) -> Vec<u64> {
        let mut words = Vec::new();
        let mut take = |_: &'static str, word: &mut u64| words.push(*word);
        self.nodes
            .iter_mut()
            .for_each(|node| node.task.visit(&mut take));
        self.voters
            .iter_mut()
            .for_each(|node| node.task.visit(&mut take));
        words
    }

    /// The channels that may be sealed.
    fn sealed(&self) -> impl Iterator<Item = &Channel> {
        self.ballot_channels.iter().chain(&self.voter_channels)
    }

    /// Forgets what was seen, so that a copy is small.
    pub fn forget(&mut self) {
        let epoch = self.epoch();
        self.events.clear();
        self.inputs.retain(|input| input.epoch + 1 >= epoch);
        self.device.plant.accepted.clear();
        self.device.plant.forget();
    }
}
