//! What charts draw, collected in one pass over each core's records: who ran when,
//! jobs, budgets, and the marks of redundancy.
mod budget;
mod floats;
mod marks;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tern_trace::{Event, Trace, VoteOutcome};

use crate::layout::CoreLayout;
use crate::read::SoundTrace;
use crate::summary::{JobLog, JudgedJob};
use budget::BudgetLog;
use floats::Floats;
use marks::Mark;

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

/// All cores of a trace that ends at `end`.
pub(crate) fn cores(trace: &SoundTrace<'_>, end: i64) -> Vec<CoreTracks> {
    let cores = 0..trace.trace().cores.len();
    cores.map(|number| tracks(trace, number, end)).collect()
}

fn tracks(sound: &SoundTrace<'_>, number: usize, end: i64) -> CoreTracks {
    let (trace, layout) = (sound.trace(), sound.layout());
    let (core, names) = (&trace.cores[number], &layout.cores[number]);
    let mut log = CoreLog::new(names);
    if core.overwritten == 0 {
        log.budgets.iter_mut().for_each(BudgetLog::begin);
    }
    let mut marks = Vec::new();
    let mut lost = Vec::new();
    let mut before = None;
    for (at, event) in sound.events(number) {
        if before.is_none() && core.overwritten > 0 {
            lost.push([at.min(0), at]);
        }
        if let Event::Lost { .. } = event {
            lost.push([before.unwrap_or(at), at]);
        }
        before = Some(at);
        marks.extend(Mark::of(at, event, number, layout));
        log.event(at, event);
    }
    if core.dropped > 0 || !core.damage.is_empty() {
        lost.push([before.unwrap_or(0), end]);
    }
    marks.extend(Mark::from_outside(trace, number));
    marks.sort_by_key(|mark| mark.at);
    log.runs.switch(end, None);
    CoreTracks {
        name: core.sandbox.clone(),
        lost,
        threads: threads(names, log.runs, &log.jobs, end),
        servers: servers(names, log.budgets, end),
        marks,
        votes: Floats(log.votes),
    }
}

/// What one pass over a core's records collects.
struct CoreLog<'a> {
    names: &'a CoreLayout,
    runs: Runs,
    jobs: JobLog,
    budgets: Vec<BudgetLog>,
    votes: Vec<f64>,
}

impl<'a> CoreLog<'a> {
    fn new(names: &'a CoreLayout) -> Self {
        Self {
            names,
            runs: Runs::default(),
            jobs: JobLog::default(),
            budgets: names.servers.iter().map(BudgetLog::new).collect(),
            votes: Vec::new(),
        }
    }

    fn event(&mut self, at: i64, event: Event) {
        self.jobs.event(at, event);
        match event {
            Event::Switch { thread } => {
                self.runs.switch(at, thread);
                let server = thread.and_then(|thread| self.names.server_of(thread));
                for (position, budget) in self.budgets.iter_mut().enumerate() {
                    budget.runs(at, server == Some(position));
                }
            }
            Event::Exhaust { server, .. } => {
                if let Some(budget) = self.budgets.get_mut(usize::from(server)) {
                    budget.exhausted.push(at as f64);
                }
            }
            Event::Vote {
                outcome: VoteOutcome::Unanimous,
                ..
            } => self.votes.push(at as f64),
            _ => {}
        }
        if let Some((server, amount, returns)) = event.posted()
            && let Some(budget) = self.budgets.get_mut(usize::from(server))
        {
            let returns = Trace::within_horizon(returns.as_nanos());
            budget.posted(at, amount.as_nanos(), returns);
        }
    }
}

fn servers(names: &CoreLayout, budgets: Vec<BudgetLog>, end: i64) -> Vec<ServerTrack> {
    let servers = names.servers.iter().zip(budgets);
    servers
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
        .collect()
}

fn threads(names: &CoreLayout, mut runs: Runs, jobs: &JobLog, end: i64) -> Vec<ThreadTrack> {
    let mut judged = jobs.judged(names, end);
    let known = 0..names.threads.len() as u16;
    let all: BTreeSet<u16> = known
        .chain(runs.threads.keys().copied())
        .chain(judged.keys().copied())
        .collect();
    all.into_iter()
        .map(|number| {
            let jobs = judged.remove(&number).unwrap_or_default();
            let known = names.threads.get(usize::from(number));
            ThreadTrack {
                name: names.thread_name(number),
                server: names.server_of(number),
                deadline: known.and_then(|thread| thread.deadline()),
                bound: known.and_then(|thread| thread.bound),
                runs: Floats(runs.threads.remove(&number).unwrap_or_default()),
                jobs: Floats(jobs.into_iter().flat_map(numbers).collect()),
            }
        })
        .collect()
}

/// A job as a [`ThreadTrack`] has it.
fn numbers(job: JudgedJob) -> [f64; 5] {
    let or_nan = |time: Option<i64>| time.map_or(f64::NAN, |time| time as f64);
    [
        f64::from(job.number),
        or_nan(job.release),
        or_nan(job.noticed),
        or_nan(job.completed),
        f64::from(u8::from(job.missed)),
    ]
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
