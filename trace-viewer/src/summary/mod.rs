//! The numbers of a run: jobs and their response times, servers, votes, repairs, exits
//! and losses. Everything is computed from the records; nothing is taken on trust from
//! the kernel except its own remarks, which are shown beside.
//!
//! All times are nanoseconds, instants since the time epoch.
mod exits;
mod jobs;
mod judged;
mod repairs;
mod servers;
mod text;
mod votes;

use serde::Serialize;
use tern_config::ReplicaSet;
use tern_trace::{Core, Event, Kind, Trace};

pub use exits::{ExitCount, Exits};
pub(crate) use jobs::JobLog;
pub use jobs::{Responses, ThreadSummary};
pub(crate) use judged::JudgedJob;
pub use repairs::{Repair, result_name};
pub use servers::ServerSummary;
pub use votes::{Disagreement, Inputs, SafeStop, Votes, is_stale, outcome_name};

use crate::layout::{CoreLayout, Layout};
use crate::status::Status;
use crate::table::{count, span};
use exits::ExitLog;
use repairs::RepairLog;
use servers::ServerLog;
use votes::{VoteLog, votes_of};

/// The numbers of a whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Name of the system, where the trace tells.
    pub system: Option<String>,
    /// Which build made the trace.
    pub build: String,
    /// Ticks of the timestamp counter a second.
    pub tsc_hertz: u64,
    /// The earliest record.
    pub from_ns: i64,
    /// The latest record: the end of what is known.
    pub to_ns: i64,
    /// One for each sandbox, in the order of the system description.
    pub sandboxes: Vec<SandboxSummary>,
    /// One for each replica set that was voted on.
    pub votes: Vec<Votes>,
    /// Repairs, by the time they began.
    pub repairs: Vec<Repair>,
    /// One for each replica set that had inputs.
    pub inputs: Vec<Inputs>,
    /// Replica sets that stopped safely.
    pub stops: Vec<SafeStop>,
    /// What the tool that ran the machine remarked.
    pub notes: Vec<NoteSummary>,
    /// What makes the trace unfit to prove anything: losses and damage. Empty is good.
    pub unsound: Vec<String>,
    /// What is odd but does not spoil the trace.
    pub warnings: Vec<String>,
}

/// One sandbox's part.
#[derive(Clone, Debug, Serialize)]
pub struct SandboxSummary {
    /// Its name.
    pub sandbox: String,
    /// Records read.
    pub records: u64,
    /// Records that were pushed and are not in the trace.
    pub lost: u64,
    /// Its threads.
    pub threads: Vec<ThreadSummary>,
    /// Its servers.
    pub servers: Vec<ServerSummary>,
    /// Exits to the hypervisor.
    pub exits: Exits,
    /// Pages hashed at commits.
    pub pages_hashed: u64,
    /// Steps of the scrub.
    pub scrubs: u64,
    /// Interrupts taken.
    pub interrupts: u64,
    /// System calls.
    pub system_calls: u64,
    /// Faults seen from inside.
    pub faults: u64,
}

/// A remark by the tool that ran the machine.
#[derive(Clone, Debug, Serialize)]
pub struct NoteSummary {
    /// When, where it is known.
    pub at_ns: Option<i64>,
    /// The sandbox concerned.
    pub sandbox: Option<String>,
    /// The remark.
    pub text: String,
}

impl Summary {
    /// The summary of a trace.
    #[must_use]
    pub fn from_trace(trace: &Trace) -> Self {
        let layout = Layout::of(trace);
        let mut warnings = Vec::new();
        if layout.system.is_none() {
            warnings.push(
                "the trace has no system description that this tool can read: \
                 threads have no names and deadlines are unknown"
                    .to_string(),
            );
        }
        let (mut votes, mut repairs) = (VoteLog::default(), RepairLog::default());
        let mut logs = Vec::new();
        let mut span = None;
        for (number, core) in trace.cores.iter().enumerate() {
            let mut log = CoreLog::new(number);
            for (tsc, event) in core.events().filter_map(Result::ok) {
                let at = trace.nanos(tsc);
                let (from, to) = span.unwrap_or((at, at));
                span = Some((at.min(from), at.max(to)));
                log.event(at, event, &layout);
                votes.event(number, at, event);
                repairs.event(number, at, event);
            }
            log.warn(&core.sandbox, &mut warnings);
            logs.push(log);
        }
        let (from_ns, to_ns) = span.unwrap_or_default();
        let parts = logs.into_iter().zip(&trace.cores).zip(&layout.cores);
        let sandboxes = parts.map(|((log, core), layout)| {
            let exits = log.exits.summarize(trace, core, votes.last_epoch_ns());
            log.summarize(core, layout, exits, to_ns, &mut warnings)
        });
        let sandboxes = sandboxes.collect();
        let by_epoch = votes.votes(&layout);
        let all = by_epoch.iter();
        Self {
            system: layout.system.as_ref().map(|system| system.name.clone()),
            build: trace.build.clone(),
            tsc_hertz: trace.tsc.hertz(),
            from_ns,
            to_ns,
            sandboxes,
            votes: all
                .map(|(set, votes)| votes_of(*set, votes, &layout))
                .collect(),
            repairs: repairs.summarize(&by_epoch, &layout),
            inputs: votes.inputs(&layout),
            stops: votes.stops(&layout),
            notes: notes(trace),
            unsound: unsound(trace),
            warnings,
        }
    }

    /// Deadlines missed, over all threads.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.threads().map(|(_, thread)| thread.misses).sum()
    }

    /// Records missing, over all sandboxes.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sandboxes
            .iter()
            .fold(0, |sum, sandbox| sum.saturating_add(sandbox.lost))
    }

    /// Every thread with its sandbox.
    pub fn threads(&self) -> impl Iterator<Item = (&SandboxSummary, &ThreadSummary)> {
        self.sandboxes
            .iter()
            .flat_map(|sandbox| sandbox.threads.iter().map(move |thread| (sandbox, thread)))
    }

    /// Exits between the first and the last epoch, over all sandboxes; `None` if one
    /// sandbox did not record them.
    #[must_use]
    pub fn steady_exits(&self) -> Option<u64> {
        self.sandboxes
            .iter()
            .map(|sandbox| sandbox.exits.steady)
            .sum()
    }

    /// What the run is worth. A trace with losses is never a pass, whatever it shows.
    #[must_use]
    pub fn status(&self) -> Status {
        if !self.unsound.is_empty() {
            Status::Unsound
        } else if self.misses() > 0 {
            Status::Late
        } else {
            Status::Well
        }
    }
}

/// How far a kernel's clock may be from the conversion used here: the counter is read
/// and converted a little before the record is written.
const CLOCK_TOLERANCE_NS: u64 = 100_000;

/// What makes a trace unfit to prove anything: losses and damage. Empty is good.
#[must_use]
pub fn unsound(trace: &Trace) -> Vec<String> {
    let mut found = Vec::new();
    for core in &trace.cores {
        let mut object = |reason: String| found.push(format!("sandbox {}: {reason}", core.sandbox));
        if !core.damage.is_empty() {
            object(format!("trace ring {}", core.damage));
        }
        if core.dropped > 0 {
            object(format!("{} records dropped", core.dropped));
        }
        if core.overwritten > 0 {
            object(format!("{} records overwritten", core.overwritten));
        }
        let mut errors = core.events().filter_map(Result::err);
        if let Some(first) = errors.next() {
            match errors.count() {
                0 => object(first.to_string()),
                more => object(format!("{first}, and {more} more that cannot be decoded")),
            }
        }
    }
    if trace.cores.iter().all(|core| core.records.is_empty()) {
        found.push("there is not one record".to_string());
    }
    found
}

fn notes(trace: &Trace) -> Vec<NoteSummary> {
    trace
        .notes
        .iter()
        .map(|note| NoteSummary {
            at_ns: note.tsc.map(|tsc| trace.nanos(tsc)),
            sandbox: note
                .sandbox
                .and_then(|number| trace.cores.get(usize::from(number)))
                .map(|core| core.sandbox.clone()),
            text: note.text.clone(),
        })
        .collect()
}

/// What one pass over a core's records collects.
struct CoreLog {
    number: usize,
    jobs: JobLog,
    servers: ServerLog,
    exits: ExitLog,
    counts: [u64; Kind::COUNTERS],
    latest: i64,
    backwards: u64,
    clock_error: u64,
}

impl CoreLog {
    fn new(number: usize) -> Self {
        Self {
            number,
            jobs: JobLog::default(),
            servers: ServerLog::default(),
            exits: ExitLog::default(),
            counts: [0; Kind::COUNTERS],
            latest: i64::MIN,
            backwards: 0,
            clock_error: 0,
        }
    }

    fn event(&mut self, at: i64, event: Event, layout: &Layout) {
        self.backwards += u64::from(at < self.latest);
        self.latest = self.latest.max(at);
        self.counts[event.encode(0).0.kind as usize] += 1;
        if let Event::ClockSync { now } = event {
            let now = Trace::within_horizon(now.as_nanos());
            self.clock_error = self.clock_error.max(at.abs_diff(now));
        }
        self.jobs.event(at, event);
        self.servers.event(at, event, &layout.cores[self.number]);
        self.exits.event(at, event);
    }

    /// What is odd about its times.
    fn warn(&self, sandbox: &str, warnings: &mut Vec<String>) {
        if self.backwards > 0 {
            warnings.push(format!(
                "sandbox {sandbox}: time runs backwards at {}",
                count(self.backwards, "record")
            ));
        }
        if self.clock_error > CLOCK_TOLERANCE_NS {
            warnings.push(format!(
                "sandbox {sandbox}: the clock differs from the timestamp counter by up to {}",
                span(self.clock_error)
            ));
        }
    }

    fn summarize(
        self,
        core: &Core,
        layout: &CoreLayout,
        exits: Exits,
        end: i64,
        warnings: &mut Vec<String>,
    ) -> SandboxSummary {
        let count = |kind: Kind| self.counts[kind as usize];
        SandboxSummary {
            sandbox: core.sandbox.clone(),
            records: core.records.len() as u64,
            lost: core.losses(),
            exits,
            pages_hashed: count(Kind::Hash),
            scrubs: count(Kind::Scrub),
            interrupts: count(Kind::InterruptIn),
            system_calls: count(Kind::SystemCall),
            faults: count(Kind::Fault),
            threads: self.jobs.summarize(layout, end, warnings),
            servers: self.servers.summarize(layout, end),
        }
    }
}

/// The voter's sandbox, where the set has one.
fn voter_core(set: &ReplicaSet) -> Option<usize> {
    set.voter.map(|place| place.sandbox as usize)
}
