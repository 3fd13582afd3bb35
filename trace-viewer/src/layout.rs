//! What the numbers in a trace stand for: the names and parameters of sandboxes,
//! servers, threads and replica sets, from the system description in the trace.
use std::ops::Range;

use tern_config::{ReplicaSet, Runs, ServerKind, System, Voting};
use tern_trace::Trace;

/// The description, arranged by the numbers that records use.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The description; `None` if the trace has none or it cannot be decoded.
    pub system: Option<System>,
    /// One for each of the trace's cores.
    pub cores: Vec<CoreLayout>,
}

/// Whether one voter decides for a set, by itself; otherwise each replica's sandbox has one.
pub(crate) const fn has_one_voter(set: &ReplicaSet) -> bool {
    match set.voting {
        Voting::Arbitrator { .. } | Voting::Unprotected => true,
        Voting::Distributed | Voting::Lockstep { .. } => false,
    }
}

/// One sandbox's servers and threads.
#[derive(Clone, Debug, Default)]
pub struct CoreLayout {
    /// The sandbox's name.
    pub sandbox: String,
    /// Its servers.
    pub servers: Vec<ServerLayout>,
    /// The threads of all its servers.
    pub threads: Vec<ThreadLayout>,
}

/// One server. Times are nanoseconds.
#[derive(Clone, Debug)]
pub struct ServerLayout {
    /// Its name.
    pub name: String,
    /// Its algorithm.
    pub kind: ServerKind,
    /// Budget C.
    pub budget: u64,
    /// Period T.
    pub period: u64,
    /// Its own priority, 0 the highest.
    pub priority: u32,
    /// The highest priority that it may have: of an I/O server, that of who asks it for work.
    pub highest: u32,
    /// Replenishments that its list has room for.
    pub room: usize,
    /// Numbers of its threads.
    pub threads: Range<usize>,
}

/// One thread. Times are nanoseconds.
#[derive(Clone, Debug)]
pub struct ThreadLayout {
    /// Its name.
    pub name: String,
    /// Number of its server.
    pub server: usize,
    /// Time between its releases; zero if it has none.
    pub period: u64,
    /// Deadline after the release.
    pub deadline: u64,
    /// First release after the epoch.
    pub offset: u64,
    /// What it runs.
    pub runs: Runs,
    /// Releases at given times, of simulated jobs that have no period.
    pub explicit_releases: Vec<i64>,
    /// The longest response that was promised.
    pub bound: Option<u64>,
}

/// Releases at offset + number × period, in nanoseconds after the epoch.
#[derive(Clone, Copy, Debug)]
pub struct Nominal {
    offset: i64,
    /// Time between them, above zero.
    pub period: i64,
}

impl Nominal {
    /// The release of a job.
    #[must_use]
    pub fn release(self, job: u32) -> i64 {
        let after = self.period.saturating_mul(job.into());
        self.offset.saturating_add(after).min(Trace::HORIZON_NANOS)
    }

    /// The number of the job that is released at `at` or was last; 0 before the first.
    #[must_use]
    pub fn number_at(self, at: i64) -> u32 {
        let jobs = at.saturating_sub(self.offset).max(0) / self.period;
        u32::try_from(jobs).unwrap_or(u32::MAX - 1)
    }

    /// The number of the first job whose deadline, so long after its release, is not before
    /// `end`.
    #[must_use]
    pub fn due(self, end: i64, deadline: i64) -> u32 {
        let past = end.saturating_sub(deadline).saturating_sub(self.offset);
        let jobs = past
            .max(0)
            .cast_unsigned()
            .div_ceil(self.period.cast_unsigned());
        u32::try_from(jobs).unwrap_or(u32::MAX)
    }
}

impl Layout {
    /// The layout of a trace's system.
    #[must_use]
    pub fn of(trace: &Trace) -> Self {
        let system: Option<System> = postcard::from_bytes(&trace.system).ok();
        let mut cores: Vec<_> = trace
            .cores
            .iter()
            .enumerate()
            .map(|(position, core)| CoreLayout::of(system.as_ref(), position, &core.sandbox))
            .collect();
        let promises = trace.promises.iter().flat_map(|it| &it.sandboxes);
        for (core, promises) in cores.iter_mut().zip(promises) {
            for (thread, bound) in core.threads.iter_mut().zip(&promises.threads) {
                thread.bound = bound.map(|bound| within(bound.as_nanos()));
            }
        }
        Self { system, cores }
    }

    /// The name of a replica set.
    #[must_use]
    pub fn set_name(&self, set: u16) -> String {
        self.system
            .as_ref()
            .and_then(|system| system.replica_sets.get(usize::from(set)))
            .map_or_else(|| format!("set {set}"), |set| set.name.clone())
    }

    /// The sandbox of a set's replica.
    #[must_use]
    pub fn replica_name(&self, set: u16, replica: u16) -> String {
        self.system
            .as_ref()
            .and_then(|system| system.replica_sets.get(usize::from(set)))
            .and_then(|set| set.replicas.get(usize::from(replica)))
            .and_then(|place| self.cores.get(place.sandbox as usize))
            .map_or_else(|| format!("replica {replica}"), |core| core.sandbox.clone())
    }

    /// The number of the replica that a core runs for a set.
    #[must_use]
    pub fn replica_of_core(&self, set: u16, core: usize) -> Option<u16> {
        let set = self.system.as_ref()?.replica_sets.get(usize::from(set))?;
        let found = set
            .replicas
            .iter()
            .position(|place| place.sandbox as usize == core)?;
        u16::try_from(found).ok()
    }
}

impl CoreLayout {
    /// The layout of the sandbox at `position`, if that is its name.
    fn of(system: Option<&System>, position: usize, name: &str) -> Self {
        let sandbox = system.and_then(|system| system.sandboxes.get(position));
        let described = sandbox.filter(|sandbox| sandbox.name == name);
        let mut layout = Self {
            sandbox: name.to_string(),
            servers: Vec::new(),
            threads: Vec::new(),
        };
        let (Some(system), Some(sandbox)) = (system, described) else {
            return layout;
        };
        for (number, server) in sandbox.servers.iter().enumerate() {
            let first = layout.threads.len();
            let threads = server.threads.iter();
            layout
                .threads
                .extend(threads.map(|thread| ThreadLayout::of(number, thread)));
            let requesters = system.requesters(position, number);
            let inherited = requesters.map(|index| sandbox.servers[index].priority);
            layout.servers.push(ServerLayout {
                name: server.name.clone(),
                kind: server.kind,
                budget: within(server.budget),
                period: within(server.period),
                priority: server.priority,
                highest: inherited.fold(server.priority, u32::min),
                // None is given where nobody asked for a bound on it: then it was never short.
                room: match server.room {
                    0 => usize::MAX,
                    room => room as usize,
                },
                threads: first..layout.threads.len(),
            });
        }
        layout
    }

    /// A thread's name.
    #[must_use]
    pub fn thread_name(&self, thread: u16) -> String {
        match self.threads.get(usize::from(thread)) {
            Some(thread) => thread.name.clone(),
            None => format!("thread {thread}"),
        }
    }

    /// A server's name.
    #[must_use]
    pub fn server_name(&self, server: u16) -> String {
        match self.servers.get(usize::from(server)) {
            Some(server) => server.name.clone(),
            None => format!("server {server}"),
        }
    }

    /// The number of a thread's server.
    #[must_use]
    pub fn server_of(&self, thread: u16) -> Option<usize> {
        self.threads
            .get(usize::from(thread))
            .map(|thread| thread.server)
    }
}

impl ThreadLayout {
    /// Whether its jobs are released at offset + number × period; a driver's come with
    /// interrupts and requests.
    #[must_use]
    pub const fn is_periodic(&self) -> bool {
        self.period > 0
            && self.explicit_releases.is_empty()
            && !matches!(self.runs, Runs::Driver(_))
    }

    /// Its deadline after the release, in nanoseconds, if it has one.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        Some(self.deadline).filter(|&deadline| deadline > 0)
    }

    /// When the jobs of a periodic thread are due to be released.
    #[must_use]
    pub fn nominal(&self) -> Option<Nominal> {
        self.is_periodic().then_some(Nominal {
            offset: Trace::within_horizon(self.offset),
            period: Trace::within_horizon(self.period),
        })
    }

    fn of(server: usize, thread: &tern_config::Thread) -> Self {
        Self {
            name: thread.name.clone(),
            server,
            period: within(thread.period),
            deadline: within(thread.deadline),
            offset: within(thread.offset),
            runs: thread.runs.clone(),
            explicit_releases: thread
                .jobs
                .iter()
                .map(|job| Trace::within_horizon(job.at))
                .collect(),
            bound: None,
        }
    }
}

/// A description in a trace need not have been validated; times that no run reaches are
/// cut, so that sums of them fit.
const fn within(nanos: u64) -> u64 {
    Trace::within_horizon(nanos).cast_unsigned()
}
