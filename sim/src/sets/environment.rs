//! What the tasks of a simulated set are given.
use tern_abi::system_call::MESSAGE_WORDS;
use tern_plant::frames::{Decoder, Frame};
use tern_plant::tag::{Key, Measured, PlaceKey, PlaceTag, Statement};
use tern_replication::{Env, Job, ReplicaEnv, VoterEnv};
use tern_trace::Event;
use tern_units::{Duration, Instant};
use tern_vote::{Page, Release, Set, page_of_words};

use super::core::SetCore;
use super::plant::Plant;
use super::program::{Memory, PAGE_WORDS};
use super::voter_channel::{Liar, VoterChannel};

/// What a task is given: records go into a list, budgets come from the scheduler.
pub(super) struct Side<'a, T> {
    pub(super) core: &'a SetCore,
    pub(super) thread: usize,
    pub(super) now: u64,
    pub(super) events: &'a mut Vec<(u64, Event)>,
    /// Jobs that were not done in time.
    pub(super) missed: &'a mut u64,
    /// What only such a task is given.
    pub(super) own: T,
}

/// What a replica's task is given.
pub(super) struct ReplicaOwn<'a> {
    pub(super) memory: &'a mut Memory,
    pub(super) scratch: &'a mut Page,
    pub(super) input: &'a Release,
    pub(super) output: [u64; 2],
    pub(super) keys: Option<&'a Keys>,
}

/// The keys of a replica's sandbox.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    /// Its place's.
    pub(super) own: PlaceKey,
    /// The sensor's.
    pub(super) sensor: Key,
}

/// What a voter's task is given.
pub(super) struct VoterOwn<'a> {
    pub(super) plant: &'a mut Plant,
    pub(super) inputs: &'a [Release],
    pub(super) channel: &'a VoterChannel,
    pub(super) set: &'a Set,
    pub(super) liar: Option<&'a Liar>,
}

impl<T> Env for Side<'_, T> {
    fn record(&mut self, event: Event) {
        self.events.push((self.now, event));
    }

    fn released(&mut self, _: &Job) {}

    fn completed(&mut self, job: &Job) {
        *self.missed += u64::from(self.now > job.deadline.as_nanos());
    }

    fn missed(&mut self, _: &Job) {
        *self.missed += 1;
    }

    fn budget_by(&self, at: Instant) -> Duration {
        self.core.budget_by(self.thread, self.now, at)
    }
}

impl ReplicaEnv for Side<'_, ReplicaOwn<'_>> {
    type Memory = Memory;

    fn memory(&mut self) -> (&mut Memory, &mut Page) {
        (self.own.memory, self.own.scratch)
    }

    fn input(&mut self) -> &Page {
        let mut words = [0; PAGE_WORDS];
        self.own.input.fill(&mut words);
        page_of_words(&words, self.own.scratch);
        self.own.scratch
    }

    fn output(&self) -> [u64; MESSAGE_WORDS] {
        let mut words = [0; MESSAGE_WORDS];
        words[..2].copy_from_slice(&self.own.output);
        words
    }

    fn tag(&mut self, statement: &Statement<'_>) -> Option<PlaceTag> {
        self.own.keys.map(|keys| keys.own.tag(statement))
    }

    fn is_measured(&mut self, measured: &Measured<'_>, tag: u64) -> bool {
        let keys = self.own.keys;
        keys.is_none_or(|keys| keys.sensor.tag_sample(measured) == tag)
    }
}

impl VoterEnv for Side<'_, VoterOwn<'_>> {
    fn receive(&mut self, decoder: &mut Decoder) -> Option<Frame> {
        self.own.plant.give(decoder)
    }

    fn send(&mut self, bytes: &[u8]) {
        let now = Instant::from_nanos(self.now);
        self.own.plant.take(bytes, now, self.own.inputs);
    }

    fn seal(&mut self, number: u64) -> bool {
        let VoterOwn {
            channel, set, liar, ..
        } = self.own;
        if let Some(liar) = liar {
            liar.lie(set, channel);
        }
        channel.seal(number, self.now)
    }
}
