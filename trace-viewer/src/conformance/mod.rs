//! Conformance: a trace replayed against the rules of sporadic and I/O servers.
//!
//! The replay keeps, for each server, the budget that its recorded replenishments imply,
//! with the earliest time from which it may be used. It is more permissive than any
//! correct server: it never delays budget to save space. So whatever it objects to is a
//! fault of the server (or of the trace), and these are the objections (rules as numbered
//! in docs/sched.md):
//!
//! * **premature** (rules 3 and 4): budget of a sporadic server returns before the
//!   activation time of the chunk that it was taken from, plus the period; that of an I/O
//!   server before the time from which it could be used, plus what was used by U. Budget
//!   is not active before its own time, nor before the server last had nothing to run,
//!   nor (where its one thread slept until a release) before that release.
//! * **amplified** (rule 1): one replenishment of a sporadic server gives back more than
//!   the whole budget.
//! * **without budget** (rule 7): a thread is given the core while no budget is active.
//! * **uncharged** (rule 3): threads ran longer than what was charged to their server.
//!
//! An overrun (a timer that fires late) is no fault: it is charged to later chunks, and
//! moves the one replenishment of an I/O server by as much more. Its largest size is
//! reported.
use serde::Serialize;
use tern_trace::{Event, Trace};

use crate::layout::{CoreLayout, Layout};

mod budget;
mod server;

use server::ServerReplay;

/// What the replay found, one entry for each server of each sandbox.
#[derive(Clone, Debug, Serialize)]
pub struct Conformance {
    /// The servers.
    pub servers: Vec<ServerConformance>,
}

/// One server. Times are nanoseconds.
#[derive(Clone, Debug, Serialize)]
pub struct ServerConformance {
    /// Its sandbox.
    pub sandbox: String,
    /// Its name.
    pub server: String,
    /// Whether it was replayed: not if the description gives it no budget or period.
    pub checked: bool,
    /// Replenishments replayed.
    pub replenishments: u64,
    /// Their sum: what was charged.
    pub charged_ns: u64,
    /// How long its threads ran.
    pub ran_ns: u64,
    /// The most that was used ahead of its time by an overrun.
    pub overrun_ns: u64,
    /// What it did against the rules.
    pub violations: Vec<Violation>,
}

/// A rule that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// When.
    pub at_ns: i64,
    /// `premature`, `amplified`, `without-budget` or `uncharged`.
    pub rule: &'static str,
    /// In words, with the numbers.
    pub text: String,
}

impl Conformance {
    /// Replays a trace without losses.
    #[must_use]
    pub fn of(trace: &Trace) -> Self {
        let layout = Layout::of(trace);
        let mut servers = Vec::new();
        for (core, layout) in trace.cores.iter().zip(&layout.cores) {
            let mut replay = CoreReplay::new(layout);
            let mut end = 0;
            for (tsc, event) in core.events().filter_map(Result::ok) {
                end = trace.nanos(tsc);
                replay.event(end, event, layout);
            }
            servers.extend(replay.finish(end, layout));
        }
        Self { servers }
    }

    /// Violations over all servers.
    #[must_use]
    pub fn violations(&self) -> usize {
        self.servers
            .iter()
            .map(|server| server.violations.len())
            .sum()
    }
}

struct CoreReplay {
    servers: Vec<ServerReplay>,
    /// For each thread, whether it may want the core.
    runnable: Vec<bool>,
    /// The server that has the core, and since when.
    running: Option<(usize, i64)>,
}

impl CoreReplay {
    fn new(layout: &CoreLayout) -> Self {
        Self {
            servers: layout.servers.iter().map(ServerReplay::new).collect(),
            runnable: vec![false; layout.threads.len()],
            running: None,
        }
    }

    fn event(&mut self, at: i64, event: Event, layout: &CoreLayout) {
        match event {
            Event::Switch { thread } => self.switch(at, thread, layout),
            Event::Release { thread, job } => {
                self.released(at, thread, job, layout);
                self.set_runnable(thread, true);
            }
            Event::Block { thread } => {
                self.set_runnable(thread, false);
                if let Some(server) = layout.server_of(thread) {
                    let mut threads = layout.threads.iter().zip(&self.runnable);
                    let none = threads.all(|(t, &runnable)| t.server != server || !runnable);
                    self.servers[server].idle_since = none.then_some(at);
                }
            }
            Event::Exhaust { server, .. } => {
                if let Some(server) = self.servers.get_mut(usize::from(server)) {
                    server.idle_since = None;
                }
            }
            _ => {}
        }
        if let Some((server, amount, returns)) = event.posted()
            && let Some(server) = self.servers.get_mut(usize::from(server))
        {
            let returns = Trace::within_horizon(returns.as_nanos());
            server.posted(at, amount.as_nanos().cast_signed(), returns);
        }
    }

    /// Its server has work. The only thread of one that slept wakes at its job's nominal
    /// release.
    fn released(&mut self, at: i64, number: u16, job: u32, layout: &CoreLayout) {
        let Some(thread) = layout.threads.get(usize::from(number)) else {
            return;
        };
        let alone = layout
            .threads
            .iter()
            .filter(|t| t.server == thread.server)
            .count()
            == 1;
        let nominal = thread.nominal().map(|nominal| nominal.release(job));
        let nominal = nominal.filter(|&nominal| nominal <= at);
        let server = &mut self.servers[thread.server];
        if let Some(nominal) = nominal
            && alone
            && server.slept
        {
            server.not_active_before(nominal);
        }
        server.has_work();
    }

    fn set_runnable(&mut self, thread: u16, runnable: bool) {
        if let Some(thread) = self.runnable.get_mut(usize::from(thread)) {
            *thread = runnable;
        }
    }

    fn switch(&mut self, at: i64, thread: Option<u16>, layout: &CoreLayout) {
        let next = thread.and_then(|thread| layout.server_of(thread));
        if let Some(thread) = thread {
            self.set_runnable(thread, true);
        } else {
            // An idle core proves it: who has budget and does not run wants nothing.
            self.servers.iter_mut().for_each(ServerReplay::went_idle);
        }
        if self.running.map(|(server, _)| server) == next {
            return;
        }
        self.stop(at);
        if let Some(server) = next {
            self.servers[server].starts(at);
            self.running = Some((server, at));
        }
    }

    fn stop(&mut self, at: i64) {
        if let Some((server, since)) = self.running.take() {
            let server = &mut self.servers[server];
            server.ran = server.ran.saturating_add((at - since).max(0));
        }
    }

    fn finish(mut self, end: i64, layout: &CoreLayout) -> Vec<ServerConformance> {
        // The run that the end of the trace cut off was not charged yet.
        self.running = None;
        self.servers
            .into_iter()
            .zip(&layout.servers)
            .map(|(replay, server)| replay.finish(end, layout.sandbox.clone(), server.name.clone()))
            .collect()
    }
}
