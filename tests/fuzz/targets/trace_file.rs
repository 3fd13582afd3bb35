//! The reader of trace files, and every view of what it reads: nothing panics on a file,
//! sealed or not, or on the memory of a ring.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use tern_config::Description;
use tern_trace::{Core, Kind, Mode, Origin, Record, Trace};
use tern_units::TscFrequency;
use trace_viewer::export::{csv, json_lines};
use trace_viewer::perfetto::perfetto;
use trace_viewer::read::SoundTrace;
use trace_viewer::report::html;
use trace_viewer::story::Story;
use trace_viewer::summary::Summary;
use trace_viewer::verdict::conformance::Conformance;

/// Offsets of a file's parts: see `tern_trace`'s codec.
const LENGTH_AT: usize = 12;
const CONTENT_AT: usize = 20;

fn description() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let text = include_str!("../../../base/config/tests/full.toml");
        let description = Description::parse("full.toml", text).expect("a sound description");
        postcard::to_allocvec(&description.system).expect("a system can be encoded")
    })
}

/// With length and checksum put right.
fn sealed(data: &[u8]) -> Vec<u8> {
    let mut file = trace_of(Vec::new()).to_bytes();
    file.truncate(CONTENT_AT);
    file.extend(data);
    let length = (file.len() + 8) as u64;
    file[LENGTH_AT..CONTENT_AT].copy_from_slice(&length.to_le_bytes());
    let sum = tern_trace::file_checksum(data);
    file.extend(sum.to_le_bytes());
    file
}

fn trace_of(cores: Vec<Core>) -> Trace {
    Trace {
        origin: Origin::Machine,
        promises: None,
        tsc: TscFrequency::from_hertz(1_000_000_000).expect("a rate above zero"),
        epoch_tsc: 1 << 32,
        build: String::new(),
        system: description().to_vec(),
        exit_reasons: Vec::new(),
        cores,
        notes: Vec::new(),
    }
}

/// The rules of what a machine can write, then summary and conformance; of 64 inputs some have
/// another view instead, which takes longer than all else: the input says which.
fn view(trace: &Trace, choice: u8) {
    assert_eq!(Trace::from_bytes(&trace.to_bytes()).as_ref(), Ok(trace));
    if let 1 | 2 = choice {
        let _ = (csv(trace), json_lines(trace));
    }
    let Ok(sound) = SoundTrace::of(trace) else {
        return;
    };
    match choice {
        0 => {
            let _ = html(&sound);
        }
        1 | 2 => {
            let _ = perfetto(&sound);
        }
        3..6 => {
            for core in 0..trace.cores.len() {
                let _ = Story::of(&sound, core, 0, 0);
            }
        }
        _ => {
            let _ = Summary::from_trace(&sound).to_string();
            let _ = Conformance::of(&sound);
        }
    }
}

fn record(bytes: &[u8; 16]) -> Record {
    let (tsc, rest) = bytes.split_at(8);
    let tsc = u64::from_le_bytes(tsc.try_into().expect("eight bytes"));
    Record {
        // Mostly about the epoch, and sometimes anywhere.
        tsc: if rest[0] < 0xf0 {
            (1 << 32) + (tsc >> 36)
        } else {
            tsc
        },
        kind: Kind::ALL[usize::from(rest[0]) % Kind::ALL.len()],
        flags: rest[1],
        object: u16::from_le_bytes([rest[2], rest[3]]),
        argument: u32::from_le_bytes([rest[4], rest[5], rest[6], rest[7]]),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else {
        return;
    };
    match first % 4 {
        0 => {
            let _ = Trace::from_bytes(data);
        }
        1 => {
            if let Ok(trace) = Trace::from_bytes(&sealed(data)) {
                view(&trace, first >> 2);
            }
        }
        2 => {
            let (words, _) = data.as_chunks::<8>();
            let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
            let core = Core::from_words("arbitrator", &words, &[]);
            view(&trace_of(vec![core]), first >> 2);
        }
        _ => {
            let (records, _) = data.as_chunks::<16>();
            let names = ["alpha", "beta", "gamma", "arbitrator"];
            let part = records.len().div_ceil(names.len()).max(1);
            let cores = names
                .iter()
                .zip(records.chunks(part))
                .map(|(name, records)| Core {
                    sandbox: (*name).to_string(),
                    mode: Mode::Stream,
                    dropped: 0,
                    // Where records are missing hardly anything contradicts another.
                    overwritten: u64::from(first >> 7),
                    counters: Vec::new(),
                    exits: Vec::new(),
                    damage: String::new(),
                    records: records.iter().map(record).collect(),
                });
            view(&trace_of(cores.collect()), first >> 2);
        }
    }
});
