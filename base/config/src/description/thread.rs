//! One thread of a description: its times, and the one thing it runs.
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec::Vec;

use super::problem::Place;
use super::read::{find, show};
use super::reader::{Keys, Reader};
use crate::system::{Job, Runs, Server, System, Thread, Voting};

/// Reads a thread of `server`. Devices and replica sets of `system` are known already.
///
/// Times that are not written have defaults by what the thread runs:
///
/// | runs | wcet | period | deadline | offset |
/// | --- | --- | --- | --- | --- |
/// | replica | needed | the set's | the set's ballot deadline | 0 |
/// | voter | needed | the set's | from ballot to verdict deadline | the set's ballot deadline |
/// | driver | the server's budget | the server's period | twice its period | 0 |
/// | explicit jobs | the longest job | the shortest distance of two jobs, or the server's period | the period | 0 |
/// | otherwise | needed | needed | the period | 0 |
pub(super) fn thread(
    reader: &mut Reader,
    mut keys: Keys<'_>,
    parent: &Place,
    system: &System,
    server: &Server,
) -> Thread {
    let name = reader.own_name(&mut keys, parent, "thread");
    let runs = runs(reader, &mut keys, system);
    let jobs = jobs(reader, &mut keys);
    let set = match runs {
        Runs::Replica(index) | Runs::Voter(index) => system.replica_sets.get(index as usize),
        _ => None,
    };

    // Where what it runs could not be found, the times that it would give are not missed.
    let due = ["replica", "voter", "driver"];
    let unresolved = runs == Runs::Nothing && due.iter().any(|key| keys.has(key));
    let wcet = match (&runs, jobs.iter().map(|job| job.work).max()) {
        (Runs::Driver(_), _) => reader.span(&mut keys, "wcet").unwrap_or(server.budget),
        (_, Some(longest)) => reader.span(&mut keys, "wcet").unwrap_or(longest),
        _ if unresolved => reader.span(&mut keys, "wcet").unwrap_or(0),
        _ => reader.required_span(&mut keys, "wcet"),
    };
    let written = reader.span(&mut keys, "period");
    let period = match (set, written) {
        (Some(set), Some(period)) if set.period != 0 && period != set.period => {
            let (name, expected) = (&set.name, show(set.period));
            let reason = format!(
                "{} is not the period of replica set \"{name}\", {expected}: leave it out",
                show(period)
            );
            reader.problem(&keys.place, "period", reason);
            set.period
        }
        (_, Some(period)) => period,
        (Some(set), None) => set.period,
        (None, None) if unresolved => 0,
        (None, None) if matches!(runs, Runs::Driver(_)) => server.period,
        (None, None) if !jobs.is_empty() => {
            let distances = jobs.windows(2).map(|pair| pair[1].at - pair[0].at);
            distances
                .filter(|distance| *distance > 0)
                .min()
                .unwrap_or(server.period)
        }
        (None, None) => reader.required_span(&mut keys, "period"),
    };

    let (due_offset, due_deadline) = match (&runs, set) {
        (Runs::Replica(_), Some(set)) => (0, set.ballot_deadline),
        (Runs::Voter(_), Some(set)) => (
            set.ballot_deadline,
            set.verdict_deadline.saturating_sub(set.ballot_deadline),
        ),
        (Runs::Driver(_), _) => (0, period.saturating_mul(2)),
        _ => (0, period),
    };
    let deadline = reader.span(&mut keys, "deadline").unwrap_or(due_deadline);
    let offset = reader.duration(&mut keys, "offset").unwrap_or(due_offset);
    if set.is_some() && due_deadline > 0 {
        if offset != due_offset {
            let reason = format!(
                "{} is not when the set's protocol releases it, {}: leave it out",
                show(offset),
                show(due_offset)
            );
            reader.problem(&keys.place, "offset", reason);
        }
        if deadline > due_deadline {
            let reason = format!(
                "{} is later than the set's protocol allows, {}",
                show(deadline),
                show(due_deadline)
            );
            reader.problem(&keys.place, "deadline", reason);
        }
    }
    // A repair stops where it would touch the next job's budget.
    let voted = set.is_some_and(|set| set.voting != Voting::Unprotected);
    if matches!(runs, Runs::Replica(_)) && voted && server.budget > 0 && wcet >= server.budget {
        let reason = format!(
            "{} leaves nothing of the server's budget, {}, to repair with: raise the budget",
            show(wcet),
            show(server.budget)
        );
        reader.problem(&keys.place, "wcet", reason);
    }
    reader.finish(keys);
    Thread {
        name,
        wcet,
        period,
        deadline,
        offset,
        runs,
        jobs,
    }
}

fn runs(reader: &mut Reader, keys: &mut Keys<'_>, system: &System) -> Runs {
    let sets: Vec<&str> = system
        .replica_sets
        .iter()
        .map(|set| set.name.as_str())
        .collect();
    let devices: Vec<&str> = system
        .devices
        .iter()
        .map(|device| device.name.as_str())
        .collect();
    let mut found = Vec::new();

    let program = reader.name(keys, "program");
    let argument = reader.integer(keys, "argument", 0..=u64::MAX);
    let heap_pages = reader.integer(keys, "heap_pages", 0..=MOST_HEAP_PAGES);
    let stack_pages = reader.integer(keys, "stack_pages", 1..=MOST_STACK_PAGES);
    let simulates = reader
        .string(keys, "simulates")
        .and_then(|name| find(reader, keys, "simulates", name, "device", &devices));
    if let Some(file) = program {
        found.push((
            "program",
            Runs::Program {
                file,
                argument: argument.unwrap_or(0),
                heap_pages: heap_pages.unwrap_or(0) as u32,
                stack_pages: stack_pages.unwrap_or(4) as u32,
                simulates,
            },
        ));
    } else {
        for key in ["argument", "heap_pages", "stack_pages", "simulates"] {
            if keys.has(key) && !keys.has("program") {
                reader.problem(&keys.place, key, "only a thread with a `program` has this");
            }
        }
    }
    if let Some(name) = reader.string(keys, "replica")
        && let Some(index) = find(reader, keys, "replica", name, "replica set", &sets)
    {
        found.push(("replica", Runs::Replica(index)));
    }
    if let Some(name) = reader.string(keys, "voter")
        && let Some(index) = find(reader, keys, "voter", name, "replica set", &sets)
    {
        found.push(("voter", Runs::Voter(index)));
    }
    if let Some(name) = reader.string(keys, "driver")
        && let Some(index) = find(reader, keys, "driver", name, "device", &devices)
    {
        found.push(("driver", Runs::Driver(index)));
    }

    let mut found = found.into_iter();
    let first = found.next();
    if let Some((first, _)) = first {
        for (other, _) in found {
            let reason = format!(
                "the thread runs a {first} already: give one of program, replica, voter, driver"
            );
            reader.problem(&keys.place, other, reason);
        }
    }
    first.map_or(Runs::Nothing, |(_, runs)| runs)
}

/// The most pages of a heap: up to the input page.
pub(super) const MOST_HEAP_PAGES: u64 = (0x5000_0000 - 0x2000_0000) / 4096;
/// The most pages of a stack.
pub(super) const MOST_STACK_PAGES: u64 = 4096;

/// Explicit jobs, in the order of their times.
fn jobs(reader: &mut Reader, keys: &mut Keys<'_>) -> Vec<Job> {
    let mut jobs = Vec::new();
    for mut job in reader.tables(keys, "jobs") {
        let at = reader.duration(&mut job, "at");
        if !job.has("at") {
            reader.problem(&job.place, "at", "missing: add `at = \"…ms\"`".to_owned());
        }
        let work = reader.required_span(&mut job, "work");
        jobs.push(Job {
            at: at.unwrap_or(0),
            work,
        });
        reader.finish(job);
    }
    jobs.sort_by_key(|job| job.at);
    jobs
}
