//! The tasks of replicas and voters in their threads: what the tasks ask for is carried out
//! here, and what they are given is taken from here. What they do is in `tern_replication`.
use super::closing::Closing;
use super::job;
use super::task_jobs::TaskJobs;
use crate::drivers::serial::{self, SerialPort};
use crate::image::{channels, description, keys};
use crate::program::process::{Outcome, Process};
use crate::{clock, hypercall, say, thread, trace};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use tern_abi::system_call::MESSAGE_WORDS;
use tern_config::ThreadRef;
use tern_plant::frames::{Decoder, Frame};
use tern_plant::tag::{Key, Measured, PlaceKey, PlaceTag, Statement};
use tern_recovery::PageMemory;
use tern_replication::{
    Env, Job, JobEnd, Next, ReplicaChannels, ReplicaEnv, ReplicaStart, ReplicaTask, VoterChannels,
    VoterEnv, VoterTask,
};
use tern_trace::Event;
use tern_units::{Duration, Instant, PAGE_SIZE, PageNumber};
use tern_vote::{
    ChannelReader, ChannelWriter, Page, Reader, Release, ReplicaLayout, VoterLayout, Voters,
    Writer, page_of_words, sha256,
};

const _: () = assert!(tern_vote::MAX_REPLICAS == tern_config::limits::MAX_REPLICAS);

impl PageMemory for Process {
    fn page(&self, page: PageNumber) -> &Page {
        Self::page(self, page)
    }

    fn replace(&mut self, page: PageNumber, content: &Page) {
        *self.page_mut(page) = *content;
    }

    fn take_dirty(&mut self, page: PageNumber) -> bool {
        Self::take_dirty(self, page)
    }

    fn kept(&self, page: PageNumber) -> Option<&Page> {
        Self::kept(self, page)
    }

    fn keep(&mut self, page: PageNumber) {
        Self::keep(self, page);
    }
}

/// The keys of a replica whose set tags.
#[derive(Clone, Copy, Debug)]
struct Keys {
    own: PlaceKey,
    sensor: Key,
}

impl Keys {
    /// Returns the keys of this sandbox in set `number`, if the set tags.
    ///
    /// # Panics
    /// During boot, if the sandbox was given none: the message says so.
    fn of(number: u32, set: &tern_config::ReplicaSet) -> Option<Self> {
        if !set.tags {
            return None;
        }
        let (Some(own), Some(sensor)) = (keys::of_place(number), keys::of_sensor(number)) else {
            panic!("this sandbox has no key of replica set \"{}\"", set.name);
        };
        Some(Self { own, sensor })
    }
}

/// A replica's task, and what it works with.
#[derive(Debug)]
pub struct ReplicaThread {
    task: ReplicaTask<Vec<u64>>,
    thread: &'static tern_config::Thread,
    own: Writer<'static>,
    ballot: Ballot,
    voters: Vec<ChannelReader<'static>>,
    verdicts: Closing,
    replicas: Vec<Reader<'static>>,
    scratch: Box<Page>,
    keys: Option<Keys>,
}

/// Where a replica casts its ballot.
#[derive(Clone, Copy, Debug)]
struct Ballot {
    channel: ChannelWriter<'static>,
    /// The channel's index, if it is sealed.
    sealed: Option<u32>,
}

impl ReplicaThread {
    /// Prepares the replica at `place` of set `set_number` and hashes all of its pages.
    ///
    /// # Panics
    /// During boot, if the set's channels do not fit the program: the message says so.
    #[must_use]
    pub fn prepare(set_number: u32, place: ThreadRef, process: &mut Process) -> Self {
        let set = &description::system().replica_sets[set_number as usize];
        let name = &set.name;
        let Some(number) = set.replicas.iter().position(|it| *it == place) else {
            panic!("replica set \"{name}\" does not list its replica");
        };
        let own = set.replica_channels.get(number).copied();
        let own = own.and_then(channels::writer);
        let sealed = set.ballot_channels.get(number).copied();
        let ballot = match sealed {
            Some(channel) => channels::own(channel),
            None => own.map(ChannelWriter::Plain),
        };
        let (Some(own), Some(ballot), Some(voters), Some(replicas)) = (
            own,
            ballot,
            shown(&set.voter_channels),
            readers(&set.replica_channels),
        ) else {
            panic!("replica set \"{name}\" lacks channels: it needs a voter");
        };
        let pages = process.page_count().0;
        let room = ReplicaLayout::new(own.reader().len()).map_or(0, |layout| layout.capacity());
        let lists = voters.iter().map(ChannelReader::len).min().unwrap_or(0);
        let list = VoterLayout::new(lists).map_or(0, |layout| layout.capacity());
        assert!(
            pages <= room.min(list),
            "the channels of replica set \"{name}\" hold {} pages, its program has {pages}",
            room.min(list)
        );

        let server = &description::sandbox().servers[place.server as usize];
        let thread = &server.threads[place.thread as usize];
        let leaves = vec![0; pages as usize];
        let checkpoint = match set.voting.keeps_checkpoints() {
            true => {
                process.keep_checkpoint();
                leaves.clone()
            }
            false => Vec::new(),
        };
        let task = ReplicaTask::new(
            set_number,
            set,
            thread,
            number as u8,
            leaves,
            checkpoint,
            ReplicaStart::WithSet,
        );
        let mut replica = Self {
            task,
            thread,
            own,
            ballot: Ballot {
                channel: ballot,
                sealed,
            },
            verdicts: Closing::of(&set.voter_channels, &voters),
            voters,
            replicas,
            scratch: Box::new([0; PAGE_SIZE]),
            keys: Keys::of(set_number, set),
        };
        replica.hash_all(process);
        // The first confirmation asks the processor what it can do, which is a VM exit.
        let _ = sha256(&[0; PAGE_SIZE]);
        replica
    }

    fn hash_all(&mut self, process: &mut Process) {
        let channels = ReplicaChannels {
            own: self.own,
            ballot: self.ballot.channel,
            voters: Voters(&self.voters),
            replicas: &self.replicas,
        };
        let mut env = ReplicaSide {
            process,
            scratch: &mut self.scratch,
            keys: self.keys,
            sealed: self.ballot.sealed,
            verdicts: &self.verdicts,
            jobs: TaskJobs::new(self.thread, false),
        };
        while self.task.prepare_step(&channels, &mut env) {}
    }

    /// Does what the task asks for, for good.
    pub fn run(mut self, process: &mut Process, records_exits: bool) -> ! {
        let channels = ReplicaChannels {
            own: self.own,
            ballot: self.ballot.channel,
            voters: Voters(&self.voters),
            replicas: &self.replicas,
        };
        let mut env = ReplicaSide {
            process,
            scratch: &mut self.scratch,
            keys: self.keys,
            sealed: self.ballot.sealed,
            verdicts: &self.verdicts,
            jobs: TaskJobs::new(self.thread, records_exits),
        };
        let mut ended = None;
        loop {
            let next = self
                .task
                .poll(clock::now(), ended.take(), &channels, &mut env);
            match next {
                Next::RunJob { input, until } => ended = Some(env.run_job(&input, until)),
                Next::Again => {}
                Next::SleepUntil(at) => thread::sleep_until(at),
                Next::Release(job) => env.jobs.sleep_until(recorded(&job)),
            }
        }
    }
}

fn readers(channels: &[u32]) -> Option<Vec<Reader<'static>>> {
    channels
        .iter()
        .map(|index| channels::reader(*index))
        .collect()
}

fn shown(channels: &[u32]) -> Option<Vec<ChannelReader<'static>>> {
    channels
        .iter()
        .map(|index| channels::shown(*index))
        .collect()
}

/// Whether the sensor with this key has said so; of one without a key all is taken.
fn is_measured(sensor: Option<Key>, measured: &Measured<'_>, tag: u64) -> bool {
    sensor.is_none_or(|sensor| sensor.tag_sample(measured) == tag)
}

const fn recorded(job: &Job) -> job::Job {
    job::Job {
        number: job.number,
        release: job.release,
        deadline: job.deadline,
    }
}

/// What a replica's task is given.
struct ReplicaSide<'a> {
    process: &'a mut Process,
    scratch: &'a mut Page,
    keys: Option<Keys>,
    /// The index of the channel of its ballot, if that is sealed.
    sealed: Option<u32>,
    verdicts: &'a Closing,
    jobs: TaskJobs,
}

impl ReplicaSide<'_> {
    /// Runs the program's job with a frozen input until it ends or `until`.
    fn run_job(&mut self, input: &Release, until: Instant) -> JobEnd {
        input.fill(self.process.input_mut());
        self.process.begin_job(input.epoch);
        match self.process.run_until(until) {
            Outcome::JobDone => JobEnd::Done,
            Outcome::Fault(fault) => {
                trace::record(Event::Fault {
                    class: fault.vector as u16,
                    detail: u32::from(thread::current().0),
                    address: fault.address,
                });
                JobEnd::CutOff
            }
            Outcome::Exit(_) | Outcome::DeadlineReached => JobEnd::CutOff,
        }
    }
}

impl Env for ReplicaSide<'_> {
    // Inlined, each record is encoded as the kind that it is, without asking which.
    #[inline(always)]
    fn record(&mut self, event: Event) {
        trace::record(event);
    }

    fn released(&mut self, job: &Job) {
        self.jobs.released(recorded(job));
    }

    fn completed(&mut self, job: &Job) {
        self.jobs.completed(&recorded(job));
    }

    fn missed(&mut self, job: &Job) {
        self.jobs.missed(&recorded(job));
    }

    fn budget_by(&self, at: Instant) -> Duration {
        thread::budget_by(at)
    }

    fn close_verdicts(&mut self, epoch: u64) -> bool {
        self.verdicts.close(epoch)
    }

    fn is_measured(&mut self, measured: &Measured<'_>, tag: u64) -> bool {
        let sensor = self.keys.map(|keys| keys.sensor);
        is_measured(sensor, measured, tag)
    }
}

impl ReplicaEnv for ReplicaSide<'_> {
    type Memory = Process;

    fn memory(&mut self) -> (&mut Process, &mut Page) {
        (self.process, self.scratch)
    }

    fn input(&mut self) -> &Page {
        page_of_words(self.process.input_mut(), self.scratch);
        self.scratch
    }

    fn output(&self) -> [u64; MESSAGE_WORDS] {
        let mut words = [0; MESSAGE_WORDS];
        words.copy_from_slice(&self.process.output()[..MESSAGE_WORDS]);
        words
    }

    fn tag(&mut self, statement: &Statement<'_>) -> Option<PlaceTag> {
        self.keys.map(|keys| keys.own.tag(statement))
    }

    fn seal_ballot(&mut self, epoch: u64) -> bool {
        self.sealed
            .is_none_or(|channel| hypercall::seal(channel, epoch))
    }
}

/// A voter's task, and what it works with.
#[derive(Debug)]
pub struct VoterThread {
    task: VoterTask,
    thread: &'static tern_config::Thread,
    /// The set's name, for the console.
    name: &'static str,
    /// The index of its channel, if that is sealed.
    sealed: Option<u32>,
    own: ChannelWriter<'static>,
    voters: Vec<ChannelReader<'static>>,
    verdicts: Closing,
    ballots: Vec<ChannelReader<'static>>,
    cast: Closing,
    replicas: Vec<Reader<'static>>,
    sensor: Option<Key>,
    port: Option<&'static SerialPort>,
    shared: Option<(u32, &'static SerialPort)>,
}

impl VoterThread {
    /// Prepares the voter of set `number` at `place`, in `thread`.
    ///
    /// # Panics
    /// During boot, if the set lacks a channel or its device a driver: the message says so.
    #[must_use]
    pub fn prepare(number: u32, place: ThreadRef, thread: &'static tern_config::Thread) -> Self {
        let set = &description::system().replica_sets[number as usize];
        let name = &set.name;
        let voter = set.voters.iter().position(|it| *it == place);
        let channel = voter.and_then(|voter| set.voter_channels.get(voter).copied());
        // Where ballots have no channels of their own, they are in the replicas'.
        let cast = match set.ballot_channels.as_slice() {
            [] => &set.replica_channels,
            channels => channels,
        };
        let (Some(voter), Some(own), Some(voters), Some(ballots), Some(replicas)) = (
            voter,
            channel.and_then(channels::own),
            shown(&set.voter_channels),
            shown(cast),
            readers(&set.replica_channels),
        ) else {
            panic!("the voter of replica set \"{name}\" cannot see the set's channels");
        };
        assert!(
            VoterLayout::new(own.len()).is_some(),
            "the voter's channel of replica set \"{name}\" is too small"
        );
        // Of two in lock-step one has the device.
        let mut drivers = set.drivers();
        let device = set
            .device
            .filter(|_| drivers.any(|driver| driver.sandbox == place.sandbox));
        let port = device.map(|device| match serial::serial_port(device) {
            Some(port) => port,
            None => panic!("the device of replica set \"{name}\" has no driver in its sandbox"),
        });
        Self {
            task: VoterTask::new(number, set, thread, voter as u8),
            thread,
            name,
            sealed: channel.filter(|_| set.voter_seal().is_some()),
            own,
            verdicts: Closing::of(&set.voter_channels, &voters),
            voters,
            cast: Closing::of(&set.ballot_channels, &ballots),
            ballots,
            replicas,
            sensor: keys::of_sensor(number).filter(|_| set.tags),
            shared: device.zip(port).filter(|(device, _)| {
                let devices = &description::system().devices;
                devices[*device as usize].is_shared()
            }),
            port,
        }
    }

    /// Does what the task asks for, for good.
    pub fn run(mut self, records_exits: bool) -> ! {
        let channels = VoterChannels {
            own: self.own,
            voters: Voters(&self.voters),
            ballots: &self.ballots,
            replicas: &self.replicas,
        };
        let mut env = VoterSide {
            name: self.name,
            sealed: self.sealed,
            verdicts: &self.verdicts,
            cast: &self.cast,
            sensor: self.sensor,
            port: self.port,
            shared: self.shared,
            jobs: TaskJobs::new(self.thread, records_exits),
        };
        loop {
            match self.task.poll(clock::now(), &channels, &mut env) {
                // A voter runs no program.
                Next::RunJob { .. } | Next::Again => {}
                Next::SleepUntil(at) => thread::sleep_until(at),
                Next::Release(job) => env.jobs.sleep_until(recorded(&job)),
            }
        }
    }
}

/// What a voter's task is given.
struct VoterSide<'a> {
    name: &'static str,
    sealed: Option<u32>,
    verdicts: &'a Closing,
    cast: &'a Closing,
    sensor: Option<Key>,
    port: Option<&'static SerialPort>,
    /// The device and its port, if it moves between sandboxes.
    shared: Option<(u32, &'static SerialPort)>,
    jobs: TaskJobs,
}

impl Env for VoterSide<'_> {
    fn record(&mut self, event: Event) {
        trace::record(event);
        if let Event::Stop { epoch, .. } = event {
            let name = self.name;
            say!("replica set {name}: no majority up to epoch {epoch}, stopped");
        }
    }

    fn released(&mut self, job: &Job) {
        self.jobs.released(recorded(job));
    }

    fn completed(&mut self, job: &Job) {
        self.jobs.completed(&recorded(job));
    }

    fn missed(&mut self, job: &Job) {
        self.jobs.missed(&recorded(job));
    }

    fn budget_by(&self, at: Instant) -> Duration {
        thread::budget_by(at)
    }

    fn close_verdicts(&mut self, epoch: u64) -> bool {
        self.verdicts.close(epoch)
    }

    fn is_measured(&mut self, measured: &Measured<'_>, tag: u64) -> bool {
        is_measured(self.sensor, measured, tag)
    }
}

impl VoterEnv for VoterSide<'_> {
    fn receive(&mut self, decoder: &mut Decoder) -> Option<Frame> {
        self.port?.receive(decoder)
    }

    fn send(&mut self, bytes: &[u8]) {
        if let Some(port) = self.port {
            // Where there is no device the driver has said why, and every input is stale.
            let _ = port.send(bytes);
        }
    }

    fn close_ballots(&mut self, epoch: u64) -> bool {
        self.cast.close(epoch)
    }

    fn take_device(&mut self, epoch: u64) -> bool {
        let Some((device, port)) = self.shared else {
            return true;
        };
        let is_taken = hypercall::take(device, epoch);
        if is_taken {
            port.take();
        }
        is_taken
    }

    fn seal(&mut self, number: u64) -> bool {
        self.sealed
            .is_none_or(|channel| hypercall::seal(channel, number))
    }
}
