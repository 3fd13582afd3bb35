//! How an event is a record, and a continuation where its kind has one.
use tern_units::{Duration, Instant, PageNumber};

use super::{
    DecodeError, Event, LineErrors, RepairResult, SleepEnd, VoteOutcome, VoteParties,
    WithheldReason,
};
use crate::{Kind, Record};

impl Event {
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
            E::Block {
                thread,
                until: None,
            } => (Kind::Block, 0, thread, 0, None),
            E::Block {
                thread,
                until: Some(until),
            } => {
                let (flags, low) = until.split();
                (Kind::Block, flags, thread, low, None)
            }
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
            E::Checkpoint { set, pages } => (Kind::Checkpoint, 0, set, pages, None),
            E::RollBack { set, pages } => (Kind::RollBack, 0, set, pages, None),
            E::Lost { count } => (Kind::Lost, 0, 0, count, None),
            E::Wake {
                thread,
                until: None,
            } => (Kind::Wake, 0, thread, 0, None),
            E::Wake {
                thread,
                until: Some(until),
            } => {
                let (flags, low) = until.split();
                (Kind::Wake, flags, thread, low, None)
            }
            E::Noise {
                device,
                bytes,
                errors,
            } => (Kind::Noise, 0, device, bytes, Some(errors.to_word())),
            E::NoDevice { device } => (Kind::NoDevice, 0, device, 0, None),
            E::PageGiven { set, page } => (Kind::PageGiven, 0, set, page.0, None),
            E::PageConfirmed { set, page } => (Kind::PageConfirmed, 0, set, page.0, None),
            E::Withheld { set, epoch, reason } => (Kind::Withheld, reason as u8, set, epoch, None),
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
            Kind::Block => E::Block {
                thread: object,
                until: match (flags, argument) {
                    (0, 0) => None,
                    (flags, low) if flags & SleepEnd::SLEEPS != 0 => {
                        Some(SleepEnd::join(flags, low))
                    }
                    _ => return strange,
                },
            },
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
                    4 => VoteOutcome::Held,
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
            Kind::Checkpoint => E::Checkpoint {
                set: object,
                pages: argument,
            },
            Kind::RollBack => E::RollBack {
                set: object,
                pages: argument,
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
            Kind::Wake => E::Wake {
                thread: object,
                until: match (flags, argument) {
                    (0, 0) => None,
                    (flags, low) if flags & SleepEnd::SLEEPS != 0 => {
                        Some(SleepEnd::join(flags, low))
                    }
                    _ => return strange,
                },
            },
            Kind::Noise => E::Noise {
                device: object,
                bytes: argument,
                errors: LineErrors::from_word(wide),
            },
            Kind::NoDevice => E::NoDevice { device: object },
            Kind::PageGiven => E::PageGiven {
                set: object,
                page: PageNumber(argument),
            },
            Kind::PageConfirmed => E::PageConfirmed {
                set: object,
                page: PageNumber(argument),
            },
            Kind::Withheld => E::Withheld {
                set: object,
                epoch: argument,
                reason: match flags {
                    0 => WithheldReason::Late,
                    1 => WithheldReason::Digest,
                    2 => WithheldReason::NoVerdict,
                    _ => return strange,
                },
            },
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
