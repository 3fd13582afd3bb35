//! The numbers of a run: jobs and their response times, servers, votes, repairs, exits
//! and losses. Everything is computed from the records; nothing is taken on trust from
//! the kernel except its own remarks, which are shown beside.
//!
//! All times are nanoseconds, instants since the time epoch.
mod apart;
mod bounds;
mod exits;
mod jobs;
mod judged;
mod repairs;
mod servers;
mod text;
mod votes;
mod withheld;

use serde::Serialize;
use tern_trace::{Core, Event, Kind, Trace};

use apart::Apart;
use bounds::Bounds;
pub use bounds::Exceeded;
pub use exits::{ExitCount, Exits};
pub(crate) use jobs::JobLog;
pub use jobs::{Responses, ThreadSummary};
pub(crate) use judged::JudgedJob;
pub use repairs::Repair;
pub use servers::ServerSummary;
pub use votes::{Disagreement, Inputs, SafeStop, Votes};
pub use withheld::Withheld;

use crate::layout::{CoreLayout, Layout};
use crate::read::SoundTrace;
use crate::status::Status;
use crate::verdict::conformance::Conformance;
use exits::ExitLog;
use repairs::RepairLog;
use servers::ServerLog;
use votes::{VoteLog, votes_of};
use withheld::WithheldLog;

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
    /// Outputs that were withheld, by time.
    pub withheld: Vec<Withheld>,
    /// What the tool that ran the machine remarked.
    pub notes: Vec<NoteSummary>,
    /// Jobs and repairs that took longer than was promised. Empty is good.
    pub exceeded: Vec<Exceeded>,
    /// Promises that are not held against this run, and why.
    pub not_judged: Vec<String>,
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
    /// Checkpoints kept, of replicas that keep them.
    pub checkpoints: u64,
    /// How often a replica has gone back to its checkpoint.
    pub roll_backs: u64,
    /// Pages put back then.
    pub pages_put_back: u64,
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
    pub fn from_trace(sound: &SoundTrace<'_>) -> Self {
        let (trace, layout) = (sound.trace(), sound.layout());
        let mut warnings = Vec::new();
        if layout.system.is_none() {
            warnings.push(
                "the trace has no system description that this tool can read: \
                 threads have no names and deadlines are unknown"
                    .to_string(),
            );
        }
        let (mut votes, mut repairs) = (VoteLog::default(), RepairLog::default());
        let mut withheld = WithheldLog::default();
        let mut logs = Vec::new();
        let mut span = None;
        for number in 0..trace.cores.len() {
            let mut log = CoreLog::new(number);
            for (at, event) in sound.events(number) {
                let (from, to) = span.unwrap_or((at, at));
                span = Some((at.min(from), at.max(to)));
                log.event(at, event, layout);
                votes.event(number, at, event, layout);
                repairs.event(number, at, event);
                withheld.event(at, event);
            }
            logs.push(log);
        }
        let (from_ns, to_ns) = span.unwrap_or_default();
        let by_epoch = votes.votes(layout);
        let rejoined: Vec<_> = logs.iter().map(|log: &CoreLog| &log.rejoined[..]).collect();
        let apart = Apart::of(sound, &by_epoch, &rejoined);
        let parts = logs.into_iter().zip(&trace.cores).zip(&layout.cores);
        let sandboxes = parts.map(|((log, core), layout)| {
            let exits = log.exits.summarize(trace, core, votes.last_epoch_ns());
            log.summarize(core, layout, exits, (to_ns, &apart), &mut warnings)
        });
        let mut sandboxes: Vec<_> = sandboxes.collect();
        let conformance = Conformance::of(sound);
        let servers = sandboxes
            .iter_mut()
            .flat_map(|sandbox| &mut sandbox.servers);
        for (server, replayed) in servers.zip(&conformance.servers) {
            server.overruns = replayed.overruns;
            server.overrun_ns = replayed.overrun_ns;
        }
        let repairs = repairs.summarize(&by_epoch, layout);
        let bounds = Bounds::of(sound, &sandboxes, &repairs);
        let all = by_epoch.iter();
        Self {
            system: layout.system.as_ref().map(|system| system.name.clone()),
            build: trace.build.clone(),
            tsc_hertz: trace.tsc.hertz(),
            from_ns,
            to_ns,
            sandboxes,
            votes: all
                .map(|(set, votes)| votes_of(*set, votes, layout))
                .collect(),
            repairs,
            inputs: votes.inputs(layout),
            stops: votes.stops(layout),
            withheld: withheld.summarize(layout),
            notes: notes(trace),
            exceeded: bounds.exceeded,
            not_judged: bounds.not_judged,
            unsound: sound.losses().to_vec(),
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
        } else if self.misses() > 0 || !self.exceeded.is_empty() {
            Status::Late
        } else {
            Status::Well
        }
    }
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
    /// Replica sets and the epochs from which on they have their replica here again.
    rejoined: Vec<(u16, u32)>,
    put_back: u64,
}

impl CoreLog {
    fn new(number: usize) -> Self {
        Self {
            number,
            jobs: JobLog::default(),
            servers: ServerLog::default(),
            exits: ExitLog::default(),
            counts: [0; Kind::COUNTERS],
            rejoined: Vec::new(),
            put_back: 0,
        }
    }

    fn event(&mut self, at: i64, event: Event, layout: &Layout) {
        self.counts[event.encode(0).0.kind as usize] += 1;
        if let Event::Rejoin { set, epoch } = event {
            self.rejoined.push((set, epoch));
        }
        if let Event::RollBack { pages, .. } = event {
            self.put_back += u64::from(pages);
        }
        self.jobs.event(at, event);
        self.servers.event(at, event, &layout.cores[self.number]);
        self.exits.event(at, event);
    }

    fn summarize(
        self,
        core: &Core,
        layout: &CoreLayout,
        exits: Exits,
        (end, apart): (i64, &Apart),
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
            checkpoints: count(Kind::Checkpoint),
            roll_backs: count(Kind::RollBack),
            pages_put_back: self.put_back,
            interrupts: count(Kind::InterruptIn),
            system_calls: count(Kind::SystemCall),
            faults: count(Kind::Fault),
            threads: self
                .jobs
                .summarize((self.number, layout), end, apart, warnings),
            servers: self.servers.summarize(layout, end),
        }
    }
}
