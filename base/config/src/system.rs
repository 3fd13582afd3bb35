//! The types of a system description: what the hypervisor partitions, what each
//! sandbox kernel schedules, and which programs are replicated.
//!
//! Names are resolved: a reference is an index into the list it refers to. Every
//! value here has passed `crate::validate`.
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A whole system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// Its name.
    pub name: String,
    /// The cost table its analysis uses; "none" for zero overheads.
    pub platform: String,
    /// Bytes of each core's trace ring, a power of two.
    pub trace_bytes: u64,
    /// What a full trace ring does.
    pub trace_mode: TraceMode,
    /// The sandboxes, one a core.
    pub sandboxes: Vec<Sandbox>,
    /// Devices that sandboxes own.
    pub devices: Vec<Device>,
    /// Memory shared between sandboxes, those that replica sets imply included.
    pub channels: Vec<Channel>,
    /// Replicated programs.
    pub replica_sets: Vec<ReplicaSet>,
}

/// What a full trace ring does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TraceMode {
    /// Drops new records and counts them.
    #[default]
    Stream,
    /// Overwrites the oldest: a flight recorder.
    Overwrite,
}

/// One virtual machine on one core.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Its name.
    pub name: String,
    /// Its core: a position in the machine's list of usable cores, 0 the boot core.
    pub core: u32,
    /// Bytes of its memory, a multiple of 2 MiB.
    pub memory_bytes: u64,
    /// The file of the image that it boots: the sandbox kernel, or another PVH guest.
    pub kernel: String,
    /// Handed to the guest as its command line.
    pub command_line: String,
    /// Whether it may end the run of the whole machine.
    pub may_shut_down: bool,
    /// Its devices: indices into [`System::devices`].
    pub devices: Vec<u32>,
    /// Its servers, in the order of the file.
    pub servers: Vec<Server>,
}

/// Which algorithm a server follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerKind {
    /// A sporadic server, for computation.
    #[default]
    Sporadic,
    /// An I/O server, for interrupt-driven work.
    Io,
}

/// A share of a core: a budget in every period. Times are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Its algorithm.
    pub kind: ServerKind,
    /// Budget C.
    pub budget: u64,
    /// Period T.
    pub period: u64,
    /// Deadline D of the budget's delivery; may exceed the period.
    pub deadline: u64,
    /// Release jitter J.
    pub jitter: u64,
    /// Blocking B in addition to the platform's.
    pub blocking: u64,
    /// Priority in its sandbox, 0 highest, no two the same.
    pub priority: u32,
    /// Replenishments that its list has room for; 0 for an I/O server, and until the checker has
    /// given it some.
    pub room: u32,
    /// Its threads, in the order of the file; they run in that order of precedence.
    pub threads: Vec<Thread>,
}

/// One thread of a server. Times are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Its name.
    pub name: String,
    /// Worst-case execution time of a job.
    pub wcet: u64,
    /// Period of its releases.
    pub period: u64,
    /// Deadline, relative to the release.
    pub deadline: u64,
    /// Time of its first release after the time epoch.
    pub offset: u64,
    /// What it runs.
    pub runs: Runs,
    /// Jobs at explicit times instead of periodic ones, for simulation.
    pub jobs: Vec<Job>,
}

/// What a thread runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Runs {
    /// Nothing that boots: the thread is for analysis and simulation alone.
    #[default]
    Nothing,
    /// A program of its own.
    Program {
        /// The program's file in the image.
        file: String,
        /// Handed to it in RDI at its start.
        argument: u64,
        /// Pages of heap.
        heap_pages: u32,
        /// Pages of stack.
        stack_pages: u32,
        /// The device that it stands for, if it is a plant: its input is the device's
        /// next command, its output the sample that answers. Index into
        /// [`System::devices`].
        simulates: Option<u32>,
    },
    /// A replica of a set: index into [`System::replica_sets`].
    Replica(u32),
    /// The arbitrator's voter of a set: index into [`System::replica_sets`].
    Voter(u32),
    /// The driver of a device: index into [`System::devices`].
    Driver(u32),
}

/// A job at an explicit time. Times are nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Release.
    pub at: u64,
    /// Execution time.
    pub work: u64,
}

/// A device that one sandbox owns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: DeviceKind,
    /// First I/O port.
    pub port: u16,
    /// Number of I/O ports.
    pub port_count: u16,
    /// Its interrupt line of the legacy controllers, 0 to 15.
    pub interrupt: u8,
    /// The channels that take the place of ports and line where a program simulates what
    /// is at the device's other end.
    pub channels: Option<DeviceChannels>,
    /// Where several sandboxes share it, one having it at a time: the sealed channels in which they
    /// say who that is, one of each of them. Their places are positions here
    /// (`tern_abi::ownership`). Indices into [`System::channels`]. Such a device is polled: its line
    /// stays masked. A sandbox shares one at most.
    pub verdicts: Vec<u32>,
}

/// The two directions of a simulated device: indices into [`System::channels`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceChannels {
    /// Written by the driver's sandbox, read by the plant's.
    pub output: u32,
    /// Written by the plant's sandbox, read by the driver's.
    pub input: u32,
}

/// Kinds of device that the sandbox kernel has a driver for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    /// A 16550 serial port.
    #[default]
    Serial,
}

/// Memory that one sandbox writes and others read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// Index of the sandbox that writes it.
    pub writer: u32,
    /// Indices of the sandboxes that read it.
    pub readers: Vec<u32>,
    /// Its size, a multiple of 4 KiB.
    pub bytes: u64,
    /// The least time in nanoseconds between two rings of its doorbell, with which the
    /// writer interrupts the readers. Without one the channel is silent.
    pub doorbell: Option<u64>,
    /// Where it is sealed, the time in nanoseconds from one number of its seal to the next: its
    /// readers all read the same, which the writer can no longer change (`tern_abi::seal`).
    pub seal: Option<u64>,
    /// Where it is sealed, the time in nanoseconds from the begin of a number to when the writer
    /// may seal it: until then what was sealed before stands, for readers as late as that.
    pub seal_from: u64,
    /// Where its readers may close it, the time in nanoseconds from the begin of a number to when
    /// they may: it is sealed, and this is below the time from one number to the next.
    pub close: Option<u64>,
}

/// Who votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Voting {
    /// One arbitrator sandbox with private channels.
    Arbitrator {
        /// The arbitrator's channel is sealed: it cannot show replicas different inputs and
        /// verdicts.
        seal: bool,
    },
    /// A voter in each replica's sandbox, beside the replica: what most of their verdicts say
    /// holds, and each of them may have to drive the device.
    Distributed,
    /// A voter in each of two replicas' sandboxes, in lock-step: what both of their verdicts say
    /// holds, and replicas that differ go back to what was agreed last.
    Lockstep {
        /// The replica in whose sandbox the set's device is.
        device: u8,
    },
    /// Nobody: a single copy, its outputs released as they come.
    Unprotected,
}

impl Default for Voting {
    fn default() -> Self {
        Self::Arbitrator { seal: true }
    }
}

impl Voting {
    /// Whether each replica keeps a copy of its pages as they were when the set last agreed.
    #[must_use]
    pub const fn keeps_checkpoints(self) -> bool {
        match self {
            Self::Lockstep { .. } => true,
            Self::Arbitrator { .. } | Self::Distributed | Self::Unprotected => false,
        }
    }

    /// Whether outputs wait for a verdict.
    #[must_use]
    pub const fn has_verdicts(self) -> bool {
        match self {
            Self::Arbitrator { .. } | Self::Distributed | Self::Lockstep { .. } => true,
            Self::Unprotected => false,
        }
    }
}

/// The hash of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeafAlgorithm {
    /// Keyed 64-bit hash on the AES instructions.
    #[default]
    Ahash,
    /// SHA-256, its first 64 bits.
    Sha256,
}

/// What is done about a fault of a replica set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Policy {
    /// A replica outside the majority gets the differing pages, its registers among them, from
    /// a replica of the majority.
    MigrateApplication,
    /// The set has stopped once it has found no majority so often.
    SafeStop {
        /// Votes in a row without a majority.
        lost_epochs: u32,
    },
}

impl Policy {
    /// Votes in a row without a majority that stop a set whose description does not say.
    pub const LOST_EPOCHS: u32 = 3;
}

/// A program that runs in several sandboxes. Times are nanoseconds.
///
/// In each epoch, counted from the release: replicas run and cast their ballots by
/// `ballot_deadline`; the voter then runs and its verdict stands by
/// `verdict_deadline`; from there to the next release repairs are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaSet {
    /// Its name.
    pub name: String,
    /// The program's file in the image.
    pub program: String,
    /// Handed to the program in RDI at its start.
    pub argument: u64,
    /// Pages of heap.
    pub heap_pages: u32,
    /// Pages of stack.
    pub stack_pages: u32,
    /// Who votes.
    pub voting: Voting,
    /// Hash of a page.
    pub leaf: LeafAlgorithm,
    /// Key of hashes and summaries, the same for all replicas.
    pub key: [u64; 4],
    /// Whether replicas tag their outputs, and the device its samples.
    pub tags: bool,
    /// Whether the digests of outputs are cast and voted on in code words.
    pub coded: bool,
    /// What is done about faults, in the order in which it is tried; the last is to stop.
    pub recovery: Vec<Policy>,
    /// Pages that a fault may damage: so many are to be repaired within an epoch.
    pub repair_pages: u32,
    /// Time between releases: an epoch.
    pub period: u64,
    /// A ballot later than this after the release counts as missing.
    pub ballot_deadline: u64,
    /// The verdict stands by this time after the release.
    pub verdict_deadline: u64,
    /// Every page is hashed anew within this time.
    pub scrub_period: u64,
    /// The replicas, in the order of the file: replica numbers are positions here.
    pub replicas: Vec<ThreadRef>,
    /// The voter; where each replica's sandbox has one, all of them, in the order of the replicas.
    pub voters: Vec<ThreadRef>,
    /// The device the program's inputs come from and its outputs go to, in the sandboxes of all
    /// voters, or of one of two in lock-step: index into [`System::devices`].
    pub device: Option<u32>,
    /// For each voter, index of the channel that it writes: release and verdict.
    pub voter_channels: Vec<u32>,
    /// For each replica, index of the channel that it writes: leaf hashes, repair, and its ballot
    /// where that has no channel of its own.
    pub replica_channels: Vec<u32>,
    /// For each replica, index of the channel of its ballot, where ballots are sealed.
    pub ballot_channels: Vec<u32>,
}

impl ReplicaSet {
    /// Returns the time from one number of the seal of a voter's channel to the next, where they
    /// are sealed: numbers are those of epochs.
    #[must_use]
    pub const fn voter_seal(&self) -> Option<u64> {
        match self.voting {
            Voting::Arbitrator { seal: true } | Voting::Distributed | Voting::Lockstep { .. } => {
                Some(self.period)
            }
            Voting::Arbitrator { seal: false } | Voting::Unprotected => None,
        }
    }

    /// Returns the voters whose sandboxes drive the set's device: all of them, as it goes from one to
    /// another, or, of two in lock-step, the one that it is given to.
    pub fn drivers(&self) -> impl Iterator<Item = &ThreadRef> {
        let (first, count) = match self.voting {
            Voting::Lockstep { device } => (usize::from(device), 1),
            Voting::Arbitrator { .. } | Voting::Distributed | Voting::Unprotected => {
                (0, self.voters.len())
            }
        };
        self.voters.iter().skip(first).take(count)
    }

    /// Returns the channels that belong to the set.
    pub fn channels(&self) -> impl Iterator<Item = u32> {
        let voters = self.voter_channels.iter();
        let replicas = self.replica_channels.iter().chain(&self.ballot_channels);
        voters.chain(replicas).copied()
    }

    /// Whether replicas outside the majority are repaired.
    #[must_use]
    pub fn repairs(&self) -> bool {
        self.recovery.contains(&Policy::MigrateApplication)
    }

    /// Returns after how many votes in a row without a majority the set has stopped.
    #[must_use]
    pub fn lost_epochs(&self) -> u32 {
        let mut stops = self.recovery.iter().filter_map(|policy| match policy {
            Policy::SafeStop { lost_epochs } => Some(*lost_epochs),
            Policy::MigrateApplication => None,
        });
        stops.next().unwrap_or(Policy::LOST_EPOCHS)
    }
}

/// A thread, by its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadRef {
    /// Index into [`System::sandboxes`].
    pub sandbox: u32,
    /// Index into [`Sandbox::servers`].
    pub server: u32,
    /// Index into [`Server::threads`].
    pub thread: u32,
}
