//! A trace that a sound machine, or the simulator, can have written: the only kind that figures
//! are made of.
use tern_trace::{Core, Event, Record, Trace};

use super::Contradiction;
use super::rules::{Across, CoreRules, counters};
use crate::layout::Layout;

/// A trace without contradictions.
///
/// Only [`SoundTrace::of`] makes one, so whatever takes one needs no check of its own: records
/// decode, times do not run backwards, threads act when they have the core, votes have their
/// ballots. Records may be missing, as [`SoundTrace::losses`] says: then it proves nothing.
#[derive(Clone, Debug)]
pub struct SoundTrace<'a> {
    trace: &'a Trace,
    layout: Layout,
    losses: Vec<String>,
}

impl<'a> SoundTrace<'a> {
    /// Holds a trace against the rules.
    ///
    /// # Errors
    /// The first thing in it that no sound machine can have written.
    pub fn of(trace: &'a Trace) -> Result<Self, Contradiction> {
        let layout = Layout::of(trace);
        fits_its_description(trace, &layout)?;
        for core in &trace.cores {
            counters(core).map_err(|reason| Contradiction::of_sandbox(&core.sandbox, reason))?;
        }
        let mut across = Across::new();
        for number in 0..trace.cores.len() {
            records(trace, &layout, number, &mut across)?;
        }
        if let Some(system) = &layout.system {
            across.check(system, &layout)?;
        }
        Ok(Self {
            trace,
            losses: losses(trace),
            layout,
        })
    }

    /// The trace.
    #[must_use]
    pub const fn trace(&self) -> &'a Trace {
        self.trace
    }

    /// What its numbers stand for.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What is missing or damaged: a trace with losses is never a pass. Empty is good.
    #[must_use]
    pub fn losses(&self) -> &[String] {
        &self.losses
    }

    /// The events of a sandbox with their times, in nanoseconds after the epoch.
    pub fn events(&self, core: usize) -> impl Iterator<Item = (i64, Event)> + use<'_, 'a> {
        let core = self.trace.cores.get(core);
        let events = core.into_iter().flat_map(|core| core.events());
        events
            .filter_map(Result::ok)
            .map(|(tsc, event)| (self.trace.nanos(tsc), event))
    }
}

/// Sandboxes, promises and remarks are those of the description that the trace carries.
fn fits_its_description(trace: &Trace, layout: &Layout) -> Result<(), Contradiction> {
    let Some(system) = &layout.system else {
        return match trace.system.is_empty() {
            true => Ok(()),
            false => Err(Contradiction::of_trace(
                "its system description cannot be decoded",
            )),
        };
    };
    if !system.references_hold() {
        let reason = "its system description refers to what is not there";
        return Err(Contradiction::of_trace(reason));
    }
    let described = system.sandboxes.iter().map(|sandbox| &sandbox.name);
    if !described.eq(trace.cores.iter().map(|core| &core.sandbox)) {
        let reason = "its sandboxes are not those of its system description";
        return Err(Contradiction::of_trace(reason));
    }
    if let Some(promises) = &trace.promises {
        let repairs = promises.repairs.len() == system.replica_sets.len();
        let mut cores = promises.sandboxes.iter().zip(&layout.cores);
        let bounds = cores.all(|(promised, core)| {
            promised.servers.len() == core.servers.len()
                && promised.threads.len() == core.threads.len()
        });
        if !bounds || !repairs || promises.sandboxes.len() != layout.cores.len() {
            let reason = "its bounds are those of another system";
            return Err(Contradiction::of_trace(reason));
        }
    }
    let is_there = |note: &tern_trace::Note| {
        let core = note
            .sandbox
            .map(|sandbox| layout.cores.get(usize::from(sandbox)));
        match (core, &note.fault) {
            (_, None) => true,
            (Some(Some(core)), Some(fault)) => usize::from(fault.thread) < core.threads.len(),
            (None | Some(None), Some(_)) => false,
        }
    };
    match trace.notes.iter().all(is_there) {
        true => Ok(()),
        false => Err(Contradiction::of_trace(
            "a fault was injected into a thread that is not there",
        )),
    }
}

/// Holds the records of one sandbox against the rules.
fn records(
    trace: &Trace,
    layout: &Layout,
    number: usize,
    across: &mut Across,
) -> Result<(), Contradiction> {
    let (core, names) = (&trace.cores[number], &layout.cores[number]);
    let mut rules = layout
        .system
        .as_ref()
        .map(|system| CoreRules::new(trace, system, names, number));
    let mut latest = 0;
    let mut record = 0;
    for decoded in core.events() {
        let at = core.records.get(record as usize);
        let at = at.map_or(0, |record| trace.nanos(record.tsc));
        let refuse = |reason: String| Contradiction::of_record(&core.sandbox, record, at, reason);
        let (tsc, event) = decoded.map_err(|error| refuse(error.to_string()))?;
        is_as_written(core, record as usize, event).map_err(refuse)?;
        across.at(number, record, at);
        match &mut rules {
            Some(rules) => rules.record(tsc, event, across).map_err(refuse)?,
            // Without a description nothing is known of threads, servers and sets.
            None if tsc < latest => return Err(refuse("time runs backwards".to_string())),
            None => latest = tsc,
        }
        record += 1 + u64::from(event.encode(0).1.is_some());
    }
    if let Some(rules) = rules {
        rules
            .end(across)
            .map_err(|reason| Contradiction::of_sandbox(&core.sandbox, reason))?;
    }
    Ok(())
}

/// A record and its continuation are what its writer makes of the event: fields that its kind has
/// no use for are zero.
fn is_as_written(core: &Core, place: usize, event: Event) -> Result<(), String> {
    let found = core.records.get(place..).unwrap_or_default();
    let (record, wide) = event.encode(found.first().map_or(0, |record| record.tsc));
    let second = wide.map(Record::continuation);
    match found.first() == Some(&record) && second.is_none_or(|it| found.get(1) == Some(&it)) {
        true => Ok(()),
        false => Err(format!(
            "a {} record with fields that none has",
            record.kind.name()
        )),
    }
}

/// What makes a trace unfit to prove anything: records that are missing, rings that could not
/// be read.
fn losses(trace: &Trace) -> Vec<String> {
    let mut found = Vec::new();
    for core in &trace.cores {
        let mut lose = |reason: String| found.push(format!("sandbox {}: {reason}", core.sandbox));
        if !core.damage.is_empty() {
            lose(format!("trace ring {}", core.damage));
        }
        if core.dropped > 0 {
            lose(format!("{} records dropped", core.dropped));
        }
        if core.overwritten > 0 {
            lose(format!("{} records overwritten", core.overwritten));
        }
    }
    if trace.cores.iter().all(|core| core.records.is_empty()) {
        found.push("there is not one record".to_string());
    }
    found
}
