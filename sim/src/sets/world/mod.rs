//! A whole set at work: its cores, channels, tasks and device, from poll to poll.
mod faults;
mod line;
mod places;
mod seen;

pub use seen::Seen;

use std::sync::atomic::{AtomicU64, Ordering};

use tern_config::{ReplicaSet, System, Thread, ThreadRef};
use tern_plant::actuator::{Actuator, Kept};
use tern_plant::tag::{Key, PlaceKey};
use tern_replication::{
    JobEnd, Next, ReplicaChannels, ReplicaStart, ReplicaTask, VoterChannels, VoterTask,
    actuator_of, set_of,
};
use tern_sched::analysis::CostTable;
use tern_trace::Event;
use tern_units::{Instant, PAGE_SIZE};
use tern_vote::{
    ChannelReader, ChannelWriter, Page, Reader, Release, Set, Voters, Writer, ballot_channel_bytes,
    replica_channel_bytes, voter_channel_bytes,
};

use super::channel::{Channel, Liar};
use super::core::{Activity, Piece, Role, SetCore};
use super::costs::Costs;
use super::device::Device;
use super::environment::{ReplicaOwn, Side, VoterOwn};
use super::place::Place;
use super::plant::Plant;
use super::program::{Memory, RegisterFlip};
use super::words::{copy, zeros};

#[derive(Clone, Debug)]
struct Node {
    task: ReplicaTask<Vec<u64>>,
    memory: Memory,
    scratch: Box<Page>,
    input: Release,
    output: [u64; 2],
    key: Option<PlaceKey>,
    is_endless: bool,
    is_silent: bool,
    register: Option<RegisterFlip>,
    core: usize,
    thread: Thread,
}

#[derive(Clone, Debug)]
struct VoterNode {
    task: VoterTask,
    core: usize,
    thread: Thread,
}

/// The simulated set.
#[derive(Debug)]
pub struct World {
    set: Set,
    description: ReplicaSet,
    pages: u32,
    costs: Costs,
    now: u64,
    cores: Vec<SetCore>,
    nodes: Vec<Node>,
    voters: Vec<VoterNode>,
    channels: Vec<Vec<AtomicU64>>,
    ballot_channels: Vec<Channel>,
    voter_channels: Vec<Channel>,
    device: Device,
    liar: Option<Liar>,
    /// The replica whose sandbox does not seal what it has written, for now.
    withholds: Option<usize>,
    inputs: Vec<Release>,
    events: Vec<(u64, Event)>,
    /// Jobs of each core's task that were not done in time.
    missed: Vec<u64>,
    pending: Option<Pending>,
}

/// A poll that is due.
#[derive(Clone, Copy, Debug)]
struct Pending {
    core: usize,
    thread: usize,
    place: Place,
    ended: Option<JobEnd>,
}

impl Clone for World {
    fn clone(&self) -> Self {
        Self {
            set: self.set,
            description: self.description.clone(),
            pages: self.pages,
            costs: self.costs,
            now: self.now,
            cores: self.cores.clone(),
            nodes: self.nodes.clone(),
            voters: self.voters.clone(),
            channels: self.channels.iter().map(|words| copy(words)).collect(),
            ballot_channels: self.ballot_channels.clone(),
            voter_channels: self.voter_channels.clone(),
            device: self.device.clone(),
            liar: self.liar.clone(),
            withholds: self.withholds,
            inputs: self.inputs.clone(),
            events: self.events.clone(),
            missed: self.missed.clone(),
            pending: self.pending,
        }
    }
}

impl World {
    /// Set number `number` of `system` before its first epoch, with a program of `pages` pages.
    /// `seed` is that of all that is random in the loads and in late timers.
    ///
    /// # Panics
    /// If the description lacks a replica of the set.
    #[must_use]
    pub fn new(system: &System, number: usize, pages: u32, costs: Costs, seed: u64) -> Self {
        let mut system = system.clone();
        tern_check::give_room(&mut system, &CostTable::NONE);
        let description = system.replica_sets[number].clone();
        let set = set_of(number as u32, &description);
        let at = |places: &[ThreadRef], sandbox: usize| {
            let mut places = places.iter();
            places.position(|place| place.sandbox as usize == sandbox)
        };
        let cores = (0..system.sandboxes.len())
            .map(|sandbox| {
                let seed = seed ^ sandbox as u64;
                SetCore::new(
                    &system.sandboxes[sandbox],
                    number,
                    at(&description.replicas, sandbox),
                    at(&description.voters, sandbox),
                    seed,
                )
            })
            .collect();
        let thread = |place| system.thread(place).expect("a place in the system").clone();
        let count = description.replicas.len();
        let channels: Vec<_> = (0..count)
            .map(|_| zeros(replica_channel_bytes(pages)))
            .collect();
        let voters = description.voters.iter().enumerate().map(|(voter, place)| {
            let thread = thread(place);
            VoterNode {
                task: VoterTask::new(number as u32, &description, &thread, voter as u8),
                core: place.sandbox as usize,
                thread,
            }
        });
        let voters: Vec<VoterNode> = voters.collect();
        let channel = |of: &u32, bytes: u64| Channel::new(bytes, &system.channels[*of as usize]);
        let voter_channels = description.voter_channels.iter();
        let voter_channels = voter_channels.map(|it| channel(it, voter_channel_bytes(pages)));
        let ballot_channels = description.ballot_channels.iter();
        let ballot_channels = ballot_channels.map(|it| channel(it, ballot_channel_bytes()));
        let mut nodes: Vec<Node> = Vec::new();
        for (replica, place) in description.replicas.iter().enumerate() {
            let thread = thread(place);
            let task = task(
                &description,
                number as u32,
                &thread,
                replica,
                pages,
                ReplicaStart::WithSet,
            );
            nodes.push(Node {
                task,
                memory: Memory::new(pages),
                scratch: Box::new([0; PAGE_SIZE]),
                input: Release::default(),
                output: [0; 2],
                key: key(&description, number as u32, replica, 0),
                is_endless: false,
                is_silent: false,
                register: None,
                core: place.sandbox as usize,
                thread,
            });
        }
        let mut world = Self {
            set,
            pages,
            costs,
            now: 0,
            cores,
            nodes,
            ballot_channels: ballot_channels.collect(),
            voter_channels: voter_channels.collect(),
            voters,
            channels,
            device: Device::new(
                Plant::new(set, actuator(&description, &set), pages),
                first_owner(&description),
            ),
            liar: None,
            withholds: None,
            inputs: Vec::new(),
            events: Vec::new(),
            missed: vec![0; system.sandboxes.len()],
            pending: None,
            description,
        };
        (0..count).for_each(|replica| world.hash_all(replica));
        world
    }

    /// The epoch that it is.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.now / self.description.period
    }

    /// Now, in nanoseconds.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// Pages of the program.
    #[must_use]
    pub const fn pages(&self) -> u32 {
        self.pages
    }

    /// The set's description.
    #[must_use]
    pub const fn description(&self) -> &ReplicaSet {
        &self.description
    }

    /// Runs until the next poll is due, which it leaves to [`World::poll`]; returns whose.
    pub fn run_to_poll(&mut self) -> Place {
        loop {
            if let Some(pending) = self.pending {
                return pending.place;
            }
            let cores = self.cores.iter().enumerate();
            let next = cores.min_by_key(|(_, core)| core.next_event());
            let Some((core, now)) = next.map(|(index, core)| (index, core.next_event())) else {
                unreachable!("a set has cores");
            };
            assert!(now >= self.now, "time stands or goes on");
            self.now = now;
            match self.cores[core].advance(now) {
                Some(thread) => self.piece_ends(core, thread),
                None => self.cores[core].dispatch(now, &self.costs),
            }
        }
    }

    /// Does the poll that is due.
    pub fn poll(&mut self) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        let Pending {
            core,
            thread,
            place,
            ended,
        } = pending;
        let asked = match place {
            Place::Replica(replica) | Place::Ballot(replica) => {
                self.poll_replica(replica, thread, ended)
            }
            Place::Voter(voter) => self.poll_voter(voter, thread),
        };
        if let (Place::Replica(replica), Next::RunJob { input, .. }) = (place, &asked) {
            self.nodes[replica].input = *input;
            if !self.inputs.contains(input) {
                self.inputs.push(*input);
            }
        }
        self.cores[core].carry_out(thread, self.now, &asked, &self.costs);
        self.cores[core].dispatch(self.now, &self.costs);
    }

    /// Runs until the begin of `epoch`.
    pub fn run_until(&mut self, epoch: u64) {
        let until = epoch.saturating_mul(self.description.period);
        loop {
            self.run_to_poll();
            if self.now >= until {
                return;
            }
            self.poll();
        }
    }

    fn piece_ends(&mut self, core: usize, thread: usize) {
        let now = self.now;
        let sim = &mut self.cores[core].threads[thread];
        let Activity::Working { left, piece } = &mut sim.activity else {
            return;
        };
        let place = match sim.role {
            Role::Replica(replica) => Place::Replica(replica),
            Role::Voter(voter) => Place::Voter(voter),
            Role::Load { .. } | Role::Idle => {
                self.cores[core].end_load(thread, now);
                self.cores[core].dispatch(now, &self.costs);
                return;
            }
        };
        let (job, until) = match piece {
            Piece::Poll(ended) => {
                self.pending = Some(Pending {
                    core,
                    thread,
                    place,
                    ended: *ended,
                });
                return;
            }
            Piece::Write(job, until) => (job, *until),
            Piece::Load => return,
        };
        let Place::Replica(replica) = place else {
            return;
        };
        let node = &mut self.nodes[replica];
        if node.register.is_some_and(|flip| job.flip(flip)) {
            node.register = None;
        }
        let ended = if now >= until.as_nanos() || node.is_silent {
            (node.is_endless, node.is_silent) = (false, false);
            Some(JobEnd::CutOff)
        } else if node.is_endless || job.step(&mut node.memory) {
            None
        } else {
            node.output = job.output();
            Some(JobEnd::Done)
        };
        match ended {
            Some(end) => {
                *left = self.costs.poll;
                *piece = Piece::Poll(Some(end));
            }
            None => *left = self.costs.write,
        }
        self.cores[core].dispatch(now, &self.costs);
    }

    fn poll_replica(&mut self, replica: usize, thread: usize, ended: Option<JobEnd>) -> Next {
        let now = Instant::from_nanos(self.now);
        self.with_replica(replica, thread, |task, channels, side| {
            task.poll(now, ended, channels, side)
        })
    }

    fn hash_all(&mut self, replica: usize) {
        self.with_replica(
            replica,
            0,
            |task, channels, side| {
                while task.prepare_step(channels, side) {}
            },
        );
    }

    /// Does something with a replica's task, in what that is given.
    fn with_replica<R>(
        &mut self,
        replica: usize,
        thread: usize,
        act: impl FnOnce(
            &mut ReplicaTask<Vec<u64>>,
            &ReplicaChannels<'_>,
            &mut Side<'_, ReplicaOwn<'_>>,
        ) -> R,
    ) -> R {
        let readers: Vec<_> = self.channels.iter().map(|it| Reader::new(it)).collect();
        let voters: Vec<_> = self.voter_channels.iter().map(Channel::reader).collect();
        let own = Writer::new(&self.channels[replica]);
        let ballot = self.ballot_channels.get(replica);
        let channels = ReplicaChannels {
            own,
            ballot: ballot.map_or(ChannelWriter::Plain(own), Channel::writer),
            voters: Voters(&voters),
            replicas: &readers,
        };
        let node = &mut self.nodes[replica];
        let mut side = Side {
            core: &self.cores[node.core],
            thread,
            now: self.now,
            events: &mut self.events,
            missed: &mut self.missed[node.core],
            verdicts: &self.voter_channels,
            sensor: sensor(&self.description, &self.set),
            own: ReplicaOwn {
                memory: &mut node.memory,
                scratch: &mut node.scratch,
                input: &node.input,
                output: node.output,
                key: node.key,
                replica,
                ballot,
                cast_in: channels.ballot,
                set: &self.set,
                liar: self.liar.as_ref(),
                withholds: self.withholds,
            },
        };
        act(&mut node.task, &channels, &mut side)
    }

    fn poll_voter(&mut self, voter: usize, thread: usize) -> Next {
        let readers: Vec<_> = self.channels.iter().map(|it| Reader::new(it)).collect();
        let voters: Vec<_> = self.voter_channels.iter().map(Channel::reader).collect();
        let ballots: Vec<_> = match self.ballot_channels.as_slice() {
            [] => readers.iter().map(|it| ChannelReader::Plain(*it)).collect(),
            channels => channels.iter().map(Channel::reader).collect(),
        };
        let channels = VoterChannels {
            own: self.voter_channels[voter].writer(),
            voters: Voters(&voters),
            ballots: &ballots,
            replicas: &readers,
        };
        let node = &mut self.voters[voter];
        let mut side = Side {
            core: &self.cores[node.core],
            thread,
            now: self.now,
            events: &mut self.events,
            missed: &mut self.missed[node.core],
            verdicts: &self.voter_channels,
            sensor: sensor(&self.description, &self.set),
            own: VoterOwn {
                voter,
                device: &mut self.device,
                inputs: &self.inputs,
                ballots: &self.ballot_channels,
                set: &self.set,
                liar: self.liar.as_ref(),
                withholds: self.withholds,
            },
        };
        node.task
            .poll(Instant::from_nanos(self.now), &channels, &mut side)
    }

    fn channel(&self, of: Place) -> &[AtomicU64] {
        match of {
            Place::Replica(replica) => &self.channels[replica],
            Place::Ballot(replica) => self.ballot_channels[replica].words(),
            Place::Voter(voter) => self.voter_channels[voter].words(),
        }
    }

    /// Where a replica casts its ballot.
    fn cast_in(&self, replica: usize) -> ChannelWriter<'_> {
        let plain = || ChannelWriter::Plain(Writer::new(&self.channels[replica]));
        let channel = self.ballot_channels.get(replica);
        channel.map_or_else(plain, Channel::writer)
    }
}

/// The secret that the system's keys are made of.
const SECRET: Key = Key([0x5ec7_e700, 0x5ec7_e701]);

/// The key of a replica's sandbox that has been started anew so often.
fn key(set: &ReplicaSet, number: u32, replica: usize, restarts: u32) -> Option<PlaceKey> {
    let key = || SECRET.of_place(number, replica as u8).numbered(restarts);
    set.tags.then(key)
}

/// The key of the set's sensor.
fn sensor(description: &ReplicaSet, set: &Set) -> Option<Key> {
    description.tags.then(|| SECRET.of_sensor(set.number))
}

fn actuator(description: &ReplicaSet, set: &Set) -> Option<Actuator> {
    let settings = actuator_of(set.number, description, &SECRET);
    let started = Actuator::start(settings, Kept::default(), Instant::EPOCH);
    started.filter(|_| description.tags)
}

/// The voter whose sandbox has the device when the set begins.
fn first_owner(description: &ReplicaSet) -> usize {
    let mut drivers = description.drivers();
    let first = drivers.next();
    let mut voters = description.voters.iter();
    voters.position(|voter| Some(voter) == first).unwrap_or(0)
}

fn erase(words: &[AtomicU64]) {
    words
        .iter()
        .for_each(|word| word.store(0, Ordering::Relaxed));
}

fn task(
    set: &ReplicaSet,
    number: u32,
    thread: &Thread,
    replica: usize,
    pages: u32,
    start: ReplicaStart,
) -> ReplicaTask<Vec<u64>> {
    let leaves = vec![0; pages as usize];
    let checkpoint = match set.voting.keeps_checkpoints() {
        true => leaves.clone(),
        false => Vec::new(),
    };
    ReplicaTask::new(
        number,
        set,
        thread,
        replica as u8,
        leaves,
        checkpoint,
        start,
    )
}
