//! Conformance: a trace replayed against the rules of the sporadic server.
//!
//! The replay keeps, for each server, the list of budget chunks that its recorded
//! replenishments imply, each with the earliest time from which it may be used. It is
//! more permissive than any correct server: it never delays a chunk to save space. So
//! whatever it objects to is a fault of the server (or of the trace), and these are the
//! objections (rules as numbered in docs/sched.md):
//!
//! * **premature** (rules 3 and 4): budget returns before the activation time of the
//!   chunk that it was taken from, plus the period. A chunk is not active before its own
//!   time, nor before the server last had nothing to run, nor (where its one thread slept
//!   until a release) before that release.
//! * **amplified** (rule 1): one replenishment gives back more than the whole budget.
//! * **without budget** (rule 7): a thread is given the core while no chunk is active.
//! * **uncharged** (rule 3): threads ran longer than what was charged to their server.
//!
//! An overrun (a timer that fires late) is no fault: it is charged to later chunks. Its
//! largest size is reported.
use std::collections::VecDeque;

use serde::Serialize;
use tern_config::ServerKind;
use tern_trace::{Event, Trace};

use crate::layout::{CoreLayout, Layout, ServerLayout};

/// Differences between a record's time and the scheduler's: rounding, and the way from
/// reading the clock to writing the record.
const ROUNDING_NS: i64 = 1_000;
/// Charge that may be missing for each time that a server got the core.
const CHARGE_TOLERANCE_NS: i64 = 20_000;
/// And for each hundred of what it ran: an emulator may stop between clock and record.
const CHARGE_TOLERANCE_SHARE: i64 = 100;
/// And once.
const CHARGE_TOLERANCE_BASE_NS: i64 = 1_000_000;

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
    /// Whether it was replayed: I/O servers follow other rules and are not, yet.
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
            Event::Exhaust { server } => {
                if let Some(server) = self.servers.get_mut(usize::from(server)) {
                    server.idle_since = None;
                }
            }
            Event::ReplenishPosted {
                server,
                amount,
                at: returns,
            } => {
                if let Some(server) = self.servers.get_mut(usize::from(server)) {
                    let returns = Trace::within_horizon(returns.as_nanos());
                    server.posted(at, amount.as_nanos().cast_signed(), returns);
                }
            }
            _ => {}
        }
    }

    /// The only thread of a server that slept wakes at its job's nominal release.
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
        let nominal = thread.nominal_release(job).filter(|&nominal| nominal <= at);
        if let Some(nominal) = nominal
            && alone
            && self.servers[thread.server].slept
        {
            self.servers[thread.server].not_active_before(nominal);
        }
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

#[derive(Clone, Copy)]
struct Chunk {
    /// The earliest time from which it may be used.
    time: i64,
    amount: i64,
}

struct ServerReplay {
    checked: bool,
    budget: i64,
    period: i64,
    chunks: VecDeque<Chunk>,
    /// Since when no thread of the server wants anything, as far as is known.
    idle_since: Option<i64>,
    /// Whether the core went idle since then.
    slept: bool,
    replenishments: u64,
    charged: i64,
    runs: i64,
    ran: i64,
    overrun: i64,
    violations: Vec<Violation>,
}

impl ServerReplay {
    fn new(server: &ServerLayout) -> Self {
        let budget = server.budget.cast_signed();
        Self {
            checked: server.kind == ServerKind::Sporadic && budget > 0 && server.period > 0,
            budget,
            period: server.period.cast_signed(),
            chunks: VecDeque::from([Chunk {
                time: 0,
                amount: budget,
            }]),
            idle_since: None,
            slept: false,
            replenishments: 0,
            charged: 0,
            runs: 0,
            ran: 0,
            overrun: 0,
            violations: Vec::new(),
        }
    }

    fn object(&mut self, at_ns: i64, rule: &'static str, text: String) {
        self.violations.push(Violation { at_ns, rule, text });
    }

    /// The server had nothing to run: what budget was active then will be active anew
    /// when it next has (rule 4).
    fn went_idle(&mut self) {
        if let Some(since) = self.idle_since {
            self.slept = true;
            self.not_active_before(since - ROUNDING_NS);
        }
    }

    fn not_active_before(&mut self, time: i64) {
        for chunk in &mut self.chunks {
            chunk.time = chunk.time.max(time);
        }
    }

    fn starts(&mut self, at: i64) {
        self.idle_since = None;
        self.slept = false;
        self.runs += 1;
        let first = self.chunks.front().map_or(i64::MAX, |chunk| chunk.time);
        if self.checked && first > at + ROUNDING_NS {
            self.object(
                at,
                "without-budget",
                format!("got the core {} ns before any of its budget", first - at),
            );
        }
    }

    fn posted(&mut self, at: i64, amount: i64, returns: i64) {
        self.replenishments += 1;
        self.charged = self.charged.saturating_add(amount);
        if !self.checked {
            return;
        }
        if amount > self.budget {
            let text = format!("{amount} ns return, of a budget of {} ns", self.budget);
            self.object(at, "amplified", text);
            return;
        }
        let mut taken = 0;
        let mut overrun = 0;
        while taken < amount {
            let Some(chunk) = self.chunks.front_mut() else {
                break;
            };
            let portion = chunk.amount.min(amount - taken);
            // This portion is used, at the earliest, `taken` after the first comes back.
            let early = chunk.time + self.period - (returns + taken);
            overrun += if chunk.time > at { portion } else { 0 };
            let active = chunk.time;
            chunk.time += portion;
            chunk.amount -= portion;
            if chunk.amount == 0 {
                self.chunks.pop_front();
            }
            taken += portion;
            if early > 0 {
                let text = format!(
                    "{amount} ns return at {returns} ns, {early} ns too early: \
                     active from {active} ns, period {} ns",
                    self.period
                );
                self.object(at, "premature", text);
                break;
            }
        }
        self.overrun = self.overrun.max(overrun);
        self.take_rest(amount - taken);
        let place = self.chunks.partition_point(|chunk| chunk.time <= returns);
        self.chunks.insert(
            place,
            Chunk {
                time: returns,
                amount,
            },
        );
    }

    /// After an objection the amounts must still sum to the budget.
    fn take_rest(&mut self, mut amount: i64) {
        while let Some(chunk) = self.chunks.front_mut()
            && amount > 0
        {
            let portion = chunk.amount.min(amount);
            chunk.amount -= portion;
            amount -= portion;
            if chunk.amount == 0 {
                self.chunks.pop_front();
            }
        }
    }

    fn finish(mut self, end: i64, sandbox: String, server: String) -> ServerConformance {
        let allowed = CHARGE_TOLERANCE_BASE_NS
            + self.ran / CHARGE_TOLERANCE_SHARE
            + self.runs * CHARGE_TOLERANCE_NS;
        if self.checked && self.ran.saturating_sub(self.charged) > allowed {
            let text = format!("ran for {} ns, was charged {} ns", self.ran, self.charged);
            self.object(end, "uncharged", text);
        }
        ServerConformance {
            sandbox,
            server,
            checked: self.checked,
            replenishments: self.replenishments,
            charged_ns: self.charged.unsigned_abs(),
            ran_ns: self.ran.unsigned_abs(),
            overrun_ns: self.overrun.unsigned_abs(),
            violations: self.violations,
        }
    }
}
