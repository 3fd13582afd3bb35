//! Events survive their encoding; what has no meaning is an error.
use super::*;
use crate::{Kind, Record};
use std::vec::Vec;

pub(crate) fn one_of_each() -> Vec<Event> {
    let parties = VoteParties {
        faulty: 0b10,
        donor: 0,
        witness: 2,
    };
    let amount = Duration::from_millis(10_000);
    std::vec![
        Event::Release {
            thread: 1,
            job: u32::MAX
        },
        Event::Switch { thread: Some(3) },
        Event::Switch { thread: None },
        Event::Block {
            thread: 3,
            until: None
        },
        Event::Block {
            thread: 3,
            until: Some(SleepEnd::of(Instant::EPOCH))
        },
        Event::Block {
            thread: 3,
            until: Some(SleepEnd::of(Instant::from_nanos(u64::MAX)))
        },
        Event::Complete { thread: 1, job: 2 },
        Event::Miss { thread: 1, job: 2 },
        Event::Exhaust {
            server: 4,
            amount,
            at: Instant::EPOCH
        },
        Event::ReplenishPosted {
            server: 4,
            amount,
            at: Instant::from_nanos(u64::MAX)
        },
        Event::ReplenishApplied { server: 4, amount },
        Event::InterruptIn { vector: 255 },
        Event::InterruptOut { vector: 32 },
        Event::SystemCall {
            thread: 2,
            number: 9
        },
        Event::Hypercall { number: 3 },
        Event::Exit {
            reason: 14,
            count: 77
        },
        Event::Hash {
            set: 0,
            page: PageNumber(65)
        },
        Event::Ballot { set: 0, epoch: 12 },
        Event::Vote {
            set: 0,
            epoch: 12,
            outcome: VoteOutcome::Minority,
            parties
        },
        Event::RepairStart {
            set: 0,
            differing: 1
        },
        Event::RepairPage {
            set: 0,
            page: PageNumber(65)
        },
        Event::RepairEnd {
            set: 0,
            copied: 1,
            result: RepairResult::MoreRounds
        },
        Event::Scrub {
            set: 0,
            first: PageNumber(8)
        },
        Event::Input {
            set: 0,
            epoch: 12,
            fresh: true
        },
        Event::Fault {
            class: 14,
            detail: 6,
            address: 0xdead_beef_0000
        },
        Event::ClockSync {
            now: Instant::from_nanos(1 << 40)
        },
        Event::Process {
            thread: 1,
            root_frame: 0x1234
        },
        Event::Rejoin { set: 0, epoch: 14 },
        Event::Stop { set: 0, epoch: 15 },
        Event::Checkpoint { set: 1, pages: 16 },
        Event::RollBack { set: 1, pages: 17 },
        Event::Lost { count: 9 },
        Event::Noise {
            device: 1,
            bytes: 290_000,
            errors: LineErrors {
                overruns: 1,
                parity: 2,
                framing: 3,
                breaks: 4,
            },
        },
        Event::NoDevice { device: 1 },
        Event::Wake {
            thread: 3,
            until: None
        },
        Event::Wake {
            thread: 3,
            until: Some(SleepEnd::of(Instant::from_nanos(7)))
        },
        Event::PageGiven {
            set: 0,
            page: PageNumber(65)
        },
        Event::PageConfirmed {
            set: 0,
            page: PageNumber(65)
        },
        Event::Withheld {
            set: 0,
            epoch: 12,
            reason: WithheldReason::Late
        },
        Event::Withheld {
            set: 0,
            epoch: 12,
            reason: WithheldReason::Digest
        },
        Event::Withheld {
            set: 0,
            epoch: 12,
            reason: WithheldReason::NoVerdict
        },
    ]
}

#[test]
fn each_event_is_decoded_as_it_was_encoded() {
    let events = one_of_each();
    let mut records = Vec::new();
    for (tsc, event) in (0..).zip(&events) {
        let (record, wide) = event.encode(tsc);
        assert_eq!(wide.is_some(), record.kind.is_wide(), "{event:?}");
        records.push(record);
        records.extend(wide.map(Record::continuation));
    }
    let decoded: Result<Vec<_>, _> = Events::new(records.into_iter()).collect();
    assert_eq!(decoded.unwrap(), (0..).zip(events).collect::<Vec<_>>());
}

#[test]
fn an_amount_beyond_the_fields_is_recorded_as_the_longest() {
    let event = Event::ReplenishApplied {
        server: 0,
        amount: Duration::MAX,
    };
    let longest = Event::ReplenishApplied {
        server: 0,
        amount: Event::MAX_AMOUNT,
    };
    assert_eq!(Event::decode(event.encode(0).0, None), Ok(longest));
}

/// Sleeps to the nanosecond, from none to just below a turn of the bits.
#[test]
fn the_end_of_a_sleep_is_known_from_the_record_s_own_time() {
    let turn = SleepEnd::TURN.as_nanos();
    for from in [0, 1, 999, turn - 1, turn, 7 * turn + 5, u64::MAX - turn] {
        for sleep in [0, 1, 20_000_000, turn - 1] {
            let (from, until) = (Instant::from_nanos(from), Instant::from_nanos(from + sleep));
            assert_eq!(SleepEnd::of(until).not_before(from), until, "{from:?}");
        }
    }
    let late = Instant::from_nanos(100);
    let again = Instant::from_nanos(99 + turn);
    assert_eq!(
        SleepEnd::of(Instant::from_nanos(99)).not_before(late),
        again
    );
}

#[test]
fn a_continuation_out_of_place_is_an_error_at_its_place() {
    let release = Record::new(1, Kind::Release, 0, 0);
    let vote = Record::new(2, Kind::Vote, 0, 0);
    let records = [
        release,
        Record::continuation(9),
        release,
        vote,
        release,
        vote,
    ];
    let decoded: Vec<_> = Events::new(records.into_iter()).map(Result::err).collect();
    assert_eq!(
        decoded,
        [
            None,
            Some(DecodeError::ContinuationAlone),
            None,
            Some(DecodeError::ContinuationMissing(Kind::Vote)),
            None,
            Some(DecodeError::ContinuationMissing(Kind::Vote)),
        ]
    );
}

#[test]
fn flags_and_objects_without_meaning_are_errors() {
    for (record, wide) in [
        (Record::new(0, Kind::Vote, 0, 0).with_flags(5), Some(0)),
        (Record::new(0, Kind::RepairEnd, 0, 0).with_flags(3), None),
        (Record::new(0, Kind::Input, 0, 0).with_flags(2), None),
        (Record::new(0, Kind::Withheld, 0, 0).with_flags(3), None),
        (Record::new(0, Kind::InterruptIn, 256, 0), None),
        (Record::new(0, Kind::Block, 0, 5), None),
        (Record::new(0, Kind::Block, 0, 0).with_flags(1), None),
    ] {
        assert_eq!(
            Event::decode(record, wide),
            Err(DecodeError::Meaning(record))
        );
    }
}
