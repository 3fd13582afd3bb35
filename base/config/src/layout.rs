//! Numbers that hypervisor, kernel and tools derive from a description alike: where
//! channels are, how threads are numbered, and what a machine must have.
use alloc::string::String;
use core::fmt;

use tern_abi::layout::CHANNEL_BASE;
use tern_units::{GuestPhysical, PAGE_SIZE};

use crate::system::{Channel, Device, Sandbox, System, Thread, ThreadRef};

/// Channels begin at multiples of this, and memory of sandboxes comes in such pieces.
pub const LARGE_PAGE: u64 = 2 << 20;

/// Bytes of each of the two channels that stand for the line to a simulated device: what
/// passes in some hundred epochs, so that a tool outside can read along at its leisure.
pub const LINE_CHANNEL_BYTES: u64 = 64 << 10;

/// The most servers of a sandbox that the sandbox kernel schedules.
pub const MAX_SERVERS: usize = 64;
/// The most threads of a sandbox that the sandbox kernel schedules.
pub const MAX_THREADS: usize = 128;

/// The least interval of a doorbell that boots, in nanoseconds. A ring costs its receiver an
/// interrupt, up to 10 us on the slowest machine that was measured: at this distance one
/// doorbell takes at most a tenth of a core, also where no cost table counts it.
pub const LEAST_DOORBELL: u64 = 100_000;

/// The least budget of a server that boots, in nanoseconds, unless the description knows its
/// machine better. An activation costs some 10 us on a PC and 24 us on the slowest machine that
/// was measured: what is shorter delivers nothing, and takes the core from everybody below.
pub const LEAST_BUDGET: u64 = 20_000;

/// Pages that the donor of a repair may be ahead of the target. The same number as
/// `tern_vote::SLOTS`.
pub const REPAIR_SLOTS: u64 = 32;
/// How often, at most, a replica looks at other replicas' channels between verdict and
/// release: each wait splits its server's budget once more.
pub const REPAIR_LOOKS: u64 = 6;

/// Guest-physical address of a channel, the same in every sandbox that may see it;
/// `None` if there is no such channel.
///
/// Channels follow one another in the order of [`System::channels`], each from the next
/// multiple of 2 MiB: a large page never spans two of them.
#[must_use]
pub fn channel_address(system: &System, channel: usize) -> Option<GuestPhysical> {
    system.channels.get(channel)?;
    let mut offset = 0_u64;
    for before in &system.channels[..channel] {
        let bytes = before.memory_bytes();
        offset = offset.checked_add(bytes.checked_next_multiple_of(LARGE_PAGE)?)?;
    }
    CHANNEL_BASE.checked_add(offset)
}

impl Channel {
    /// Bytes of memory that it takes: where it is sealed, two halves of [`Channel::bytes`] each,
    /// and a page with the seal's word.
    #[must_use]
    pub const fn memory_bytes(&self) -> u64 {
        match self.seal {
            Some(_) => self.seal_offset().saturating_add(PAGE_SIZE as u64),
            None => self.bytes,
        }
    }

    /// Returns where one of its halves, 0 or 1, begins in its memory.
    #[must_use]
    pub const fn half_offset(&self, half: usize) -> u64 {
        self.bytes.saturating_mul(half as u64)
    }

    /// Returns where the seal's word is in its memory.
    #[must_use]
    pub const fn seal_offset(&self) -> u64 {
        self.half_offset(2)
    }
}

impl Device {
    /// Returns whether several sandboxes share it.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        !self.verdicts.is_empty()
    }
}

impl Sandbox {
    /// The sandbox's threads with their places (server, thread within the server), in
    /// the order of their numbers: all threads of the first server, then of the next.
    pub fn threads(&self) -> impl Iterator<Item = (u32, u32, &Thread)> {
        self.servers.iter().enumerate().flat_map(|(server, owner)| {
            let threads = owner.threads.iter().enumerate();
            threads.map(move |(thread, it)| (server as u32, thread as u32, it))
        })
    }

    /// Number of the thread at (server, thread within the server), as traces have it.
    #[must_use]
    pub fn thread_number(&self, server: u32, thread: u32) -> Option<u32> {
        let found = self
            .threads()
            .position(|(s, t, _)| (s, t) == (server, thread))?;
        u32::try_from(found).ok()
    }
}

impl System {
    /// The thread at a place, if there is one.
    #[must_use]
    pub fn thread(&self, place: &ThreadRef) -> Option<&Thread> {
        let sandbox = self.sandboxes.get(place.sandbox as usize)?;
        sandbox
            .servers
            .get(place.server as usize)?
            .threads
            .get(place.thread as usize)
    }

    /// Position of the channel with this name.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<usize> {
        self.channels
            .iter()
            .position(|channel| channel.name == name)
    }

    /// Bytes of memory that a sandbox's trace ring takes: `trace_bytes` of records after a
    /// page with the ring's header, so that a power of two holds as many. Zero without one.
    #[must_use]
    pub fn trace_window(&self) -> u64 {
        let page = PAGE_SIZE as u64;
        match self.trace_bytes.checked_next_multiple_of(page) {
            Some(0) => 0,
            Some(records) => records.saturating_add(page),
            None => u64::MAX,
        }
    }

    /// Bytes of machine memory that the sandboxes, their trace rings and the channels
    /// take, each rounded up to whole 2 MiB; the hypervisor and the image come on top.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let sandboxes = self.sandboxes.iter().map(|sandbox| sandbox.memory_bytes);
        let traces = self.sandboxes.iter().map(|_| self.trace_window());
        let channels = self.channels.iter().map(Channel::memory_bytes);
        sandboxes
            .chain(traces)
            .chain(channels)
            .fold(0, |sum: u64, bytes| {
                let rounded = bytes
                    .checked_next_multiple_of(LARGE_PAGE)
                    .unwrap_or(u64::MAX);
                sum.saturating_add(rounded)
            })
    }

    /// Bytes of the machine that the system takes with what the hypervisor keeps for it: for each
    /// sandbox nested tables, which on some processors map its memory page by page, permission
    /// bitmaps, its core's stack and page tables, its records. The hypervisor's and the image's own memory is not free.
    #[must_use]
    pub fn machine_bytes(&self) -> u64 {
        const EACH: u64 = 512 << 10;
        const PAGES_IN_TABLE: u64 = 512;
        let tables = |(index, sandbox): (usize, &Sandbox)| {
            let sealed = self.sealed_by(index);
            let halves = sealed.map(|it| it.memory_bytes().div_ceil(PAGES_IN_TABLE));
            let tables = halves.fold(sandbox.memory_bytes / PAGES_IN_TABLE, u64::saturating_add);
            let more = (self.nested_roots(index) - 1).saturating_mul(tables + EACH);
            more.saturating_add(EACH + tables)
                .next_multiple_of(PAGE_SIZE as u64)
        };
        let sandboxes = self.sandboxes.iter().enumerate();
        sandboxes
            .map(tables)
            .fold(self.memory_bytes(), u64::saturating_add)
    }

    /// The sealed channels that a sandbox writes.
    fn sealed_by(&self, sandbox: usize) -> impl Iterator<Item = &Channel> {
        let own = self.channels.iter();
        own.filter(move |it| it.seal.is_some() && it.writer as usize == sandbox)
    }

    /// Returns how many sealed channels a sandbox writes.
    #[must_use]
    pub fn sealed_channels(&self, sandbox: usize) -> usize {
        self.sealed_by(sandbox).count()
    }

    /// Returns the device that a sandbox shares with others, by index, and its place among them.
    #[must_use]
    pub fn shared_device(&self, sandbox: usize) -> Option<(u32, usize)> {
        let writes = |index: &u32| {
            let channel = self.channels.get(*index as usize);
            channel.is_some_and(|it| it.writer as usize == sandbox)
        };
        let mut devices = self.sandboxes.get(sandbox)?.devices.iter();
        devices.find_map(|index| {
            let device = self.devices.get(*index as usize)?;
            Some((*index, device.verdicts.iter().position(writes)?))
        })
    }

    /// Returns the channels that a sandbox may close, by index: those that it reads and that have a
    /// time to close. Bit n of the call that closes them stands for the n-th.
    pub fn closable(&self, sandbox: usize) -> impl Iterator<Item = u32> {
        let may = move |channel: &Channel| {
            let reads = channel.readers.iter().any(|it| *it as usize == sandbox);
            channel.seal.and(channel.close).is_some() && reads
        };
        let channels = (0..).zip(&self.channels);
        channels.filter_map(move |(index, channel)| may(channel).then_some(index))
    }

    /// Returns how many sets of nested tables a sandbox has: one for each choice of the open
    /// halves of the sealed channels that it writes.
    fn nested_roots(&self, sandbox: usize) -> u64 {
        1_u64
            .checked_shl(self.sealed_channels(sandbox) as u32)
            .unwrap_or(u64::MAX)
    }
}

/// What the hypervisor found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Usable cores, the boot core included.
    pub cores: u32,
    /// Bytes of memory free for sandboxes, trace rings and channels.
    pub memory_bytes: u64,
}

/// Why a machine cannot run a system. Each prints as one line that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineError {
    /// A sandbox's core does not exist.
    TooFewCores {
        /// The sandbox.
        sandbox: String,
        /// The core it wants, counted from 0.
        core: u32,
        /// Cores that there are.
        cores: u32,
    },
    /// The sandboxes do not fit.
    TooLittleMemory {
        /// Bytes that the system takes.
        needed: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// A sandbox without memory: the description is for analysis alone.
    NoMemory {
        /// The sandbox.
        sandbox: String,
    },
}

impl fmt::Display for MachineError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewCores {
                sandbox,
                core,
                cores,
            } => write!(
                out,
                "sandbox \"{sandbox}\" wants core {core}, the machine has {cores} (0 to {}): \
                 use a machine with {} cores or move the sandbox",
                cores.saturating_sub(1),
                u64::from(*core) + 1,
            ),
            Self::TooLittleMemory { needed, found } => write!(
                out,
                "the system takes {} MiB of memory, the machine has {} MiB free: \
                 add memory or give sandboxes and traces less",
                needed.div_ceil(1 << 20),
                found >> 20,
            ),
            Self::NoMemory { sandbox } => write!(
                out,
                "sandbox \"{sandbox}\" has no memory: give it a `memory` and rebuild the image"
            ),
        }
    }
}

impl core::error::Error for MachineError {}

/// Whether `machine` can run `system`.
///
/// # Errors
/// The first thing that the machine lacks.
pub fn check_machine(system: &System, machine: &Machine) -> Result<(), MachineError> {
    for sandbox in &system.sandboxes {
        let name = || sandbox.name.clone();
        if sandbox.core >= machine.cores {
            let (core, cores) = (sandbox.core, machine.cores);
            return Err(MachineError::TooFewCores {
                sandbox: name(),
                core,
                cores,
            });
        }
        if sandbox.memory_bytes == 0 {
            return Err(MachineError::NoMemory { sandbox: name() });
        }
    }
    let needed = system.machine_bytes();
    if needed > machine.memory_bytes {
        return Err(MachineError::TooLittleMemory {
            needed,
            found: machine.memory_bytes,
        });
    }
    Ok(())
}

/// Bytes of the channel a replica writes: ballot, leaf hashes of `pages` pages, hashes
/// that it confirms, and slots that repairs go through. A multiple of 4 KiB. The same
/// number as `tern_vote::replica_channel_bytes`, which lays the channel out.
#[must_use]
pub fn replica_channel_bytes(pages: u64) -> u64 {
    const HEAD: u64 = 8 * 128;
    const SLOTS: u64 = REPAIR_SLOTS * (8 * 16 + PAGE_SIZE as u64);
    let arrays = pages.saturating_mul(8 + 8 * 10);
    (HEAD + SLOTS)
        .saturating_add(arrays)
        .next_multiple_of(PAGE_SIZE as u64)
}

/// Bytes of the channel of a ballot alone: the same number as `tern_vote::ballot_channel_bytes`.
#[must_use]
pub fn ballot_channel_bytes() -> u64 {
    PAGE_SIZE as u64
}

/// Bytes of the channel a voter writes: frozen input, verdict, and the list of pages
/// that differ among `pages`. A multiple of 4 KiB. The same number as
/// `tern_vote::voter_channel_bytes`.
#[must_use]
pub fn voter_channel_bytes(pages: u64) -> u64 {
    const HEAD: u64 = 8 * 128;
    let list = pages.saturating_mul(8 * 3);
    HEAD.saturating_add(list).next_multiple_of(PAGE_SIZE as u64)
}
