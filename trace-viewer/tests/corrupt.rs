//! Traces that were well sealed over nonsense: no command may panic on them.
mod common;

use common::{repaired, system, trace_of};
use tern_trace::{Core, Kind, Mode, Note, Record, Trace};
use tern_units::TscFrequency;
use trace_viewer::export::{csv, json_lines};
use trace_viewer::perfetto::perfetto;
use trace_viewer::read::SoundTrace;
use trace_viewer::report::html;
use trace_viewer::story::Story;
use trace_viewer::summary::Summary;
use trace_viewer::verdict::conformance::Conformance;

const ROUNDS: usize = 30;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Small numbers, the ends of the ranges, and anything else.
    fn number(&mut self) -> u64 {
        let any = self.next();
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => u64::MAX - self.below(4),
            3 => i64::MAX as u64 + self.below(3),
            4 => 1 << self.below(64),
            5 | 6 => self.below(5),
            _ => any,
        }
    }

    fn record(&mut self) -> Record {
        Record {
            tsc: self.number(),
            kind: Kind::ALL[self.below(Kind::ALL.len() as u64) as usize],
            flags: self.below(5) as u8,
            object: self.number() as u16,
            argument: self.number() as u32,
        }
    }
}

/// Shows the records as they are, and makes all figures where none contradicts what a machine
/// can write. Returns whether that is so.
fn read_everything(trace: &Trace) -> bool {
    let _ = (csv(trace), json_lines(trace));
    assert_eq!(Trace::from_bytes(&trace.to_bytes()).as_ref(), Ok(trace));
    let sound = match SoundTrace::of(trace) {
        Ok(sound) => sound,
        Err(contradiction) => {
            assert!(!contradiction.to_string().is_empty());
            return false;
        }
    };

    let summary = Summary::from_trace(&sound);
    let _ = summary.to_string();
    let _ = serde_json::to_string(&summary).unwrap();
    let _ = Conformance::of(&sound);
    let _ = (html(&sound), perfetto(&sound));
    for core in 0..trace.cores.len() {
        for (thread, job) in [(0, 0), (1, 3), (u16::MAX, u32::MAX)] {
            let _ = Story::of(&sound, core, thread, job);
        }
    }
    true
}

#[test]
fn single_records_replaced_by_nonsense() {
    let mut random = Random(7);
    for _ in 0..ROUNDS {
        let mut trace = repaired();
        for _ in 0..=random.below(5) {
            let core = random.below(4) as usize;
            let at = random.below(trace.cores[core].records.len() as u64) as usize;
            trace.cores[core].records[at] = random.record();
        }
        assert!(!read_everything(&trace));
        // With losses next to nothing is known, and all of it is shown.
        for core in &mut trace.cores {
            core.overwritten = 1;
        }
        read_everything(&trace);
        trace.system.clear();
        trace.promises = None;
        read_everything(&trace);
    }
}

#[test]
fn nothing_but_nonsense() {
    let mut random = Random(11);
    for _ in 0..ROUNDS {
        let cores = (0..random.below(5)).map(|number| Core {
            sandbox: ["alpha", "beta", "gamma", "arbitrator", ""][number as usize].to_string(),
            mode: if random.below(2) == 0 {
                Mode::Stream
            } else {
                Mode::Overwrite
            },
            dropped: random.number(),
            overwritten: random.number(),
            counters: vec![random.number()],
            exits: (0..random.below(4)).map(|_| random.number()).collect(),
            damage: String::new(),
            records: (0..random.below(60)).map(|_| random.record()).collect(),
        });
        let mut trace = trace_of(cores.collect());
        trace.epoch_tsc = random.number();
        trace.tsc = TscFrequency::from_hertz(random.number()).unwrap_or(trace.tsc);
        trace.notes.push(Note {
            tsc: Some(random.number()),
            sandbox: Some(random.below(6) as u16),
            text: "nonsense".to_string(),
            fault: None,
        });
        read_everything(&trace);
        trace.system.clear();
        trace.promises = None;
        read_everything(&trace);
    }
}

#[test]
fn descriptions_of_nonsense() {
    let mut random = Random(13);
    for _ in 0..ROUNDS {
        let mut system = system();
        for sandbox in &mut system.sandboxes {
            for server in &mut sandbox.servers {
                let mut change = |value: &mut u64| {
                    if random.below(3) == 0 {
                        *value = random.number();
                    }
                };
                change(&mut server.budget);
                change(&mut server.period);
                for thread in &mut server.threads {
                    change(&mut thread.period);
                    change(&mut thread.deadline);
                    change(&mut thread.offset);
                    change(&mut thread.wcet);
                }
                if random.below(9) == 0 {
                    server.priority = random.number() as u32;
                }
            }
        }
        if random.below(4) == 0 {
            system.replica_sets[0].replicas[0].sandbox = random.number() as u32;
        }
        let mut trace = repaired();
        trace.system = postcard::to_allocvec(&system).unwrap();
        read_everything(&trace);
        // Of which records are missing, so that nothing contradicts them.
        let mut lossy = trace.clone();
        for core in &mut lossy.cores {
            core.overwritten = 1;
        }
        read_everything(&lossy);
        let cut = random.below(trace.system.len() as u64) as usize;
        trace.system.truncate(cut);
        read_everything(&trace);
    }
}
