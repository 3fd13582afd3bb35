//! What the analysis says of a system: responses, the bounds that gave them, and failures.
use tern_sched::analysis::Bound;
use tern_units::Duration;

use crate::recovery::RecoveryReport;

/// What the analysis says of a system.
#[derive(Clone, Debug)]
pub struct Report {
    /// Name of the system.
    pub system: String,
    /// Name of the cost table that was used.
    pub platform: String,
    /// Each sandbox, in the order of the description.
    pub sandboxes: Vec<SandboxReport>,
    /// Each voted replica set, in the order of the description.
    pub recovery: Vec<RecoveryReport>,
}

/// What the analysis says of a sandbox.
#[derive(Clone, Debug)]
pub struct SandboxReport {
    /// Its name.
    pub name: String,
    /// Its core.
    pub core: u32,
    /// Its servers, in the order of the description.
    pub servers: Vec<ServerReport>,
}

/// What the analysis says of a server.
#[derive(Clone, Debug)]
pub struct ServerReport {
    /// Its name.
    pub name: String,
    /// Its budget C.
    pub budget: Duration,
    /// Its period T.
    pub period: Duration,
    /// Longest time from a job's arrival until the whole budget has been delivered; `None`
    /// if there is no bound.
    pub response: Option<Duration>,
    /// Whether the search for it was given up: then it is by a closed form, and there may be a
    /// shorter one.
    pub gave_up: bool,
    /// Its deadline.
    pub deadline: Duration,
    /// Its threads, in the order of the description.
    pub threads: Vec<ThreadReport>,
    /// Whether its list has room for the replenishments that its threads may need at a time;
    /// their bounds rely on it.
    pub has_room: bool,
    /// Why it fails, and the smallest change that would help.
    pub failure: Option<Failure>,
}

/// What the analysis says of a thread.
#[derive(Clone, Debug)]
pub struct ThreadReport {
    /// Its name.
    pub name: String,
    /// Its worst-case execution time.
    pub wcet: Duration,
    /// Its period.
    pub period: Duration,
    /// Longest time from a job's release to its completion; `None` if there is no bound.
    pub response: Option<Duration>,
    /// The theorem that gave the response.
    pub bound: Option<Bound>,
    /// Whether a search for it was given up: then there may be a shorter one.
    pub gave_up: bool,
    /// Its deadline.
    pub deadline: Duration,
    /// Why it fails, and the smallest change that would help.
    pub failure: Option<Failure>,
}

/// Why a deadline does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The reason.
    pub reason: String,
    /// The smallest change that would help, where one was looked for and found.
    pub change: Option<String>,
}

impl ServerReport {
    /// Whether its deadline holds, and its threads' bounds can be relied on.
    #[must_use]
    pub fn schedulable(&self) -> bool {
        self.has_room && self.is_in_time()
    }

    /// Whether its deadline holds.
    pub(crate) fn is_in_time(&self) -> bool {
        self.response
            .is_some_and(|response| response <= self.deadline)
    }
}

impl ThreadReport {
    /// Whether its deadline holds.
    #[must_use]
    pub fn schedulable(&self) -> bool {
        self.response
            .is_some_and(|response| response <= self.deadline)
    }
}

impl Report {
    /// Whether every deadline holds, and every repair has a bound.
    #[must_use]
    pub fn schedulable(&self) -> bool {
        let mut servers = self.sandboxes.iter().flat_map(|sandbox| &sandbox.servers);
        servers.all(|it| it.schedulable() && it.threads.iter().all(ThreadReport::schedulable))
            && self.recovery.iter().all(|it| it.bound.is_ok())
    }
}
