//! What an epoch costs on a host core: all polls of a replica's task without its job's time, and all
//! of the voter's, in a set of three whose replicas agree and whose outputs are tagged.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::sync::atomic::AtomicU64;
use std::time::{Duration as HostDuration, Instant as HostInstant};
use tern_abi::system_call::MESSAGE_WORDS;
use tern_config::{ReplicaSet, Thread, ThreadRef, Voting};
use tern_plant::actuator::{Actuator, Kept, Outcome};
use tern_plant::frames::{Decoder, Frame, MAX_FRAME};
use tern_plant::tag::{Key, Measured, PlaceKey, PlaceTag, Statement};
use tern_recovery::PageMemory;
use tern_replication::{
    Env, Job, JobEnd, Next, ReplicaChannels, ReplicaEnv, ReplicaStart, ReplicaTask, VoterChannels,
    VoterEnv, VoterTask, actuator_of,
};
use tern_trace::Event;
use tern_units::{Duration, Instant, PAGE_SIZE, PageNumber};
use tern_vote::{
    ChannelReader, ChannelWriter, Page, Reader, Release, Voters, Writer, page_of_words,
    replica_channel_bytes, voter_channel_bytes,
};

const REPLICAS: usize = 3;
const PAGES: u32 = 1024;
const PERIOD: u64 = 10_000_000;
const SECRET: Key = Key([3, 4]);

/// Pages, of which each job writes the first few.
struct Memory {
    pages: Vec<Page>,
    dirty: Vec<bool>,
}

impl PageMemory for Memory {
    fn page(&self, page: PageNumber) -> &Page {
        &self.pages[page.0 as usize]
    }

    fn replace(&mut self, page: PageNumber, content: &Page) {
        self.pages[page.0 as usize] = *content;
    }

    fn take_dirty(&mut self, page: PageNumber) -> bool {
        std::mem::take(&mut self.dirty[page.0 as usize])
    }
}

/// Whoever runs a task, with what only such a task is given. Nothing goes wrong here.
struct Host<T>(T);

impl<T> Env for Host<T> {
    fn record(&mut self, _: Event) {}

    fn released(&mut self, _: &Job) {}

    fn completed(&mut self, _: &Job) {}

    fn missed(&mut self, job: &Job) {
        panic!("missed: {job:?}");
    }

    fn budget_by(&self, _: Instant) -> Duration {
        Duration::from_nanos(PERIOD)
    }

    fn close_verdicts(&mut self, _: u64) -> bool {
        true
    }

    fn is_measured(&mut self, measured: &Measured<'_>, tag: u64) -> bool {
        SECRET.of_sensor(0).tag_sample(measured) == tag
    }
}

struct ReplicaOwn {
    memory: Memory,
    scratch: Box<Page>,
    input: Release,
    key: PlaceKey,
}

impl ReplicaEnv for Host<ReplicaOwn> {
    type Memory = Memory;

    fn memory(&mut self) -> (&mut Memory, &mut Page) {
        (&mut self.0.memory, &mut self.0.scratch)
    }

    fn input(&mut self) -> &Page {
        let mut words = [0; PAGE_SIZE / 8];
        self.0.input.fill(&mut words);
        page_of_words(&words, &mut self.0.scratch);
        &self.0.scratch
    }

    fn output(&self) -> [u64; MESSAGE_WORDS] {
        let mut words = [0; MESSAGE_WORDS];
        words[0] = self.0.input.epoch;
        words
    }

    fn tag(&mut self, statement: &Statement<'_>) -> Option<PlaceTag> {
        Some(self.0.key.tag(statement))
    }

    fn seal_ballot(&mut self, _: u64) -> bool {
        true
    }
}

struct VoterOwn {
    now: Instant,
    sent: Decoder,
    actuator: Actuator,
    answer: Vec<u8>,
    taken: u64,
}

impl VoterEnv for Host<VoterOwn> {
    fn close_ballots(&mut self, _: u64) -> bool {
        true
    }

    fn take_device(&mut self, _: u64) -> bool {
        true
    }

    fn receive(&mut self, decoder: &mut Decoder) -> Option<Frame> {
        let mut bytes = self.0.answer.drain(..);
        bytes.find_map(|byte| decoder.push(byte))
    }

    fn send(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let Some(Frame::Command(command)) = self.0.sent.push(*byte) else {
                continue;
            };
            let outcome = self.0.actuator.accept(&command, self.0.now);
            self.0.taken += u64::from(matches!(outcome, Outcome::Accepted(_)));
            let mut frame = [0; MAX_FRAME];
            let length = self.0.actuator.sample(&[command.epoch], &mut frame);
            self.0.answer.extend(&frame[..length]);
        }
    }

    fn seal(&mut self, _: u64) -> bool {
        true
    }
}

struct Sandbox {
    task: ReplicaTask<Vec<u64>>,
    host: Host<ReplicaOwn>,
    channel: Vec<AtomicU64>,
}

/// A set, and the time that the replica with number 0 and the voter took.
struct Bench {
    replicas: Vec<Sandbox>,
    voter: VoterTask,
    host: Host<VoterOwn>,
    channel: Vec<AtomicU64>,
    set: ReplicaSet,
    /// Pages that a job writes.
    written: usize,
    epoch: u64,
    replica_time: HostDuration,
    voter_time: HostDuration,
}

fn words(bytes: u64) -> Vec<AtomicU64> {
    (0..bytes / 8).map(|_| AtomicU64::new(0)).collect()
}

impl Bench {
    fn new(written: usize) -> Self {
        let set = ReplicaSet {
            period: PERIOD,
            ballot_deadline: PERIOD / 2,
            verdict_deadline: PERIOD * 3 / 4,
            scrub_period: u64::from(PAGES) * PERIOD,
            voting: Voting::Arbitrator { seal: false },
            tags: true,
            replicas: vec![ThreadRef::default(); REPLICAS],
            voters: vec![ThreadRef::default()],
            key: [4, 3, 2, 1],
            ..ReplicaSet::default()
        };
        let thread = Thread {
            wcet: PERIOD / 8,
            period: PERIOD,
            deadline: PERIOD,
            ..Thread::default()
        };
        let replicas = (0..REPLICAS as u8).map(|number| Sandbox {
            task: ReplicaTask::new(
                0,
                &set,
                &thread,
                number,
                vec![0; PAGES as usize],
                Vec::new(),
                ReplicaStart::WithSet,
            ),
            host: Host(ReplicaOwn {
                memory: Memory {
                    pages: (0..PAGES).map(|page| [page as u8; PAGE_SIZE]).collect(),
                    dirty: vec![false; PAGES as usize],
                },
                scratch: Box::new([0; PAGE_SIZE]),
                input: Release::default(),
                key: SECRET.of_place(0, number).numbered(0),
            }),
            channel: words(replica_channel_bytes(PAGES)),
        });
        let settings = actuator_of(0, &set, &SECRET);
        let actuator = Actuator::start(settings, Kept::default(), Instant::EPOCH);
        let mut bench = Self {
            replicas: replicas.collect(),
            voter: VoterTask::new(0, &set, &thread, 0),
            host: Host(VoterOwn {
                now: Instant::EPOCH,
                sent: Decoder::new(),
                actuator: actuator.expect("an actuator of three places"),
                answer: Vec::new(),
                taken: 0,
            }),
            channel: words(voter_channel_bytes(PAGES)),
            set,
            written,
            epoch: 0,
            replica_time: HostDuration::ZERO,
            voter_time: HostDuration::ZERO,
        };
        for replica in 0..REPLICAS {
            bench.with_replica(
                replica,
                |task, channels, host| {
                    while task.prepare_step(channels, host) {}
                },
            );
        }
        // The first outputs answer no sample.
        (0..8).for_each(|_| bench.epoch());
        (bench.replica_time, bench.voter_time) = Default::default();
        bench.host.0.taken = 0;
        bench
    }

    /// An epoch of the whole set.
    fn epoch(&mut self) {
        let begin = self.epoch * self.set.period;
        let (ballots, verdict) = (self.set.ballot_deadline, self.set.verdict_deadline);
        for replica in 0..REPLICAS {
            self.run_replica(replica, begin, begin + verdict);
        }
        self.run_voter(begin + ballots);
        for replica in 0..REPLICAS {
            self.run_replica(replica, begin + verdict, begin + self.set.period);
        }
        self.epoch += 1;
    }

    fn with_replica<R>(
        &mut self,
        replica: usize,
        act: impl FnOnce(&mut ReplicaTask<Vec<u64>>, &ReplicaChannels<'_>, &mut Host<ReplicaOwn>) -> R,
    ) -> R {
        let [own, others @ ..] = &mut self.replicas[replica..] else {
            unreachable!("there is such a replica");
        };
        // Without a repair no replica reads another's channel.
        let readers: Vec<_> = others.iter().map(|it| Reader::new(&it.channel)).collect();
        let voter = [ChannelReader::Plain(Reader::new(&self.channel))];
        let writer = Writer::new(&own.channel);
        let channels = ReplicaChannels {
            own: writer,
            ballot: ChannelWriter::Plain(writer),
            voters: Voters(&voter),
            replicas: &readers,
        };
        act(&mut own.task, &channels, &mut own.host)
    }

    /// Polls a replica at `now` until it waits, which has to be for `until`.
    fn run_replica(&mut self, replica: usize, now: u64, until: u64) {
        let (now, written) = (Instant::from_nanos(now), self.written);
        let begin = HostInstant::now();
        let waits = self.with_replica(replica, |task, channels, host| {
            let mut ended = None;
            loop {
                match task.poll(now, ended.take(), channels, host) {
                    Next::Again => {}
                    Next::RunJob { input, .. } => {
                        host.0.input = input;
                        host.0.memory.dirty[..written].fill(true);
                        ended = Some(JobEnd::Done);
                    }
                    Next::SleepUntil(at) => break at,
                    Next::Release(job) => break job.release,
                }
            }
        });
        if replica == 0 {
            self.replica_time += begin.elapsed();
        }
        assert_eq!(waits.as_nanos(), until);
    }

    fn run_voter(&mut self, now: u64) {
        let now = Instant::from_nanos(now);
        self.host.0.now = now;
        let replicas = self.replicas.iter();
        let readers: Vec<_> = replicas.map(|it| Reader::new(&it.channel)).collect();
        let ballots: Vec<_> = readers.iter().map(|it| ChannelReader::Plain(*it)).collect();
        let own = ChannelWriter::Plain(Writer::new(&self.channel));
        let voter = [own.reader()];
        let channels = VoterChannels {
            own,
            voters: Voters(&voter),
            ballots: &ballots,
            replicas: &readers,
        };
        let begin = HostInstant::now();
        while self.voter.poll(now, &channels, &mut self.host) == Next::Again {}
        self.voter_time += begin.elapsed();
    }

    /// The time that `of` took in so many epochs, in each of which an output was taken.
    fn measure(&mut self, epochs: u64, of: impl Fn(&Self) -> HostDuration) -> HostDuration {
        let (before, taken) = (of(self), self.host.0.taken);
        (0..epochs).for_each(|_| self.epoch());
        assert_eq!(self.host.0.taken - taken, epochs);
        of(self) - before
    }
}

fn epochs(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("epoch");
    for written in [0, 16] {
        let mut set = Bench::new(written);
        let name = BenchmarkId::new("replica, pages written", written);
        group.bench_function(name, |it| {
            it.iter_custom(|epochs| set.measure(epochs, |it| it.replica_time));
        });
    }
    let mut set = Bench::new(0);
    group.bench_function("voter", |it| {
        it.iter_custom(|epochs| set.measure(epochs, |it| it.voter_time));
    });
    group.finish();
}

criterion_group!(benches, epochs);
criterion_main!(benches);
