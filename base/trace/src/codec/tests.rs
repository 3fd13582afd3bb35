//! Files give back what they were made of; whatever was done to them is noticed.
use super::*;
use crate::file::{Core, InjectedFault, Note, Origin};
use crate::promises::{Platform, Promises, RepairPromise, SandboxPromises};
use crate::{Event, HEADER_WORDS, Mode, Ring, VoteOutcome, VoteParties};
use core::sync::atomic::AtomicU64;
use std::borrow::ToOwned;
use tern_units::{Duration, TscFrequency};

fn ring_words(mode: Mode, pushes: u32) -> Vec<u64> {
    let memory: Vec<_> = (0..HEADER_WORDS + 32).map(|_| AtomicU64::new(0)).collect();
    let mut ring = Ring::format(&memory, mode).unwrap();
    for epoch in 0..pushes {
        ring.push_event(
            1_000 + u64::from(epoch),
            Event::Vote {
                set: 0,
                epoch,
                outcome: VoteOutcome::Unanimous,
                parties: VoteParties::UNANIMOUS,
            },
        );
    }
    memory.into_iter().map(AtomicU64::into_inner).collect()
}

fn promises() -> Promises {
    let micros = Duration::from_micros;
    Promises {
        platform: Some(Platform {
            name: "bochs-intel".to_owned(),
            costs: std::vec![("system_call".to_owned(), micros(1))],
        }),
        sandboxes: std::vec![
            SandboxPromises {
                servers: std::vec![Some(micros(7)), None],
                threads: std::vec![Some(micros(9))],
            },
            SandboxPromises::default(),
        ],
        repairs: std::vec![RepairPromise {
            pages: 8,
            bound: Some(micros(700)),
            bound_for_all: None,
            epochs_apart: 2,
        }],
    }
}

fn trace() -> Trace {
    Trace {
        origin: Origin::Machine,
        tsc: TscFrequency::from_hertz(2_000_000_000).unwrap(),
        epoch_tsc: 1_000,
        build: "tern 0.1.0".to_owned(),
        system: std::vec![1, 2, 3],
        promises: Some(promises()),
        exit_reasons: std::vec!["hypercall".to_owned(), "msr".to_owned()],
        cores: std::vec![
            Core::from_words("alpha", &ring_words(Mode::Stream, 3), &[4, 0]),
            Core::from_words("beta", &ring_words(Mode::Overwrite, 30), &[4, 1]),
            Core::from_words("gamma", &[], &[]),
        ],
        notes: std::vec![
            Note {
                tsc: Some(1_001),
                sandbox: Some(1),
                text: "bit 3 of page 7".to_owned(),
                fault: Some(InjectedFault {
                    class: "heap".to_owned(),
                    thread: 1,
                    epoch: 12,
                    held: Some((1_000, 1_003)),
                }),
            },
            Note {
                tsc: None,
                sandbox: None,
                text: "stopped by the tool".to_owned(),
                fault: None,
            },
        ],
    }
}

#[test]
fn a_file_gives_back_the_trace_it_was_made_of() {
    let trace = trace();
    assert_eq!(Trace::from_bytes(&trace.to_bytes()), Ok(trace));
}

#[test]
fn what_nobody_promised_and_what_was_simulated_comes_back_so() {
    let simulated = Trace {
        origin: Origin::Simulator,
        promises: None,
        ..trace()
    };
    let without_costs = Trace {
        promises: Some(Promises {
            platform: None,
            ..promises()
        }),
        ..trace()
    };
    for trace in [simulated, without_costs] {
        assert_eq!(Trace::from_bytes(&trace.to_bytes()), Ok(trace));
    }
    assert_eq!(
        promises().cost("system_call"),
        Some(Duration::from_micros(1))
    );
    assert_eq!(promises().cost("hypercall"), None);
}

#[test]
fn a_core_keeps_its_losses_and_says_why_it_cannot_be_read() {
    let cores = trace().cores;
    assert_eq!((cores[0].losses(), cores[0].events().count()), (0, 3));
    // 60 records in a ring of 16: all but the last 14 are gone.
    assert_eq!((cores[1].losses(), cores[1].events().count()), (46, 7));
    assert!(cores[1].events().all(|event| event.is_ok()));
    assert_eq!(cores[2].damage, "truncated: 0 words of 128");
}

#[test]
fn time_before_the_epoch_is_negative() {
    assert_eq!(trace().nanos(0), -500);
    assert_eq!(trace().nanos(3_000), 1_000);
}

#[test]
fn every_truncation_is_told_as_one() {
    let bytes = trace().to_bytes();
    for length in 0..bytes.len() {
        match Trace::from_bytes(&bytes[..length]) {
            Err(FileError::NotATrace) => assert!(length < 8),
            Err(FileError::Length { bytes, .. }) => assert_eq!(bytes, length),
            other => panic!("{length} bytes gave {other:?}"),
        }
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    let good = trace().to_bytes();
    for position in 0..good.len() {
        for bit in [0, 7] {
            let mut bytes = good.clone();
            bytes[position] ^= 1 << bit;
            assert!(Trace::from_bytes(&bytes).is_err(), "byte {position}");
        }
    }
}

/// Behind a valid checksum the parts are still not trusted: any 32-bit value
/// anywhere, above all in the lengths, gives an error or a trace, never a panic.
#[test]
fn content_that_was_sealed_again_never_panics() {
    let good = trace().to_bytes();
    let end = good.len() - CHECKSUM_BYTES;
    let mut errors = 0;
    for position in HEADER_BYTES..end - 4 {
        for value in [0, 1, 255, 1 << 20, u32::MAX] {
            let mut bytes = good.clone();
            bytes[position..position + 4].copy_from_slice(&value.to_le_bytes());
            let sum = checksum(&bytes[HEADER_BYTES..end]);
            bytes[end..].copy_from_slice(&sum.to_le_bytes());
            errors += usize::from(Trace::from_bytes(&bytes).is_err());
        }
    }
    assert!(errors > 100);
}

#[test]
fn another_schema_version_is_named() {
    let mut bytes = trace().to_bytes();
    bytes[8] = 9;
    assert_eq!(Trace::from_bytes(&bytes), Err(FileError::Version(9)));
    assert_eq!(Trace::from_bytes(b"ELF"), Err(FileError::NotATrace));
}
