//! The parts of the sandbox kernel that need no machine, on the host: which program
//! files it accepts, how it converts time, and its byte queue.
#![allow(
    dead_code,
    reason = "the kernel's modules have more than these tests use"
)]

extern crate alloc;

#[path = "../../kernel/src/drivers/byte_queue.rs"]
mod byte_queue;
#[path = "../../kernel/src/clock.rs"]
mod clock;
#[path = "../../kernel/src/program/file.rs"]
mod program_file;
#[path = "../../kernel/src/sync/mod.rs"]
mod sync;

/// In place of the kernel's page tables: what a segment may be used for.
mod memory {
    pub mod paging {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Access {
            Execute,
            Read,
            Write,
        }
    }
}

use memory::paging::Access;
use program_file::{LoadError, ProgramFile};
use tern_units::{Duration, Instant, TscFrequency};

const EXECUTE: u32 = 1;
const WRITE: u32 = 2;
const READ: u32 = 4;

/// A segment: flags, address, bytes in the file, bytes in memory.
type Segment = (u32, u64, u64, u64);

/// An ELF64 executable with these segments, its entry at `entry`.
fn program(entry: u64, segments: &[Segment]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend([2_u16, 62].map(u16::to_le_bytes).concat()); // executable, x86-64
    file.extend(1_u32.to_le_bytes());
    file.extend([entry, 64, 0].map(u64::to_le_bytes).concat());
    file.extend(0_u32.to_le_bytes());
    let counts = [64, 56, segments.len() as u16, 0, 0, 0];
    file.extend(counts.map(u16::to_le_bytes).concat());
    let mut offset = 64 + 56 * segments.len() as u64;
    for (flags, address, in_file, in_memory) in segments {
        file.extend([1, *flags].map(u32::to_le_bytes).concat());
        let words = [offset, *address, *address, *in_file, *in_memory, 4096];
        file.extend(words.map(u64::to_le_bytes).concat());
        offset += in_file;
    }
    for (number, (_, _, in_file, _)) in (1..).zip(segments) {
        file.extend(std::iter::repeat_n(number, *in_file as usize));
    }
    file
}

const CODE: Segment = (EXECUTE | READ, 0x40_0000, 100, 100);

#[test]
fn a_sound_program_is_mapped_page_by_page_with_one_permission_a_segment() {
    let data = (WRITE | READ, 0x40_2000, 5000, 9000);
    let file = program(0x40_0010, &[CODE, (READ, 0x40_1000, 1, 1), data]);
    let parsed = ProgramFile::parse(&file).unwrap();
    let segments: Vec<_> = parsed.segments().collect();
    let shapes: Vec<_> = segments
        .iter()
        .map(|segment| (segment.address.as_u64(), segment.pages, segment.access))
        .collect();
    assert_eq!(
        shapes,
        [
            (0x40_0000, 1, Access::Execute),
            (0x40_1000, 1, Access::Read),
            (0x40_2000, 3, Access::Write),
        ]
    );
    // The file's 5000 bytes fill one page and 904 bytes of the next; the rest is zero.
    let lengths: Vec<_> = (0..3).map(|page| segments[2].page(page).len()).collect();
    assert_eq!(lengths, [4096, 904, 0]);
    assert!(segments[2].page(1).iter().all(|byte| *byte == 3));
    assert_eq!(parsed.entry().as_u64(), 0x40_0010);
}

#[test]
fn a_program_that_does_not_fit_its_place_is_refused_with_the_address_at_fault() {
    let at = 0x40_0000;
    for (entry, segments, error) in [
        (
            at,
            vec![(EXECUTE, 0x3f_f000, 1, 1)],
            LoadError::SegmentOutside(0x3f_f000),
        ),
        (at, vec![(EXECUTE, 0, 1, 1)], LoadError::SegmentOutside(0)),
        (
            at,
            vec![(EXECUTE, at, 1, 0x2000_0000)],
            LoadError::SegmentOutside(at),
        ),
        (
            at,
            vec![(EXECUTE, at, 1, u64::MAX)],
            LoadError::SegmentOutside(at),
        ),
        (
            at,
            vec![(EXECUTE, at + 8, 1, 1)],
            LoadError::SegmentsOverlap(at + 8),
        ),
        (
            at,
            vec![CODE, (WRITE, at, 1, 1)],
            LoadError::SegmentsOverlap(at),
        ),
        (
            at,
            vec![(EXECUTE, at, 1, 0x1001), (READ, at + 0x1000, 1, 1)],
            LoadError::SegmentsOverlap(at + 0x1000),
        ),
        (
            at + 0x1000,
            vec![(EXECUTE, at + 0x1000, 1, 1), (READ, at, 1, 1)],
            LoadError::SegmentsOverlap(at),
        ),
        (
            at,
            vec![(EXECUTE | WRITE, at, 1, 1)],
            LoadError::WritableCode(at),
        ),
        (at, vec![(READ, at, 1, 1)], LoadError::Entry(at)),
        (at + 100, vec![CODE], LoadError::Entry(at + 100)),
        (at, vec![], LoadError::Entry(at)),
        (at, vec![(EXECUTE, at, 2, 1)], LoadError::NotAProgram),
    ] {
        let file = program(entry, &segments);
        assert_eq!(
            ProgramFile::parse(&file).unwrap_err(),
            error,
            "{segments:x?}"
        );
    }
}

#[test]
fn a_damaged_file_is_refused_and_never_panics() {
    let file = program(0x40_0000, &[CODE, (WRITE, 0x40_1000, 50, 50)]);
    for length in 0..file.len() {
        assert!(
            ProgramFile::parse(&file[..length]).is_err(),
            "{length} bytes"
        );
    }
    let headers = 64 + 2 * 56;
    for byte in 0..headers {
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[byte] ^= 1 << bit;
            if let Ok(parsed) = ProgramFile::parse(&damaged) {
                for segment in parsed.segments() {
                    let last = segment.page(segment.pages.saturating_sub(1));
                    assert!(last.len() <= 4096 && segment.page(u64::from(u32::MAX)).is_empty());
                }
            }
        }
    }
}

#[test]
fn another_kind_of_file_is_refused() {
    let sound = program(0x40_0000, &[CODE]);
    let with = |at: usize, value: u8| {
        let mut file = sound.clone();
        file[at] = value;
        ProgramFile::parse(&file).map(|_| ())
    };
    assert_eq!(
        with(16, 3),
        Err(LoadError::NotAProgram),
        "position independent"
    );
    assert_eq!(
        with(18, 40),
        Err(LoadError::NotAProgram),
        "another processor's"
    );
    assert_eq!(with(4, 1), Err(LoadError::NotAProgram), "32 bits");
    assert_eq!(with(5, 2), Err(LoadError::NotAProgram), "big-endian");
}

#[test]
fn the_clock_converts_as_exactly_as_the_128_bit_division_that_it_replaces() {
    let mut random = 1_u64;
    let mut next = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        random ^ random >> 33
    };
    for hertz in [
        1,
        999,
        999_999_937,
        1_000_000_000,
        2_599_998_765,
        5_000_000_000,
    ] {
        let frequency = TscFrequency::from_hertz(hertz).unwrap();
        for _ in 0..10_000 {
            let epoch = next() >> (next() % 32 + 8);
            let clock = clock::Clock::new(frequency, epoch);
            let ticks = next() >> (next() % 48 + 8);
            let instant = Instant::EPOCH + frequency.to_duration(ticks);
            assert_eq!(
                clock.instant(epoch + ticks),
                instant,
                "{ticks} ticks at {hertz} Hz"
            );
            let nanos = next() >> (next() % 40 + 16);
            let at = clock.ticks(Instant::from_nanos(nanos)).unwrap();
            assert_eq!(at, epoch + frequency.to_ticks(Duration::from_nanos(nanos)));
            assert!(
                clock.instant(at) >= Instant::from_nanos(nanos),
                "a timer fires early"
            );
        }
    }
}

#[test]
fn before_the_epoch_it_is_the_epoch_and_never_is_never() {
    let frequency = TscFrequency::from_hertz(1_000_000_000).unwrap();
    let clock = clock::Clock::new(frequency, 1_000);
    for tsc in [0, 999, 1_000] {
        assert_eq!(clock.instant(tsc), Instant::EPOCH);
    }
    assert_eq!(clock.ticks(Instant::EPOCH), Some(1_000));
    assert_eq!(clock.ticks(Instant::NEVER), None);
}

#[test]
fn a_quotient_that_does_not_fit_is_all_ones() {
    assert_eq!(clock::multiply_divide(u64::MAX, 2, 0, 1), u64::MAX);
    assert_eq!(clock::multiply_divide(u64::MAX, 7, 6, 7), u64::MAX);
    assert_eq!(clock::multiply_divide(10, 3, 9, 10), 3);
}

#[test]
fn the_queue_gives_back_what_it_took_in_order_and_takes_no_more_than_it_holds() {
    let mut queue = byte_queue::ByteQueue::<4>::new();
    for round in 0..10_u8 {
        assert!(queue.is_empty());
        let taken = (0..6).filter(|byte| queue.push(round * 6 + byte)).count();
        assert_eq!(taken, 4);
        for byte in 0..4 {
            assert_eq!(queue.pop(), Some(round * 6 + byte));
        }
        assert_eq!(queue.pop(), None);
    }
}
