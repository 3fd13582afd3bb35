//! Conformance: a trace replayed against the rules of sporadic and I/O servers (docs/sched.md).
//!
//! The replay is a small scheduler's book-keeping of its own: for each server it keeps the
//! chunks of its budget, moves them when the server wakes, and charges what its threads ran to
//! them one by one. All that a kernel decides it records at the very instant that it decides
//! for, with the instants that its threads sleep until. So there is nothing to be generous
//! about: each replenishment recorded is the one that the rules give, to the nanosecond, or an
//! objection.
//!
//! A timer that fires late is the one thing that a server does not answer for. What it ran
//! meanwhile is charged to its later chunks like anything else, so it never gets more in the
//! long run; and how late that can be is known: not at all in a simulation, and on a machine
//! by the costs that the trace carries. Where it carries none that is said, not judged.
mod core;
mod io;
mod lateness;
mod objection;
mod server;
mod sporadic;

use serde::Serialize;

use crate::read::SoundTrace;
use crate::table::signed_span;
use core::CoreReplay;
pub use objection::Rule;

/// What the replay found.
#[derive(Clone, Debug, Serialize)]
pub struct Conformance {
    /// One entry for each server of each sandbox.
    pub servers: Vec<ServerConformance>,
    /// What the trace does not tell, so that no rule covers it. Empty is good.
    pub not_judged: Vec<String>,
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
    /// How often it ran on after its budget was used up, until a late timer fired.
    pub overruns: u64,
    /// The longest of these.
    pub overrun_ns: u64,
    /// Their sum.
    pub overran_ns: u64,
    /// How often a full list delayed budget to later budget (rule 5).
    pub delayed: u64,
    /// What it did against the rules.
    pub violations: Vec<Violation>,
}

/// A rule that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// When.
    pub at_ns: i64,
    /// Which.
    pub rule: Rule,
    /// In words, with the numbers.
    pub text: String,
}

impl Conformance {
    /// Replays a trace, each sandbox as far as nothing is missing.
    #[must_use]
    pub fn of(trace: &SoundTrace<'_>) -> Self {
        let mut servers = Vec::new();
        for (number, names) in trace.layout().cores.iter().enumerate() {
            let mut replay = CoreReplay::new(names, trace.trace(), number);
            // Without a description no server is known; of a ring that has overwritten its
            // oldest records, not the beginning.
            let is_known = trace.layout().system.is_some();
            if is_known && trace.trace().cores[number].overwritten == 0 {
                for (at, event) in trace.events(number) {
                    if replay.event(at, event) == core::Replayed::Blind {
                        break;
                    }
                }
            }
            servers.extend(replay.finish());
        }
        let not_judged = not_judged(trace, &servers);
        Self {
            servers,
            not_judged,
        }
    }

    /// Violations over all servers.
    #[must_use]
    pub fn violations(&self) -> usize {
        let servers = self.servers.iter();
        servers.map(|server| server.violations.len()).sum()
    }

    /// What was found, in words.
    #[must_use]
    pub fn verdict(&self) -> String {
        let checked = self.servers.iter().filter(|server| server.checked).count();
        match (self.violations(), checked, self.not_judged.is_empty()) {
            (0, 0, _) => "no server was checked".to_string(),
            (0, _, true) => "every server kept its rules".to_string(),
            (0, _, false) => "no rule that could be judged was broken".to_string(),
            (1, _, _) => "1 violation".to_string(),
            (violations, _, _) => format!("{violations} violations"),
        }
    }
}

/// What no rule covers here.
fn not_judged(trace: &SoundTrace<'_>, servers: &[ServerConformance]) -> Vec<String> {
    let unknown = servers.iter().filter(|server| !server.checked);
    let mut found: Vec<_> = unknown
        .map(|server| {
            format!(
                "server {} of sandbox {}: its description gives it no budget",
                server.server, server.sandbox
            )
        })
        .collect();
    let longest = servers.iter().map(|server| server.overrun_ns).max();
    if let (None, Some(longest @ 1..)) = (lateness::most(trace.trace()), longest) {
        let longest = signed_span(longest.cast_signed());
        found.push(format!(
            "how late the timer was, up to {longest}: the trace carries no costs of its machine"
        ));
    }
    let losses = trace.losses().iter();
    found.extend(losses.map(|loss| format!("what follows a loss: {loss}")));
    found
}
