//! Whether every deadline of a system holds, by analysis of the servers and threads
//! that its description gives to the kernel.
use tern_config::layout::REPAIR_LOOKS;
use tern_config::{Runs, Server, ServerKind, System, Thread};
use tern_sched::analysis::{
    Bound, CostTable, ServerContext, ServerModel, ThreadModel, ThreadResponse, in_step_response,
    server_response, server_responses, thread_responses,
};
use tern_units::Duration;

mod advice;
mod json;
mod recovery;
mod text;

pub use json::CheckJson;
pub use recovery::RecoveryReport;

/// Where sandboxes have more servers than this (the kernel takes no more), responses in
/// step are only computed where a deadline needs them: each takes an analysis of its own.
const REFINED_SERVERS: usize = 64;

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
    /// Its deadline.
    pub deadline: Duration,
    /// Its threads, in the order of the description.
    pub threads: Vec<ThreadReport>,
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
    pub bound: Bound,
    /// Whether the response is that of a thread in step with its server, which it is
    /// only where the deadline needs it: see `docs/check-and-simulate.md`.
    pub in_step: bool,
    /// The response in step with its server, where that is known and tighter.
    pub tighter: Option<Duration>,
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
    /// Whether its deadline holds.
    #[must_use]
    pub fn schedulable(&self) -> bool {
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

/// Analyses a system on a platform with these costs.
#[must_use]
pub fn check(system: &System, costs: &CostTable) -> Report {
    report(system, costs, false)
}

/// The same, with the smallest change that would help for each failure: this takes
/// longer.
#[must_use]
pub fn check_and_advise(system: &System, costs: &CostTable) -> Report {
    report(system, costs, true)
}

fn report(system: &System, costs: &CostTable, advise: bool) -> Report {
    let sandboxes = 0..system.sandboxes.len();
    Report {
        system: system.name.clone(),
        platform: system.platform.clone(),
        sandboxes: sandboxes
            .map(|sandbox| sandbox_report(system, sandbox, costs, advise))
            .collect(),
        recovery: recovery::bounds(system, costs),
    }
}

/// Costs of a platform, as the analysis takes them.
#[must_use]
pub fn cost_table(costs: &tern_config::description::Costs) -> CostTable {
    let nanos = Duration::from_nanos;
    CostTable {
        context_switch: nanos(costs.context_switch),
        timer_interrupt: nanos(costs.timer_interrupt),
        replenishment: nanos(costs.replenishment),
        system_call: nanos(costs.system_call),
        hypercall: nanos(costs.hypercall),
        page_hash: nanos(costs.page_hash),
        page_copy: nanos(costs.page_copy),
        page_repair: nanos(costs.page_repair),
        trace_record: nanos(costs.trace_record),
        longest_non_preemptible: nanos(costs.longest_non_preemptible),
    }
}

/// A core as the analysis sees it: servers in order of priority, each with its threads.
#[derive(Clone, Debug)]
struct Core<'a> {
    servers: Vec<ServerModel>,
    threads: Vec<Vec<ThreadModel>>,
    costs: &'a CostTable,
}

impl<'a> Core<'a> {
    /// The core of a sandbox, and for each server of the description its position here.
    fn new(system: &System, sandbox: usize, costs: &'a CostTable) -> (Self, Vec<usize>) {
        let all = &system.sandboxes[sandbox].servers;
        let positions: Vec<usize> = all.iter().map(|it| it.priority as usize).collect();
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by_key(|index| positions[*index]);
        let model = |index: &usize| {
            let requesters = system.requesters(sandbox, *index);
            let raised_to = requesters.map(|requester| positions[requester]).min();
            ServerModel {
                raised_to: raised_to.filter(|to| *to < positions[*index]),
                ..server_model(&all[*index])
            }
        };
        let servers = order.iter().map(model).collect();
        let threads = order
            .iter()
            .map(|index| all[*index].threads.iter().map(thread_model).collect());
        (
            Self {
                servers,
                threads: threads.collect(),
                costs,
            },
            positions,
        )
    }

    fn responses(&self) -> Vec<Option<Duration>> {
        server_responses(&self.servers, self.costs).collect()
    }

    fn response(&self, server: usize) -> Option<Duration> {
        server_response(&self.servers, server, &self.servers[server], self.costs)
    }

    fn context(&self, server: usize, response: Option<Duration>) -> ServerContext<'_> {
        ServerContext {
            servers: &self.servers,
            index: server,
            response,
            costs: self.costs,
        }
    }

    /// Responses of the threads of a server whose own response is known.
    fn thread_responses(&self, server: usize, response: Option<Duration>) -> Vec<ThreadResponse> {
        let threads = &self.threads[server];
        let mut results = vec![ThreadResponse::default(); threads.len()];
        thread_responses(&self.context(server, response), threads, &mut results);
        results
    }

    /// The response of a server's only thread, where each of its jobs finds the budget whole.
    fn in_step(&self, server: usize, response: Option<Duration>) -> Option<Duration> {
        match self.threads[server].as_slice() {
            [thread] => in_step_response(&self.context(server, response), thread),
            _ => None,
        }
    }
}

fn server_model(server: &Server) -> ServerModel {
    let nanos = Duration::from_nanos;
    ServerModel {
        kind: match server.kind {
            ServerKind::Sporadic => tern_sched::ServerKind::Sporadic,
            ServerKind::Io => tern_sched::ServerKind::Io,
        },
        budget: nanos(server.budget),
        period: nanos(server.period),
        deadline: nanos(server.deadline),
        jitter: nanos(server.jitter),
        blocking: nanos(server.blocking),
        activations: u32::try_from(activations(server)).unwrap_or(u32::MAX),
        raised_to: None,
    }
}

/// How often a server becomes active in a period: see [`ServerModel::activations`].
fn activations(server: &Server) -> u64 {
    if let [thread] = server.threads.as_slice() {
        let by_the_clock = match thread.runs {
            Runs::Nothing => thread.jobs.is_empty(),
            Runs::Program { .. } => true,
            // These wait for more than their releases.
            Runs::Replica(_) | Runs::Voter(_) | Runs::Driver(_) => false,
        };
        let multiple = thread.period.is_multiple_of(server.period);
        if by_the_clock && multiple && server.kind == ServerKind::Sporadic && server.jitter == 0 {
            return 1;
        }
    }
    let wakes = |thread: &Thread| {
        let each = match thread.runs {
            // At the release and the verdict, and after each look in a repair.
            Runs::Replica(_) => 2 + REPAIR_LOOKS,
            _ => 1,
        };
        let releases = server.period.div_ceil(thread.period.max(1));
        releases.saturating_mul(each)
    };
    server
        .threads
        .iter()
        .map(wakes)
        .fold(1, u64::saturating_add)
}

fn thread_model(thread: &Thread) -> ThreadModel {
    let nanos = Duration::from_nanos;
    ThreadModel::periodic(nanos(thread.wcet), nanos(thread.period))
}

fn sandbox_report(system: &System, index: usize, costs: &CostTable, advise: bool) -> SandboxReport {
    let sandbox = &system.sandboxes[index];
    let (core, positions) = Core::new(system, index, costs);
    let responses = core.responses();
    let mut advisor = advice::Advisor::new(&core, sandbox, &positions, advise);
    let servers = sandbox
        .servers
        .iter()
        .zip(&positions)
        .map(|(server, position)| {
            let response = responses[*position];
            let mut report = ServerReport {
                name: server.name.clone(),
                budget: Duration::from_nanos(server.budget),
                period: Duration::from_nanos(server.period),
                response,
                deadline: Duration::from_nanos(server.deadline),
                threads: Vec::new(),
                failure: None,
            };
            if !report.schedulable() {
                report.failure = Some(advisor.server(*position, response));
            }
            let bounds = core.thread_responses(*position, response);
            for (index, thread) in server.threads.iter().enumerate() {
                let bound = bounds[index];
                let mut it = ThreadReport {
                    name: thread.name.clone(),
                    wcet: Duration::from_nanos(thread.wcet),
                    period: Duration::from_nanos(thread.period),
                    response: bound.response,
                    bound: bound.bound,
                    in_step: false,
                    tighter: None,
                    deadline: Duration::from_nanos(thread.deadline),
                    failure: None,
                };
                if !it.schedulable() || positions.len() <= REFINED_SERVERS {
                    it.tighter = core
                        .in_step(*position, response)
                        .filter(|tighter| it.response.is_none_or(|general| *tighter < general));
                }
                if !it.schedulable() && it.tighter.is_some() {
                    (it.response, it.bound, it.in_step) = (it.tighter, Bound::DavisBurns, true);
                }
                if !it.schedulable() {
                    let bounded = response.is_some();
                    it.failure =
                        Some(advisor.thread(*position, bounded, index, it.response, it.deadline));
                }
                report.threads.push(it);
            }
            report
        });
    SandboxReport {
        name: sandbox.name.clone(),
        core: sandbox.core,
        servers: servers.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(runs: Runs) -> Server {
        let thread = Thread {
            period: 10,
            runs,
            ..Thread::default()
        };
        Server {
            period: 10,
            threads: vec![thread],
            ..Server::default()
        }
    }

    #[test]
    fn a_replica_activates_its_server_at_release_and_verdict_and_after_each_look_of_a_repair() {
        // And once more for budget that returns.
        let replica = server(Runs::Replica(0));
        assert_eq!(activations(&replica), 1 + 2 + REPAIR_LOOKS);
        assert_eq!(activations(&server(Runs::Nothing)), 1);
    }
}
