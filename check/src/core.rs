//! A core as the analysis sees it: the models of its servers and threads.
use tern_config::layout::REPAIR_LOOKS;
use tern_config::{Runs, Server, ServerKind, System, Thread};
use tern_sched::analysis::{
    CostTable, ServerContext, ServerModel, ThreadModel, ThreadResponse, in_step_response,
    server_response, server_responses, thread_responses,
};
use tern_units::Duration;

/// A core as the analysis sees it: servers in order of priority, each with its threads.
#[derive(Clone, Debug)]
pub(crate) struct Core<'a> {
    pub(crate) servers: Vec<ServerModel>,
    pub(crate) threads: Vec<Vec<ThreadModel>>,
    costs: &'a CostTable,
}

impl<'a> Core<'a> {
    /// The core of a sandbox, and for each server of the description its position here.
    pub(crate) fn new(system: &System, sandbox: usize, costs: &'a CostTable) -> (Self, Vec<usize>) {
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

    pub(crate) fn responses(&self) -> Vec<Option<Duration>> {
        server_responses(&self.servers, self.costs).collect()
    }

    pub(crate) fn response(&self, server: usize) -> Option<Duration> {
        server_response(&self.servers, server, &self.servers[server], self.costs)
    }

    pub(crate) fn context(&self, server: usize, response: Option<Duration>) -> ServerContext<'_> {
        ServerContext {
            servers: &self.servers,
            index: server,
            response,
            costs: self.costs,
        }
    }

    /// Responses of the threads of a server whose own response is known.
    pub(crate) fn thread_responses(
        &self,
        server: usize,
        response: Option<Duration>,
    ) -> Vec<ThreadResponse> {
        let threads = &self.threads[server];
        let mut results = vec![ThreadResponse::default(); threads.len()];
        thread_responses(&self.context(server, response), threads, &mut results);
        results
    }

    /// The response of a server's only thread, where each of its jobs finds the budget whole.
    pub(crate) fn in_step(&self, server: usize, response: Option<Duration>) -> Option<Duration> {
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
