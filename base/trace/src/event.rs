//! Events: what a record and its continuation mean, with their units as types.
use core::fmt;

use tern_units::{Duration, Instant, PageNumber};

use crate::{Kind, Record};

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

    const fn to_word(self) -> u64 {
        self.faulty as u64 | (self.donor as u64) << 32 | (self.witness as u64) << 48
    }

    const fn from_word(word: u64) -> Self {
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
    const fn to_word(self) -> u64 {
        self.overruns as u64
            | (self.parity as u64) << 16
            | (self.framing as u64) << 32
            | (self.breaks as u64) << 48
    }

    const fn from_word(word: u64) -> Self {
        Self {
            overruns: word as u16,
            parity: (word >> 16) as u16,
            framing: (word >> 32) as u16,
            breaks: (word >> 48) as u16,
        }
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
    /// A thread blocks.
    Block { thread: u16 },
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

    /// The record for this event at `tsc`, and the argument of its continuation.
    #[must_use]
    #[inline(always)]
    pub const fn encode(self, tsc: u64) -> (Record, Option<u64>) {
        use Event as E;
        let (kind, flags, object, argument, wide) = match self {
            E::Release { thread, job } => (Kind::Release, 0, thread, job, None),
            E::Switch {
                thread: Some(thread),
            } => (Kind::Switch, 0, thread, 0, None),
            E::Switch { thread: None } => (Kind::Switch, 0, Kind::IDLE, 0, None),
            E::Block { thread } => (Kind::Block, 0, thread, 0, None),
            E::Complete { thread, job } => (Kind::Complete, 0, thread, job, None),
            E::Miss { thread, job } => (Kind::Miss, 0, thread, job, None),
            E::Exhaust { server, amount, at } => {
                let (high, low) = split_amount(amount);
                (Kind::Exhaust, high, server, low, Some(at.as_nanos()))
            }
            E::ReplenishPosted { server, amount, at } => {
                let (high, low) = split_amount(amount);
                (
                    Kind::ReplenishPosted,
                    high,
                    server,
                    low,
                    Some(at.as_nanos()),
                )
            }
            E::ReplenishApplied { server, amount } => {
                let (high, low) = split_amount(amount);
                (Kind::ReplenishApplied, high, server, low, None)
            }
            E::InterruptIn { vector } => (Kind::InterruptIn, 0, vector as u16, 0, None),
            E::InterruptOut { vector } => (Kind::InterruptOut, 0, vector as u16, 0, None),
            E::SystemCall { thread, number } => (Kind::SystemCall, 0, thread, number, None),
            E::Hypercall { number } => (Kind::Hypercall, 0, number, 0, None),
            E::Exit { reason, count } => (Kind::Exit, 0, reason, count, None),
            E::Hash { set, page } => (Kind::Hash, 0, set, page.0, None),
            E::Ballot { set, epoch } => (Kind::Ballot, 0, set, epoch, None),
            E::Vote {
                set,
                epoch,
                outcome,
                parties,
            } => (
                Kind::Vote,
                outcome as u8,
                set,
                epoch,
                Some(parties.to_word()),
            ),
            E::RepairStart { set, differing } => (Kind::RepairStart, 0, set, differing, None),
            E::RepairPage { set, page } => (Kind::RepairPage, 0, set, page.0, None),
            E::RepairEnd {
                set,
                copied,
                result,
            } => (Kind::RepairEnd, result as u8, set, copied, None),
            E::Scrub { set, first } => (Kind::Scrub, 0, set, first.0, None),
            E::Input { set, epoch, fresh } => (Kind::Input, fresh as u8, set, epoch, None),
            E::Fault {
                class,
                detail,
                address,
            } => (Kind::Fault, 0, class, detail, Some(address)),
            E::ClockSync { now } => (Kind::ClockSync, 0, 0, 0, Some(now.as_nanos())),
            E::Process { thread, root_frame } => (Kind::Process, 0, thread, root_frame, None),
            E::Rejoin { set, epoch } => (Kind::Rejoin, 0, set, epoch, None),
            E::Stop { set, epoch } => (Kind::Stop, 0, set, epoch, None),
            E::Lost { count } => (Kind::Lost, 0, 0, count, None),
            E::Noise {
                device,
                bytes,
                errors,
            } => (Kind::Noise, 0, device, bytes, Some(errors.to_word())),
            E::NoDevice { device } => (Kind::NoDevice, 0, device, 0, None),
        };
        (
            Record {
                tsc,
                kind,
                flags,
                object,
                argument,
            },
            wide,
        )
    }

    /// The event of a record and, where its kind has one, its continuation's argument.
    ///
    /// # Errors
    /// [`DecodeError`] if the two do not fit together, or the flags have no meaning.
    pub const fn decode(record: Record, wide: Option<u64>) -> Result<Self, DecodeError> {
        use Event as E;
        let Record {
            kind,
            flags,
            object,
            argument,
            ..
        } = record;
        let wide = match (kind.is_wide(), wide) {
            (true, Some(wide)) => wide,
            (false, None) => 0,
            (true, None) => return Err(DecodeError::ContinuationMissing(kind)),
            (false, Some(_)) => return Err(DecodeError::ContinuationAlone),
        };
        let strange = Err(DecodeError::Meaning(record));
        Ok(match kind {
            Kind::Release => E::Release {
                thread: object,
                job: argument,
            },
            Kind::Switch if object == Kind::IDLE => E::Switch { thread: None },
            Kind::Switch => E::Switch {
                thread: Some(object),
            },
            Kind::Block => E::Block { thread: object },
            Kind::Complete => E::Complete {
                thread: object,
                job: argument,
            },
            Kind::Miss => E::Miss {
                thread: object,
                job: argument,
            },
            Kind::Exhaust => E::Exhaust {
                server: object,
                amount: join_amount(flags, argument),
                at: Instant::from_nanos(wide),
            },
            Kind::ReplenishPosted => E::ReplenishPosted {
                server: object,
                amount: join_amount(flags, argument),
                at: Instant::from_nanos(wide),
            },
            Kind::ReplenishApplied => E::ReplenishApplied {
                server: object,
                amount: join_amount(flags, argument),
            },
            Kind::InterruptIn | Kind::InterruptOut if object > 0xFF => return strange,
            Kind::InterruptIn => E::InterruptIn {
                vector: object as u8,
            },
            Kind::InterruptOut => E::InterruptOut {
                vector: object as u8,
            },
            Kind::SystemCall => E::SystemCall {
                thread: object,
                number: argument,
            },
            Kind::Hypercall => E::Hypercall { number: object },
            Kind::Exit => E::Exit {
                reason: object,
                count: argument,
            },
            Kind::Hash => E::Hash {
                set: object,
                page: PageNumber(argument),
            },
            Kind::Ballot => E::Ballot {
                set: object,
                epoch: argument,
            },
            Kind::Vote => E::Vote {
                set: object,
                epoch: argument,
                outcome: match flags {
                    0 => VoteOutcome::Unanimous,
                    1 => VoteOutcome::Minority,
                    2 => VoteOutcome::Timeout,
                    3 => VoteOutcome::NoMajority,
                    _ => return strange,
                },
                parties: VoteParties::from_word(wide),
            },
            Kind::RepairStart => E::RepairStart {
                set: object,
                differing: argument,
            },
            Kind::RepairPage => E::RepairPage {
                set: object,
                page: PageNumber(argument),
            },
            Kind::RepairEnd => E::RepairEnd {
                set: object,
                copied: argument,
                result: match flags {
                    0 => RepairResult::Done,
                    1 => RepairResult::MoreRounds,
                    2 => RepairResult::Failed,
                    _ => return strange,
                },
            },
            Kind::Scrub => E::Scrub {
                set: object,
                first: PageNumber(argument),
            },
            Kind::Input if flags > 1 => return strange,
            Kind::Input => E::Input {
                set: object,
                epoch: argument,
                fresh: flags == 1,
            },
            Kind::Fault => E::Fault {
                class: object,
                detail: argument,
                address: wide,
            },
            Kind::ClockSync => E::ClockSync {
                now: Instant::from_nanos(wide),
            },
            Kind::Process => E::Process {
                thread: object,
                root_frame: argument,
            },
            Kind::Rejoin => E::Rejoin {
                set: object,
                epoch: argument,
            },
            Kind::Stop => E::Stop {
                set: object,
                epoch: argument,
            },
            Kind::Lost => E::Lost { count: argument },
            Kind::Noise => E::Noise {
                device: object,
                bytes: argument,
                errors: LineErrors::from_word(wide),
            },
            Kind::NoDevice => E::NoDevice { device: object },
            Kind::Continuation => return Err(DecodeError::ContinuationAlone),
        })
    }
}

/// The flags hold an amount's bits 32 to 39.
#[inline(always)]
const fn split_amount(amount: Duration) -> (u8, u32) {
    let max = Event::MAX_AMOUNT.as_nanos();
    let nanos = if amount.as_nanos() > max {
        max
    } else {
        amount.as_nanos()
    };
    ((nanos >> 32) as u8, nanos as u32)
}

const fn join_amount(high: u8, low: u32) -> Duration {
    Duration::from_nanos((high as u64) << 32 | low as u64)
}

/// Why records have no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A record whose kind has a continuation is not followed by one.
    ContinuationMissing(Kind),
    /// A continuation follows no record whose kind has one.
    ContinuationAlone,
    /// The fields hold values that mean nothing.
    Meaning(Record),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContinuationMissing(kind) => {
                write!(out, "a {} record without its continuation", kind.name())
            }
            Self::ContinuationAlone => write!(out, "a continuation without its record"),
            Self::Meaning(record) => write!(
                out,
                "a {} record with object {} and flags {}, which mean nothing",
                record.kind.name(),
                record.object,
                record.flags
            ),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Pairs records with their continuations and decodes them: yields the timestamp
/// counter with each event.
#[derive(Clone, Debug)]
pub struct Events<I> {
    records: I,
    ahead: Option<Record>,
}

impl<I: Iterator<Item = Record>> Events<I> {
    /// The events of `records`.
    pub const fn new(records: I) -> Self {
        Self {
            records,
            ahead: None,
        }
    }
}

impl<I: Iterator<Item = Record>> Iterator for Events<I> {
    type Item = Result<(u64, Event), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.ahead.take().or_else(|| self.records.next())?;
        let mut wide = None;
        if record.kind.is_wide() {
            self.ahead = self.records.next();
            if let Some(next) = self.ahead.filter(|next| next.kind == Kind::Continuation) {
                self.ahead = None;
                wide = Some(next.tsc);
            }
        }
        Some(Event::decode(record, wide).map(|event| (record.tsc, event)))
    }
}

#[cfg(test)]
mod tests;
