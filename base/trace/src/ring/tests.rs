//! What a ring keeps, drops and counts; and that a reader beside the writer sees no
//! half-written record.
use super::*;
use crate::Dump;
use std::vec::Vec;

fn memory(capacity: usize) -> Vec<AtomicU64> {
    (0..HEADER_WORDS + capacity * Record::WORDS)
        .map(|_| AtomicU64::new(0xA5))
        .collect()
}

fn copy(words: &[AtomicU64]) -> Vec<u64> {
    words
        .iter()
        .map(|word| word.load(Ordering::Relaxed))
        .collect()
}

fn job(tsc: u64) -> Record {
    Record::new(tsc, Kind::Release, 1, tsc as u32)
}

fn times(dump: &Dump) -> Vec<u64> {
    dump.records().map(|record| record.unwrap().tsc).collect()
}

#[test]
fn the_capacity_is_the_largest_power_of_two_that_fits() {
    for (words, capacity) in [
        (0, 0),
        (128, 0),
        (135, 0),
        (136, 4),
        (143, 4),
        (144, 8),
        (4096, 1024),
    ] {
        assert_eq!(Ring::capacity_of(words), capacity, "{words} words");
    }
    assert_eq!(
        Ring::format(&memory(3), Mode::Stream).err(),
        Some(RingError::TooSmall)
    );
}

#[test]
fn a_ring_opens_where_it_was_left_and_only_if_it_was_formatted() {
    let words = memory(8);
    assert_eq!(Ring::open(&words).err(), Some(RingError::NotFormatted));
    Ring::format(&words, Mode::Overwrite).unwrap().push(job(1));
    let mut ring = Ring::open(&words).unwrap();
    ring.push(job(2));
    assert_eq!(ring.written(), 2);
    assert!(ring.overwrite);
    assert_eq!(times(&Dump::of(&copy(&words)).unwrap()), [1, 2]);
}

#[test]
fn a_full_stream_drops_the_new_and_counts_each() {
    let words = memory(8);
    let mut ring = Ring::format(&words, Mode::Stream).unwrap();
    for tsc in 1..=11 {
        ring.push(job(tsc));
    }
    let words = copy(&words);
    let dump = Dump::of(&words).unwrap();
    assert_eq!(times(&dump), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(
        (dump.written(), dump.dropped(), dump.overwritten()),
        (8, 3, 0)
    );
    assert_eq!(dump.counters().next(), Some((Kind::Release, 11)));
}

#[test]
fn a_stream_that_is_read_again_says_where_records_are_missing() {
    let words = memory(4);
    let mut ring = Ring::format(&words, Mode::Stream).unwrap();
    for tsc in 1..=7 {
        ring.push(job(tsc));
    }
    ring.release_up_to(3);
    ring.push(job(8));
    let words = copy(&words);
    let dump = Dump::of(&words).unwrap();
    let records: Vec<_> = dump.records().map(Result::unwrap).collect();
    assert_eq!(records, [job(4), Record::new(8, Kind::Lost, 0, 3), job(8)]);
    assert_eq!(dump.dropped(), 3);
}

#[test]
fn a_pair_that_does_not_fit_is_dropped_whole() {
    let words = memory(4);
    let mut ring = Ring::format(&words, Mode::Stream).unwrap();
    for tsc in 1..=3 {
        ring.push(job(tsc));
    }
    ring.push_wide(Record::new(4, Kind::Vote, 0, 0), 99);
    assert_eq!((ring.written(), ring.lost()), (3, 2));
    assert!(Dump::of(&copy(&words)).is_ok());
}

#[test]
fn a_flight_recorder_keeps_the_newest_but_for_two_slots_that_may_be_half_written() {
    let words = memory(8);
    let mut ring = Ring::format(&words, Mode::Overwrite).unwrap();
    for tsc in 1..=21 {
        ring.push(job(tsc));
    }
    let words = copy(&words);
    let dump = Dump::of(&words).unwrap();
    assert_eq!(times(&dump), [16, 17, 18, 19, 20, 21]);
    assert_eq!(
        (dump.written(), dump.dropped(), dump.overwritten()),
        (21, 0, 15)
    );
}

/// For every length of a history of pairs: what is read back is a suffix of what
/// was written, in order, and no lone continuation is taken for an event.
#[test]
fn after_any_number_of_pushes_the_ring_holds_a_suffix_of_the_history() {
    for mode in [Mode::Stream, Mode::Overwrite] {
        for length in 0..40u64 {
            let words = memory(8);
            let mut ring = Ring::format(&words, mode).unwrap();
            let history: Vec<_> = (0..length)
                .map(|tsc| match tsc % 3 {
                    0 => Event::Fault {
                        class: 0,
                        detail: 0,
                        address: tsc,
                    },
                    _ => Event::Release {
                        thread: 0,
                        job: tsc as u32,
                    },
                })
                .collect();
            for (tsc, &event) in (0..).zip(&history) {
                ring.push_event(tsc, event);
            }
            let words = copy(&words);
            let dump = Dump::of(&words).unwrap();
            let read: Vec<_> = dump.events().unwrap().map(Result::unwrap).collect();
            match (mode, read.first()) {
                (_, None) => assert_eq!(length, 0),
                (Mode::Stream, Some(_)) => assert!(
                    read.iter()
                        .all(|&(tsc, event)| history[tsc as usize] == event)
                ),
                (Mode::Overwrite, Some(&(first, _))) => {
                    let kept: Vec<_> = (0..).zip(history).skip(first as usize).collect();
                    assert_eq!(read, kept, "after {length} events");
                }
            }
            let pushed: u64 = dump.counters().map(|(_, count)| count).sum();
            assert_eq!(pushed, dump.written() + dump.dropped());
        }
    }
}

/// The writer runs as fast as it can over a small ring; each record repeats its
/// number in both words, so a mixture of two records would show.
#[test]
fn a_reader_beside_the_writer_never_takes_a_torn_record_for_a_whole_one() {
    use std::sync::atomic::AtomicBool;
    let words = memory(64);
    let mut ring = Ring::format(&words, Mode::Overwrite).unwrap();
    let stop = AtomicBool::new(false);
    /// Stops the writer also when an assertion fails.
    struct Stopper<'a>(&'a AtomicBool);
    impl Drop for Stopper<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let mut seen = 0u64;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0u64.. {
                ring.push(Record {
                    tsc: number,
                    kind: Kind::Release,
                    flags: number as u8,
                    object: number as u16,
                    argument: number as u32,
                });
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let _stopper = Stopper(&stop);
        let mut copy = std::vec![0; words.len()];
        for _ in 0..20_000 {
            let dump = Dump::of_live(&words, &mut copy).unwrap();
            let mut before = None;
            for record in dump.records() {
                let record = record.unwrap();
                assert_eq!(record.argument, record.tsc as u32);
                assert_eq!(record.object, record.tsc as u16);
                assert_eq!(record.flags, record.tsc as u8);
                assert!(before.is_none_or(|before| before + 1 == record.tsc));
                before = Some(record.tsc);
                seen += 1;
            }
            if seen == 0 {
                std::thread::yield_now();
            }
        }
        while seen == 0 {
            let dump = Dump::of_live(&words, &mut copy).unwrap();
            seen += dump.records().count() as u64;
            std::thread::yield_now();
        }
    });
}
