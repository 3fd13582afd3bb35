//! Mutations: one field of one record of a sound trace is changed, a record is left out, doubled
//! or moved. Each is found, or means what a machine might have written as well: the table of
//! reasons is complete, and its counts are printed and asserted.
mod common;

use std::collections::BTreeMap;

use common::{distributed, healthy, repaired, simulated, sound, voters};
use tern_trace::{Kind, Record, Trace};
use trace_viewer::read::SoundTrace;
use trace_viewer::summary::Summary;
use trace_viewer::verdict::conformance::Conformance;

/// Mutations of each trace in each way.
const EACH: u64 = 400;

/// So many of a sandbox's last records are left as they are.
const END: usize = 40;

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// The record's time, to anywhere between the records beside it, or beyond them.
    Time,
    /// Its thread, server, set, reason or vector.
    Object,
    /// Its job, epoch, page, amount or count.
    Argument,
    /// Its flags.
    Flags,
    /// Its continuation.
    Wide,
    /// What kind it is.
    Kind,
    /// It is left out.
    Drop,
    /// It is there twice.
    Double,
    /// It changes places with the next, which keeps its time.
    Swap,
}

const WAYS: [Way; 9] = [
    Way::Time,
    Way::Object,
    Way::Argument,
    Way::Flags,
    Way::Wide,
    Way::Kind,
    Way::Drop,
    Way::Double,
    Way::Swap,
];

/// What the tools make of a mutated trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Status 3.
    Impossible,
    /// Status 4.
    Nonconforming,
    /// Status 1.
    Late,
    /// Nothing.
    Nothing,
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}

/// A trace with one change, whose counters were made to fit; `None` if nothing would change.
fn mutated(good: &Trace, way: Way, random: &mut Random) -> Option<(Trace, Kind)> {
    let mut trace = good.clone();
    let core = random.below(trace.cores.len() as u64) as usize;
    let records = &mut trace.cores[core].records;
    let heads: Vec<usize> = (0..records.len())
        .filter(|&at| records[at].kind != Kind::Continuation)
        .collect();
    // A machine may be stopped anywhere: what is missing at the very end was not written yet.
    let head = random.below(heads.len().saturating_sub(END) as u64) as usize;
    let at = heads[head];
    let (record, kind) = (records[at], records[at].kind);
    let length = 1 + usize::from(kind.is_wide());
    match way {
        Way::Time => {
            // From the record before to the one after, or a millisecond beyond either.
            let before = head
                .checked_sub(1)
                .map_or(record.tsc, |it| records[heads[it]].tsc);
            let after = heads
                .get(head + 1)
                .map_or(record.tsc, |it| records[*it].tsc);
            let from = before.saturating_sub(1_000_000);
            records[at].tsc = from + random.below(after + 1_000_000 - from);
        }
        Way::Object => records[at].object = record.object.wrapping_add(1 + random.below(3) as u16),
        Way::Argument => {
            records[at].argument = record.argument.wrapping_add(1 + random.below(1_000) as u32);
        }
        Way::Flags => records[at].flags = record.flags.wrapping_add(1 + random.below(3) as u8),
        Way::Wide => {
            let wide = records.get_mut(at + 1).filter(|_| kind.is_wide())?;
            wide.tsc = wide.tsc.wrapping_add(1 + random.below(1_000));
        }
        Way::Kind => {
            let others = Kind::ALL.iter().filter(|it| {
                it.is_wide() == kind.is_wide() && **it != kind && **it != Kind::Continuation
            });
            let others: Vec<_> = others.collect();
            records[at].kind = *others[random.below(others.len() as u64) as usize];
        }
        Way::Drop => drop(records.drain(at..at + length)),
        Way::Double => {
            let again: Vec<Record> = records[at..at + length].to_vec();
            records.splice(at..at, again);
        }
        Way::Swap => {
            let next = *heads.get(head + 1)?;
            let rest = 1 + usize::from(records[next].kind.is_wide());
            let (first, second) = (record.tsc, records[next].tsc);
            let mut both = records[next..next + rest].to_vec();
            both[0].tsc = first;
            let mut own = records[at..at + length].to_vec();
            own[0].tsc = second;
            both.extend(own);
            records.splice(at..next + rest, both);
        }
    }
    let mut counters = vec![0; Kind::COUNTERS];
    for record in records.iter() {
        counters[record.kind as usize] += 1;
    }
    trace.cores[core].counters = counters;
    (trace.cores != good.cores).then_some((trace, kind))
}

fn found(trace: &Trace) -> Found {
    let Ok(sound) = SoundTrace::of(trace) else {
        return Found::Impossible;
    };
    if Conformance::of(&sound).violations() > 0 {
        return Found::Nonconforming;
    }
    match Summary::from_trace(&sound).status() as u8 {
        0 => Found::Nothing,
        _ => Found::Late,
    }
}

/// Why a trace that was changed so is one that a machine might have written, in which `several`
/// vote or one.
fn reason(kind: Kind, way: Way, several: bool) -> Option<&'static str> {
    Some(match (kind, way) {
        (Kind::Input, Way::Drop) if several => "which of several voters has the device is not told",
        (Kind::Vote, Way::Flags | Way::Wide) if several => return None,
        (Kind::Hash | Kind::Scrub | Kind::RepairPage, Way::Argument) => {
            "which pages a job writes, and differ, is the program's affair"
        }
        (Kind::RepairStart, Way::Argument) => "how many pages differ is known to the voter alone",
        (Kind::Process, Way::Argument) => "page tables lie anywhere in the sandbox's memory",
        (Kind::Hash | Kind::Scrub, Way::Drop | Way::Double) => {
            "a job may write any number of pages"
        }
        (Kind::Exit, Way::Argument | Way::Drop | Way::Object) => {
            "when the kernel reads the hypervisor's counts is its own affair"
        }
        (Kind::Ballot, Way::Drop) => "a replica outside the majority need not have cast one",
        (Kind::Input, Way::Flags) => "a device may be late or in time",
        (Kind::RepairEnd, Way::Flags) => "a round may end in any way, whatever its pages",
        (Kind::Rejoin, Way::Drop) => "a replica may be outside for longer",
        (Kind::Block, Way::Argument | Way::Flags) => "a replica may sleep until any instant",
        (Kind::Vote, Way::Flags) => "of a majority's vote it may be time or ballots that differed",
        (Kind::Vote, Way::Wide) => "which replica is outside the majority, or repairs another",
        (Kind::Miss, Way::Drop) => "whether a job was late is judged by its times",
        (Kind::ReplenishApplied, Way::Drop) => {
            "a thread's waking may find the budget back before the timer does"
        }
        // A response changes within what the records around it leave possible.
        (
            Kind::Process
            | Kind::Exit
            | Kind::Complete
            | Kind::Miss
            | Kind::Hash
            | Kind::Scrub
            | Kind::Ballot
            | Kind::Vote
            | Kind::Input
            | Kind::RepairStart
            | Kind::RepairPage
            | Kind::RepairEnd
            | Kind::Rejoin
            | Kind::Block
            | Kind::Release,
            Way::Time | Way::Swap,
        ) => "what a thread does, it may do at any time that it has the core",
        // The two are written at one instant, in an order that no rule of theirs depends on.
        (
            Kind::ReplenishPosted | Kind::Exhaust | Kind::ReplenishApplied | Kind::Switch,
            Way::Swap,
        ) => "of records of one decision, for different servers, either may stand first",
        (_, Way::Kind) => "a record may be one of another thing that the thread may do then",
        _ => return None,
    })
}

#[test]
fn every_mutation_is_found_or_means_what_a_machine_might_have_written() {
    let system = r#"
        [system]
        name = "mutated"
        [[sandbox]]
        name = "alpha"
        core = 0
          [[sandbox.server]]
          name = "upper"
          budget = "2ms"
          period = "10ms"
            [[sandbox.server.thread]]
            name = "quick"
            wcet = "1ms"
            period = "20ms"
            [[sandbox.server.thread]]
            name = "slow"
            wcet = "3ms"
            period = "40ms"
            offset = "7ms"
          [[sandbox.server]]
          name = "lower"
          budget = "9ms"
          period = "30ms"
    "#;
    let mut random = Random(0x7E12);
    let mut counts: BTreeMap<(bool, Kind, Way), [u32; 4]> = BTreeMap::new();
    let mut ways: BTreeMap<Way, [u32; 2]> = BTreeMap::new();
    let mut total = 0;
    let several = distributed(voters().map(|voter| voter.records(10)));
    let goods = [
        (healthy(), false),
        (repaired(), false),
        (simulated(system, 400), false),
        (several, true),
    ];
    for (good, several) in goods {
        assert_eq!(found(&good), Found::Nothing);
        drop(sound(&good));
        for way in WAYS {
            for _ in 0..EACH {
                let Some((trace, kind)) = mutated(&good, way, &mut random) else {
                    continue;
                };
                let found = found(&trace);
                counts.entry((several, kind, way)).or_default()[found as usize] += 1;
                let [all, seen] = ways.entry(way).or_default();
                *all += 1;
                *seen += u32::from(found != Found::Nothing);
                total += 1;
            }
        }
    }

    let mut unexplained = Vec::new();
    for ((several, kind, way), [impossible, nonconforming, late, nothing]) in &counts {
        let why = match nothing {
            0 => "",
            _ => reason(*kind, *way, *several).unwrap_or_else(|| {
                unexplained.push((*kind, *way, *nothing));
                "UNEXPLAINED"
            }),
        };
        let voters = match several {
            true => "of several voters",
            false => "of one",
        };
        println!(
            "{:17} {way:?}, {voters}: {impossible} impossible, {nonconforming} nonconforming, {late} late, \
             {nothing} passed {why}",
            kind.name()
        );
    }
    println!("{total} mutations; of each way all and found: {ways:?}");
    assert!(unexplained.is_empty(), "{unexplained:?}");
    assert!(total >= 5_000, "{total}");
    for (way, [all, seen]) in ways {
        // Of what is found: all but what the table above gives a reason for.
        let least = match way {
            Way::Object | Way::Double => 97,
            Way::Argument | Way::Drop | Way::Kind | Way::Flags | Way::Wide => 94,
            Way::Time => 85,
            Way::Swap => 50,
        };
        assert!(
            seen * 100 >= all * least,
            "{way:?}: {seen} of {all} are found"
        );
    }
}
