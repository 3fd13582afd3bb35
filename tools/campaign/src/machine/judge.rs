//! A run against what was promised of it: what broke a promise, and what the run met.
use super::met::Met;
use super::promise::Bounds;
use super::run::Ran;
use tern_abi::layout::{DOORBELL_VECTOR, TIMER_VECTOR};
use tern_config::{Runs, Sandbox};
use tern_trace::Event;
use tern_units::Duration;
use trace_viewer::read::SoundTrace;
use trace_viewer::summary::{SandboxSummary, Summary, ThreadSummary};
use trace_viewer::verdict::conformance::Conformance;

/// Judges a run; returns what broke a promise, a line each, and what the run met.
pub(super) fn judge(ran: &Ran, bounds: &Bounds) -> (Vec<String>, Met) {
    let trace = &ran.booted.trace;
    let mut met = Met {
        systems: 1,
        ..Met::default()
    };
    let sound = match SoundTrace::of(trace) {
        Ok(sound) => sound,
        Err(contradiction) => return (vec![contradiction.to_string()], met),
    };
    let summary = Summary::from_trace(&sound);
    let mut broken = against_the_rules(&Conformance::of(&sound));
    for (number, sandbox) in ran.system.sandboxes.iter().enumerate() {
        if let Some(Some(violation)) = ran.booted.violations.get(number) {
            broken.push(format!("{}: stopped, {violation:?}", sandbox.name));
        }
        // A guest that rings doorbells has no servers, and records nothing.
        if !sandbox.servers.is_empty() {
            let summary = &summary.sandboxes[number];
            broken.extend(recorded(sandbox, summary, &bounds[number], &mut met));
            for (_, event) in trace.cores[number].events().filter_map(Result::ok) {
                count(event, &mut met);
            }
        }
    }
    (broken, met)
}

/// Says which rules of servers were not kept.
fn against_the_rules(conformance: &Conformance) -> Vec<String> {
    let servers = conformance.servers.iter();
    let violations = servers.flat_map(|server| {
        let (sandbox, name) = (&server.sandbox, &server.server);
        let violations = server.violations.iter();
        violations.map(move |it| format!("{sandbox}/{name}: {}", it.text))
    });
    violations.collect()
}

/// Judges what a sandbox recorded.
fn recorded(
    sandbox: &Sandbox,
    summary: &SandboxSummary,
    bounds: &[Duration],
    met: &mut Met,
) -> Vec<String> {
    let name = &sandbox.name;
    let mut broken = Vec::new();
    if summary.lost > 0 {
        broken.push(format!("{name}: {} records lost", summary.lost));
    }
    let threads = sandbox.threads().zip(&summary.threads).zip(bounds);
    for (((_, _, described), thread), bound) in threads {
        let place = format!("{name}/{}/{}", thread.server, thread.thread);
        if thread.released == 0 {
            broken.push(format!("{place}: not one job was released"));
        }
        met.jobs += thread.completed;
        // A device that is never silent wakes its driver sooner than the period that the bound
        // rests on: the others are promised something, not the driver.
        if matches!(described.runs, Runs::Driver(_)) {
            continue;
        }
        broken.extend(late(&place, thread, *bound));
        let worst = thread.response.map_or(0, |it| it.max_ns.unsigned_abs());
        let share = worst * 100 / bound.as_nanos().max(1);
        met.near += u64::from(share >= 50);
        met.nearest = met.nearest.max(share);
    }
    broken
}

/// Says what a thread's jobs took beyond what was promised.
fn late(place: &str, thread: &ThreadSummary, bound: Duration) -> Vec<String> {
    let mut broken = Vec::new();
    if let Some(response) = thread.response
        && response.max_ns > bound.as_nanos().cast_signed()
    {
        let took = Duration::from_nanos(response.max_ns.unsigned_abs());
        let job = response.max_job;
        broken.push(format!(
            "{place}: job {job} took {took:?}, its bound is {bound:?}"
        ));
    }
    if thread.misses > 0 {
        let jobs = &thread.missed_jobs;
        broken.push(format!(
            "{place}: {} deadlines missed, jobs {jobs}",
            thread.misses
        ));
    }
    broken
}

/// Counts an event: every interrupt that is neither the timer's nor a doorbell's is a device's.
fn count(event: Event, met: &mut Met) {
    match event {
        Event::InterruptIn {
            vector: TIMER_VECTOR,
        } => {}
        Event::InterruptIn {
            vector: DOORBELL_VECTOR,
        } => met.doorbells += 1,
        Event::InterruptIn { .. } => met.interrupts += 1,
        Event::Exhaust { .. } => met.exhausted += 1,
        _ => {}
    }
}

#[cfg(test)]
mod tests;
