//! What the tasks of a simulated set are given.
use tern_abi::system_call::MESSAGE_WORDS;
use tern_plant::frames::{Decoder, Frame};
use tern_plant::tag::{Key, Measured, PlaceKey, PlaceTag, Statement};
use tern_replication::{Env, Job, ReplicaEnv, VoterEnv};
use tern_trace::Event;
use tern_units::{Duration, Instant};
use tern_vote::{ChannelWriter, Page, Release, Set, page_of_words};

use super::channel::{Channel, Liar};
use super::core::SetCore;
use super::device::Device;
use super::place::Place;
use super::program::{Memory, PAGE_WORDS};

/// What a task is given: records go into a list, budgets come from the scheduler.
pub(super) struct Side<'a, T> {
    pub(super) core: &'a SetCore,
    pub(super) thread: usize,
    pub(super) now: u64,
    pub(super) events: &'a mut Vec<(u64, Event)>,
    /// Jobs that were not done in time.
    pub(super) missed: &'a mut u64,
    /// The voters' channels, by number.
    pub(super) verdicts: &'a [Channel],
    /// The sensor's key, where it tags.
    pub(super) sensor: Option<Key>,
    /// What only such a task is given.
    pub(super) own: T,
}

/// What a replica's task is given.
pub(super) struct ReplicaOwn<'a> {
    pub(super) memory: &'a mut Memory,
    pub(super) scratch: &'a mut Page,
    pub(super) input: &'a Release,
    pub(super) output: [u64; 2],
    pub(super) key: Option<PlaceKey>,
    /// Its number.
    pub(super) replica: usize,
    /// The channel of its ballot, if that has one, and where it casts it.
    pub(super) ballot: Option<&'a Channel>,
    pub(super) cast_in: ChannelWriter<'a>,
    pub(super) set: &'a Set,
    pub(super) liar: Option<&'a Liar>,
    pub(super) withholds: Option<usize>,
}

/// What a voter's task is given.
pub(super) struct VoterOwn<'a> {
    /// Its number.
    pub(super) voter: usize,
    pub(super) device: &'a mut Device,
    pub(super) inputs: &'a [Release],
    /// The channels of ballots, where they have some.
    pub(super) ballots: &'a [Channel],
    pub(super) set: &'a Set,
    pub(super) liar: Option<&'a Liar>,
    pub(super) withholds: Option<usize>,
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

    fn close_verdicts(&mut self, epoch: u64) -> bool {
        close(self.verdicts, epoch, self.now)
    }

    fn is_measured(&mut self, measured: &Measured<'_>, tag: u64) -> bool {
        let sensor = self.sensor;
        sensor.is_none_or(|sensor| sensor.tag_sample(measured) == tag)
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
        self.own.key.map(|key| key.tag(statement))
    }

    fn seal_ballot(&mut self, epoch: u64) -> bool {
        let ReplicaOwn {
            replica,
            ballot,
            cast_in,
            set,
            liar,
            withholds,
            ..
        } = self.own;
        Liar::strike(liar, Place::Replica(replica), set, cast_in);
        if withholds == Some(replica) {
            return false;
        }
        ballot.is_none_or(|ballot| ballot.seal(epoch, self.now))
    }
}

impl VoterEnv for Side<'_, VoterOwn<'_>> {
    fn receive(&mut self, decoder: &mut Decoder) -> Option<Frame> {
        self.own.device.give(self.own.voter, decoder)
    }

    fn send(&mut self, bytes: &[u8]) {
        let now = Instant::from_nanos(self.now);
        self.own
            .device
            .take(self.own.voter, bytes, now, self.own.inputs);
    }

    fn close_ballots(&mut self, epoch: u64) -> bool {
        close(self.own.ballots, epoch, self.now)
    }

    fn seal(&mut self, number: u64) -> bool {
        let VoterOwn {
            voter,
            set,
            liar,
            withholds,
            ..
        } = self.own;
        let channel = &self.verdicts[voter];
        Liar::strike(liar, Place::Voter(voter), set, channel.writer());
        if withholds == Some(voter) {
            return false;
        }
        channel.seal(number, self.now)
    }

    fn take_device(&mut self, epoch: u64) -> bool {
        let voter = self.own.voter;
        self.own.device.move_to(voter, epoch, self.verdicts)
    }
}

/// Closes `epoch` in all of these channels, as the hypervisor does: in all, or in none.
fn close(channels: &[Channel], epoch: u64, now: u64) -> bool {
    channels.iter().all(|channel| channel.close(epoch, now))
}
