//! What charts draw, collected in one pass over each core's records: who ran when,
//! jobs, budgets, and the marks of redundancy.
mod budget;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tern_trace::{Core, Event, Trace, VoteOutcome};

use crate::describe::describe;
use crate::layout::{CoreLayout, Layout};
use crate::summary::{JobLog, is_stale};
use budget::BudgetLog;

/// One core.
#[derive(Serialize)]
pub(crate) struct CoreTracks {
    pub(crate) name: String,
    /// Where records are missing: from, to.
    pub(crate) lost: Vec<[i64; 2]>,
    pub(crate) threads: Vec<ThreadTrack>,
    pub(crate) servers: Vec<ServerTrack>,
    pub(crate) marks: Vec<Mark>,
    /// When a unanimous vote was decided.
    pub(crate) votes: Floats,
}

#[derive(Serialize)]
pub(crate) struct ThreadTrack {
    pub(crate) name: String,
    pub(crate) server: Option<usize>,
    pub(crate) deadline: Option<u64>,
    pub(crate) bound: Option<u64>,
    /// From, to; from, to; …
    pub(crate) runs: Floats,
    /// Five a job: number, release, noticed, complete, whether missed. NaN for unknown.
    pub(crate) jobs: Floats,
}

#[derive(Serialize)]
pub(crate) struct ServerTrack {
    pub(crate) name: String,
    pub(crate) budget: u64,
    pub(crate) period: u64,
    /// Time, level; time, level; … with straight lines between.
    pub(crate) level: Floats,
    /// When the budget was exhausted.
    pub(crate) exhausted: Floats,
}

/// Something worth a mark of its own.
#[derive(Serialize)]
pub(crate) struct Mark {
    pub(crate) at: i64,
    pub(crate) kind: &'static str,
    pub(crate) text: String,
}

/// Numbers as base64 of little-endian doubles: exact up to 2^53, half the size of
/// decimal digits.
pub(crate) struct Floats(pub(crate) Vec<f64>);

impl Serialize for Floats {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bytes: Vec<u8> = self
            .0
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        let mut text = String::with_capacity(bytes.len() * 4 / 3 + 4);
        for chunk in bytes.chunks(3) {
            let byte = |position: usize| u32::from(chunk.get(position).copied().unwrap_or(0));
            let group = byte(0) << 16 | byte(1) << 8 | byte(2);
            for digit in 0..4 {
                text.push(match digit <= chunk.len() {
                    true => DIGITS[(group >> (18 - 6 * digit)) as usize & 63].into(),
                    false => '=',
                });
            }
        }
        serializer.serialize_str(&text)
    }
}

/// All cores of a trace that ends at `end`.
pub(crate) fn cores(trace: &Trace, end: i64) -> Vec<CoreTracks> {
    let layout = Layout::of(trace);
    let cores = trace.cores.iter().enumerate();
    cores
        .map(|(number, core)| tracks(trace, &layout, number, core, end))
        .collect()
}

fn tracks(trace: &Trace, layout: &Layout, number: usize, core: &Core, end: i64) -> CoreTracks {
    let names = &layout.cores[number];
    let mut runs = Runs::default();
    let mut jobs = JobLog::default();
    let mut budgets: Vec<_> = names.servers.iter().map(BudgetLog::new).collect();
    let mut marks = Vec::new();
    let mut votes = Vec::new();
    let mut lost = Vec::new();
    let mut before = None;
    for (tsc, event) in core.events().filter_map(Result::ok) {
        let at = trace.nanos(tsc);
        if before.is_none() && core.overwritten > 0 {
            lost.push([at.min(0), at]);
        }
        match event {
            Event::Switch { thread } => {
                runs.switch(at, thread);
                let server = thread.and_then(|thread| names.server_of(thread));
                for (position, budget) in budgets.iter_mut().enumerate() {
                    budget.runs(at, server == Some(position));
                }
            }
            Event::Exhaust { server, .. } => {
                if let Some(budget) = budgets.get_mut(usize::from(server)) {
                    budget.exhausted.push(at as f64);
                }
            }
            Event::Vote {
                outcome: VoteOutcome::Unanimous,
                ..
            } => votes.push(at as f64),
            Event::Lost { .. } => lost.push([before.unwrap_or(at), at]),
            _ => {}
        }
        if let Some((server, amount, returns)) = event.posted()
            && let Some(budget) = budgets.get_mut(usize::from(server))
        {
            let returns = Trace::within_horizon(returns.as_nanos());
            budget.posted(at, amount.as_nanos(), returns);
        }
        if let Some(kind) = marked(event) {
            marks.push(Mark {
                at,
                kind,
                text: describe(event, number, layout, ""),
            });
        }
        jobs.event(at, event);
        before = Some(at);
    }
    if core.dropped > 0 || !core.damage.is_empty() {
        lost.push([before.unwrap_or(0), end]);
    }
    let notes = trace
        .notes
        .iter()
        .filter(|note| note.sandbox.map(usize::from) == Some(number));
    marks.extend(notes.filter_map(|note| {
        let at = trace.nanos(note.tsc?);
        Some(Mark {
            at,
            kind: "note",
            text: note.text.clone(),
        })
    }));
    marks.sort_by_key(|mark| mark.at);
    runs.switch(end, None);
    CoreTracks {
        name: core.sandbox.clone(),
        lost,
        threads: threads(names, runs, &jobs, end),
        servers: names
            .servers
            .iter()
            .zip(budgets)
            .map(|(server, budget)| {
                let (level, exhausted) = budget.finish(end);
                ServerTrack {
                    name: server.name.clone(),
                    budget: server.budget,
                    period: server.period,
                    level: Floats(level),
                    exhausted: Floats(exhausted),
                }
            })
            .collect(),
        marks,
        votes: Floats(votes),
    }
}

/// The name under which an event gets a mark of its own, if it does.
const fn marked(event: Event) -> Option<&'static str> {
    Some(match event {
        Event::Vote {
            outcome: VoteOutcome::Minority,
            ..
        } => "vote: minority",
        Event::Vote {
            outcome: VoteOutcome::Timeout,
            ..
        } => "vote: timeout",
        Event::Vote {
            outcome: VoteOutcome::NoMajority,
            ..
        } => "vote: no majority",
        Event::RepairStart { .. } => "repair starts",
        Event::RepairPage { .. } => "page repaired",
        Event::RepairEnd { .. } => "repair ends",
        Event::Rejoin { .. } => "rejoins",
        Event::Fault { .. } => "fault",
        Event::Stop { .. } => "safe stop",
        Event::Input { epoch, fresh, .. } if is_stale(epoch, fresh) => "stale input",
        _ => return None,
    })
}

fn threads(names: &CoreLayout, mut runs: Runs, jobs: &JobLog, end: i64) -> Vec<ThreadTrack> {
    let mut judged = jobs.judged(names, end);
    let known = 0..names.threads.len() as u16;
    let numbers: BTreeSet<u16> = known
        .chain(runs.threads.keys().copied())
        .chain(judged.keys().copied())
        .collect();
    numbers
        .into_iter()
        .map(|number| {
            let or_nan = |time: Option<i64>| time.map_or(f64::NAN, |time| time as f64);
            let jobs = judged.remove(&number).unwrap_or_default();
            let known = names.threads.get(usize::from(number));
            ThreadTrack {
                name: names.thread_name(number),
                server: names.server_of(number),
                deadline: known.and_then(|thread| thread.deadline()),
                bound: known.and_then(|thread| thread.bound),
                runs: Floats(runs.threads.remove(&number).unwrap_or_default()),
                jobs: Floats(
                    jobs.into_iter()
                        .flat_map(|job| {
                            [
                                f64::from(job.number),
                                or_nan(job.release),
                                or_nan(job.noticed),
                                or_nan(job.completed),
                                f64::from(u8::from(job.missed)),
                            ]
                        })
                        .collect(),
                ),
            }
        })
        .collect()
}

/// When each thread had the core.
#[derive(Default)]
struct Runs {
    threads: BTreeMap<u16, Vec<f64>>,
    running: Option<(u16, i64)>,
}

impl Runs {
    fn switch(&mut self, at: i64, next: Option<u16>) {
        if self.running.map(|(thread, _)| thread) == next {
            return;
        }
        if let Some((thread, since)) = self.running.take() {
            let runs = self.threads.entry(thread).or_default();
            runs.extend([since as f64, at.max(since) as f64]);
        }
        self.running = next.map(|thread| (thread, at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_base64_of_their_bytes() {
        let text = |numbers: &[f64]| serde_json::to_string(&Floats(numbers.to_vec())).unwrap();
        assert_eq!(text(&[]), "\"\"");
        // 1.0 is 00 00 00 00 00 00 F0 3F.
        assert_eq!(text(&[1.0]), "\"AAAAAAAA8D8=\"");
        assert_eq!(
            text(&[1.0, 1.0, 1.0]),
            "\"AAAAAAAA8D8AAAAAAADwPwAAAAAAAPA/\""
        );
    }
}
