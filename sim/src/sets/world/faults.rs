//! What may go wrong with a set, and the words that it may go wrong in.
use std::sync::atomic::{AtomicU64, Ordering};

use tern_replication::{ReplicaStart, VoterTask};
use tern_units::{Instant, StateWords};
use tern_vote::{BALLOT, Ballot, Verdict, VoterLayout};

use super::{Place, World, erase, key, task};
use crate::sets::core::Role;
use crate::sets::program::{Memory, RegisterFlip};

impl World {
    /// Puts a verdict into the voter's channel, as a faulty voter may, and lets replicas read it if
    /// the hypervisor does.
    ///
    /// # Panics
    /// If the channel has no room for one, which it was made with.
    pub fn publish(&self, verdict: &Verdict) {
        let own = self.voter_channels[0].writer();
        let layout = VoterLayout::new(own.len()).expect("it has room");
        verdict.publish(&self.set, &layout, own.open());
        self.voter_channels[0].seal(verdict.epoch, self.now);
    }

    /// Flips a bit of a replica's memory.
    pub fn flip_memory(&mut self, replica: usize, page: u32, bit: u32) {
        self.nodes[replica].memory.flip(page, bit);
    }

    /// Flips a bit of a replica's checkpoint.
    pub fn flip_checkpoint(&mut self, replica: usize, page: u32, bit: u32) {
        self.nodes[replica].memory.flip_kept(page, bit);
    }

    /// Changes a word of a page, which the next commit finds.
    pub fn damage(&mut self, replica: usize, page: u32) {
        self.nodes[replica].memory.damage(page);
    }

    /// Makes a bit of a replica's memory what it is stuck at.
    pub fn set_memory_bit(&mut self, replica: usize, page: u32, bit: u32, is_one: bool) {
        self.nodes[replica].memory.set(page, bit, is_one);
    }

    /// Flips a bit of what the job that a replica is at, or its next one, keeps in registers
    /// (see [`RegisterFlip`]).
    pub fn flip_register(&mut self, replica: usize, flip: RegisterFlip) {
        self.nodes[replica].register = Some(flip);
    }

    /// Flips a bit of a channel.
    pub fn flip_channel(&self, of: Place, word: usize, bit: u32) {
        self.channel(of)[word].fetch_xor(1 << bit, Ordering::Relaxed);
    }

    /// Flips a bit of what the readers of a voter's channel, or of a ballot's own, read in it now:
    /// of the word with this number in it.
    pub fn flip_shown(&self, of: Place, word: usize, bit: u32) {
        let begin = match of {
            Place::Replica(_) => 0,
            Place::Ballot(replica) => self.ballot_channels[replica].sealed_at(),
            Place::Voter(voter) => self.voter_channels[voter].sealed_at(),
        };
        self.flip_channel(of, begin + word, bit);
    }

    /// The first words of what voters read in a replica's channel, or in that of its ballot: its
    /// ballot.
    #[must_use]
    pub fn ballot_words(&self, of: usize) -> Vec<u64> {
        let newest = self.cast_in(of).newest();
        (0..64).map(|word| newest.load(word)).collect()
    }

    /// Whether ballots have channels of their own, and are sealed there before they are read.
    #[must_use]
    pub const fn is_ballot_sealed(&self) -> bool {
        !self.ballot_channels.is_empty()
    }

    /// Puts words into a replica's channel, as a fault that forges a ballot does.
    pub fn put_words(&self, of: usize, words: &[u64]) {
        for (word, value) in self.channels[of].iter().zip(words) {
            word.store(*value, Ordering::Relaxed);
        }
    }

    /// Hands every word of a task's state to `visitor`.
    pub fn visit(&mut self, of: Place, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        match of {
            Place::Replica(replica) | Place::Ballot(replica) => {
                self.nodes[replica].task.visit(visitor);
            }
            Place::Voter(voter) => self.voters[voter].task.visit(visitor),
        }
    }

    /// The core that something is on: that of its sandbox.
    #[must_use]
    pub fn core_of(&self, of: Place) -> usize {
        match of {
            Place::Replica(replica) | Place::Ballot(replica) => self.nodes[replica].core,
            Place::Voter(voter) => self.voters[voter].core,
        }
    }

    /// Holds a core from now on: it executes nothing for `time`.
    pub fn hold(&mut self, of: Place, time: u64) {
        let core = self.core_of(of);
        self.cores[core].hold(self.now, time);
    }

    /// Lets the timers of all cores be late by up to `lateness`.
    pub fn be_late(&mut self, lateness: u64) {
        self.cores
            .iter_mut()
            .for_each(|core| core.be_late(lateness));
    }

    /// Lets the job that a replica is at, or its next one, never end.
    pub fn make_endless(&mut self, replica: usize) {
        self.nodes[replica].is_endless = true;
    }

    /// Lets the job that a replica is at, or its next one, raise an exception.
    pub fn make_silent(&mut self, replica: usize) {
        self.nodes[replica].is_silent = true;
    }

    /// Lets a replica cast its newest ballot again, as `change` makes it; whether it has one.
    pub fn cast_again(&mut self, replica: usize, change: impl FnOnce(&mut Ballot)) -> bool {
        self.cast_changed(replica, change, |_| {})
    }

    /// Lets a replica have cast, in the place of its newest ballot, what `change` makes of it;
    /// whether it has one.
    pub fn cast_instead(&mut self, replica: usize, change: impl FnOnce(&mut Ballot)) -> bool {
        // As if nothing had been written there in this epoch.
        let forget = |generation: &AtomicU64| generation.store(0, Ordering::Relaxed);
        self.cast_changed(replica, change, forget)
    }

    fn cast_changed(
        &self,
        replica: usize,
        change: impl FnOnce(&mut Ballot),
        before: impl FnOnce(&AtomicU64),
    ) -> bool {
        let channel = self.cast_in(replica);
        let read = Ballot::read(&self.set, replica, channel.newest());
        let is_read = read.is_ok();
        if let Ok(mut ballot) = read {
            change(&mut ballot);
            before(&self.channels[replica][BALLOT.at]);
            ballot.cast(&self.set, channel.open());
        }
        is_read
    }

    /// Starts the sandbox of a replica anew, with its channel erased or as it stands.
    pub fn restart(&mut self, replica: usize, erases: bool) {
        let number = self.set.number;
        let node = &mut self.nodes[replica];
        let (description, thread) = (&self.description, &node.thread);
        node.task = task(
            description,
            number,
            thread,
            replica,
            self.pages,
            ReplicaStart::Anew,
        );
        node.memory = Memory::new(self.pages);
        let restarts = node.key.map_or(0, |key| key.number() + 1);
        node.key = key(description, number, replica, restarts);
        (node.is_endless, node.is_silent, node.register) = (false, false, None);
        let core = node.core;
        if erases {
            erase(&self.channels[replica]);
            if let Some(ballot) = self.ballot_channels.get(replica) {
                erase(ballot.open_words());
            }
        }
        self.hash_all(replica);
        self.wake(core, Place::Replica(replica));
        let mut voters = self.voters.iter();
        if let Some(beside) = voters.position(|voter| voter.core == core) {
            self.restart_voter(beside, erases);
        }
    }

    /// Starts a voter anew, with its channel erased or as it stands. An arbitrator's sandbox does
    /// so, and that of a replica with a voter: its sealed half no sandbox can write, and readers
    /// that look sooner or later see the same.
    pub fn restart_voter(&mut self, voter: usize, erases: bool) {
        let node = &mut self.voters[voter];
        let (number, place) = (self.set.number, voter as u8);
        node.task = VoterTask::new(number, &self.description, &node.thread, place);
        let core = node.core;
        if erases {
            erase(self.voter_channels[voter].open_words());
        }
        self.wake(core, Place::Voter(voter));
    }

    /// Lets the task that has started anew be polled, whatever its thread was at.
    fn wake(&mut self, core: usize, place: Place) {
        let role = match place {
            Place::Replica(replica) | Place::Ballot(replica) => Role::Replica(replica),
            Place::Voter(voter) => Role::Voter(voter),
        };
        let mut threads = self.cores[core].threads.iter();
        let thread = threads.position(|thread| thread.role == role);
        if self.pending.is_some_and(|pending| pending.place == place) {
            self.pending = None;
        }
        if let Some(thread) = thread {
            let now = Instant::from_nanos(self.now);
            self.cores[core].advance(self.now);
            self.cores[core].sleep_until(thread, now);
            self.cores[core].dispatch(self.now, &self.costs);
        }
    }
}
