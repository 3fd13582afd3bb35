//! Events: what a record and its continuation mean, with their units as types.
use tern_units::{Duration, Instant, PageNumber};

mod decoding;
mod encoding;

pub use decoding::{DecodeError, Events};

/// What a vote decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum VoteOutcome {
    /// All ballots agree.
    Unanimous = 0,
    /// A majority agrees, a minority differs.
    Minority = 1,
    /// A majority agrees, a ballot did not come in time.
    Timeout = 2,
    /// No majority: nothing is released.
    NoMajority = 3,
    /// A majority agrees on the state it has, without having run: nothing is released.
    Held = 4,
}

/// How a round of repair ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum RepairResult {
    /// Every differing page is repaired.
    Done = 0,
    /// Pages remain for another round.
    MoreRounds = 1,
    /// The repair is given up.
    Failed = 2,
}

/// Why an epoch's output was withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum WithheldReason {
    /// The epoch was over before its vote, or its verdict.
    Late = 0,
    /// What was about to go out is not what a majority cast.
    Digest = 1,
    /// No verdict of the epoch stands in the voter's channel.
    NoVerdict = 2,
}

/// The replicas that a vote concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VoteParties {
    /// One bit a replica: the ones outside the majority.
    pub faulty: u32,
    /// Replica that gives pages; [`VoteParties::NOBODY`] where no repair follows.
    pub donor: u16,
    /// Replica that confirms them; [`VoteParties::NOBODY`] where no repair follows.
    pub witness: u16,
}

impl VoteParties {
    /// No replica.
    pub const NOBODY: u16 = 0xFFFF;
    /// The parties of a unanimous vote.
    pub const UNANIMOUS: Self = Self {
        faulty: 0,
        donor: Self::NOBODY,
        witness: Self::NOBODY,
    };

    pub(super) const fn to_word(self) -> u64 {
        self.faulty as u64 | (self.donor as u64) << 32 | (self.witness as u64) << 48
    }

    pub(super) const fn from_word(word: u64) -> Self {
        Self {
            faulty: word as u32,
            donor: (word >> 32) as u16,
            witness: (word >> 48) as u16,
        }
    }
}

/// Errors of a serial line, as often as its port told of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineErrors {
    /// Bytes came faster than they were taken, and some are lost.
    pub overruns: u16,
    /// Bytes with a wrong parity.
    pub parity: u16,
    /// Bytes without their stop bit.
    pub framing: u16,
    /// Breaks: the line was held for longer than a byte.
    pub breaks: u16,
}

impl LineErrors {
    pub(super) const fn to_word(self) -> u64 {
        self.overruns as u64
            | (self.parity as u64) << 16
            | (self.framing as u64) << 32
            | (self.breaks as u64) << 48
    }

    pub(super) const fn from_word(word: u64) -> Self {
        Self {
            overruns: word as u16,
            parity: (word >> 16) as u16,
            framing: (word >> 32) as u16,
            breaks: (word >> 48) as u16,
        }
    }
}

/// The instant at which a sleeping thread wakes, as a record holds it: its lowest 39 bits in
/// nanoseconds. A record has its own time, so the rest is known but for sleeps above nine
/// minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SleepEnd(u64);

impl SleepEnd {
    /// Time after which the same bits come again.
    pub const TURN: Duration = Duration::from_nanos(1 << 39);

    /// Marks the flags of a thread that sleeps.
    pub(super) const SLEEPS: u8 = 0x80;

    /// What a record holds of `at`.
    #[must_use]
    #[inline(always)]
    pub const fn of(at: Instant) -> Self {
        Self(at.as_nanos() & (Self::TURN.as_nanos() - 1))
    }

    /// Returns the first instant with these bits that is not before `from`.
    #[must_use]
    pub const fn not_before(self, from: Instant) -> Instant {
        let turn = Self::TURN.as_nanos();
        let ahead = self.0.wrapping_sub(from.as_nanos()) & (turn - 1);
        from.saturating_add(Duration::from_nanos(ahead))
    }

    #[inline(always)]
    pub(super) const fn split(self) -> (u8, u32) {
        (Self::SLEEPS | (self.0 >> 32) as u8, self.0 as u32)
    }

    pub(super) const fn join(flags: u8, low: u32) -> Self {
        Self(((flags & !Self::SLEEPS) as u64) << 32 | low as u64)
    }
}

/// The meaning of a record. Threads are numbered over all servers of the sandbox,
/// servers and replica sets by position in the system description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the fields are named for what the variants say"
)]
pub enum Event {
    /// A job is released.
    Release { thread: u16, job: u32 },
    /// The core turns to a thread, or to none.
    Switch { thread: Option<u16> },
    /// A thread blocks: until an instant, or until it is woken.
    Block {
        thread: u16,
        until: Option<SleepEnd>,
    },
    /// A job is complete.
    Complete { thread: u16, job: u32 },
    /// A job missed its deadline.
    Miss { thread: u16, job: u32 },
    /// A server's budget is exhausted: of what it used, the last will come back at a time.
    /// Amounts end at [`Event::MAX_AMOUNT`].
    Exhaust {
        server: u16,
        amount: Duration,
        at: Instant,
    },
    /// A server will get an amount back at a time; likewise.
    ReplenishPosted {
        server: u16,
        amount: Duration,
        at: Instant,
    },
    /// A server got an amount back.
    ReplenishApplied { server: u16, amount: Duration },
    /// An interrupt handler begins.
    InterruptIn { vector: u8 },
    /// An interrupt handler ends.
    InterruptOut { vector: u8 },
    /// A thread's system call.
    SystemCall { thread: u16, number: u32 },
    /// The kernel's hypercall.
    Hypercall { number: u16 },
    /// Exits to the hypervisor for one reason (`tern_abi`'s `ExitReason` as a number)
    /// since the last such record.
    Exit { reason: u16, count: u32 },
    /// A page is hashed.
    Hash { set: u16, page: PageNumber },
    /// A ballot is cast.
    Ballot { set: u16, epoch: u32 },
    /// A vote is decided.
    Vote {
        set: u16,
        epoch: u32,
        outcome: VoteOutcome,
        parties: VoteParties,
    },
    /// A round of repair begins, with so many differing pages.
    RepairStart { set: u16, differing: u32 },
    /// A page is repaired.
    RepairPage { set: u16, page: PageNumber },
    /// A round of repair ends, with so many pages copied.
    RepairEnd {
        set: u16,
        copied: u32,
        result: RepairResult,
    },
    /// Clean pages are hashed anew, from this one on.
    Scrub { set: u16, first: PageNumber },
    /// An epoch's input is frozen; stale if the device sent none in time.
    Input { set: u16, epoch: u32, fresh: bool },
    /// A fault is seen from inside: its class (an exception's vector), its thread and an
    /// address.
    Fault {
        class: u16,
        detail: u32,
        address: u64,
    },
    /// The time at which this record was written.
    ClockSync { now: Instant },
    /// A process exists, with its page-table root's frame (address / 4096).
    Process { thread: u16, root_frame: u32 },
    /// A repaired replica takes part again.
    Rejoin { set: u16, epoch: u32 },
    /// A replica set stops safely.
    Stop { set: u16, epoch: u32 },
    /// So many records were dropped here.
    Lost { count: u32 },
    /// In one of its jobs the driver of a device received bytes that were part of no frame, or
    /// its line had errors.
    Noise {
        device: u16,
        bytes: u32,
        errors: LineErrors,
    },
    /// Nothing answers at the ports of a device, whose driver has stopped.
    NoDevice { device: u16 },
    /// A thread that waited is woken, by another thread or by an interrupt, at once or from an
    /// instant on.
    Wake {
        thread: u16,
        until: Option<SleepEnd>,
    },
    /// The donor of a repair gives a page.
    PageGiven { set: u16, page: PageNumber },
    /// The witness of a repair confirms a page.
    PageConfirmed { set: u16, page: PageNumber },
    /// A replica has what was agreed on in its checkpoint, after copying so many pages.
    Checkpoint { set: u16, pages: u32 },
    /// A replica has gone back to what was agreed last, as far as its checkpoint has that.
    RollBack { set: u16, pages: u32 },
    /// The voter sends no output in an epoch that has one, or may have.
    Withheld {
        set: u16,
        epoch: u32,
        reason: WithheldReason,
    },
}

impl Event {
    /// The longest amount that a replenishment's record holds: 2^40 - 1 ns, 18 minutes.
    /// Longer ones are recorded as this.
    pub const MAX_AMOUNT: Duration = Duration::from_nanos((1 << 40) - 1);

    /// Whether it has an amount above four seconds: such ones are rare, and shorter ones in
    /// every path of the scheduler.
    #[inline(always)]
    pub(crate) const fn has_long_amount(&self) -> bool {
        match self {
            Self::Exhaust { amount, .. }
            | Self::ReplenishPosted { amount, .. }
            | Self::ReplenishApplied { amount, .. } => amount.as_nanos() >> 32 != 0,
            _ => false,
        }
    }

    /// What a server will get back, and when, where that is what happened.
    #[must_use]
    pub const fn posted(&self) -> Option<(u16, Duration, Instant)> {
        match *self {
            Self::Exhaust { server, amount, at } | Self::ReplenishPosted { server, amount, at } => {
                Some((server, amount, at))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
