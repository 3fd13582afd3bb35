//! A core as the analysis sees it: the models of its servers and threads.
use tern_config::{Runs, Server, ServerKind, System, Thread, Voting};
use tern_sched::analysis::{
    CostTable, Raised, ServerContext, ServerModel, ServerResponse, Steps, ThreadModel,
    ThreadResponse, Waking, is_in_step, note_raised, periods_behind, server_response_in,
    server_responses, thread_response,
};
use tern_units::Duration;

use crate::wakings::{Wakings, voting};

/// The rounds after which servers whose activations and lateness depend on each other are taken
/// to have no bound.
const MOST_ROUNDS: u32 = 4;

/// A core as the analysis sees it: servers in order of priority, each with its threads.
#[derive(Clone, Debug)]
pub(crate) struct Core<'a> {
    pub(crate) servers: Vec<ServerModel>,
    pub(crate) threads: Vec<Vec<ThreadModel>>,
    /// What wakes each server.
    wakings: Vec<Wakings>,
    costs: &'a CostTable,
}

impl<'a> Core<'a> {
    /// The core of a sandbox, and for each server of the description its position here.
    pub(crate) fn new(system: &System, sandbox: usize, costs: &'a CostTable) -> (Self, Vec<usize>) {
        let all = &system.sandboxes[sandbox].servers;
        let positions: Vec<usize> = all.iter().map(|it| it.priority as usize).collect();
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by_key(|index| positions[*index]);

        let raised = |index: usize| {
            let requesters = system.requesters(sandbox, index);
            let to = requesters.map(|requester| positions[requester]).min();
            let to = to.filter(|to| *to < positions[index])?;
            Some(Raised { to, late: None })
        };
        let mut servers: Vec<_> = order
            .iter()
            .map(|index| ServerModel {
                raised: raised(*index),
                ..server_model(&all[*index])
            })
            .collect();
        // A release may find an idle core in the handler of a doorbell, as one that others hold up
        // finds it in a section of theirs.
        if let Some(lowest) = servers.last_mut()
            && rings_at(system, sandbox)
        {
            let section = costs.longest_non_preemptible;
            lowest.blocking = lowest.blocking.saturating_add(section);
        }
        let threads = order.iter().map(|index| {
            let threads = all[*index].threads.iter();
            threads.map(|it| thread_model(system, it)).collect()
        });
        let mut core = Self {
            servers,
            threads: threads.collect(),
            wakings: order
                .iter()
                .map(|i| Wakings::of(system, &all[*i]))
                .collect(),
            costs,
        };
        core.settle();
        (core, positions)
    }

    /// Brings what depends on other servers up to date: how often each becomes active, and how
    /// late those are that may be raised. To be called after each change of a server.
    ///
    /// A server that may wait for its budget becomes active more often the later it is, and that
    /// makes others later. So the least numbers that explain themselves are searched for.
    pub(crate) fn settle(&mut self) {
        for server in &mut self.servers {
            server.activations = 1;
        }
        note_raised(&mut self.servers, self.costs);
        if self.costs.activation().is_zero() {
            return;
        }
        for round in 0..=MOST_ROUNDS {
            let responses: Vec<_> = server_responses(&self.servers, self.costs).collect();
            let mut stands = true;
            for position in self.in_order_of_activations() {
                let count = self.activations(position, responses[position].response);
                let server = &mut self.servers[position];
                if count > server.activations {
                    server.activations = match round < MOST_ROUNDS {
                        true => count,
                        false => u32::MAX,
                    };
                    stands = false;
                }
            }
            note_raised(&mut self.servers, self.costs);
            if stands {
                return;
            }
        }
    }

    /// The positions of the servers, each after those on which its activations depend most: I/O
    /// servers, which may interfere from below, and else those above it.
    fn in_order_of_activations(&self) -> impl Iterator<Item = usize> + use<> {
        let is_io = |position: &usize| {
            let kind = self.servers[*position].kind;
            kind == tern_sched::ServerKind::Io
        };
        let (io, others): (Vec<_>, Vec<_>) = (0..self.servers.len()).partition(is_io);
        io.into_iter().chain(others)
    }

    /// How often a server becomes active in a period, by what is known of the others.
    fn activations(&self, position: usize, response: Option<Duration>) -> u32 {
        let wakings = &self.wakings[position];
        wakings.activations(self.servers[position].kind, |wakings| {
            self.periods_behind(position, response, wakings)
        })
    }

    /// For how many periods a server with this response time hands on budget at most.
    pub(crate) fn periods_behind(
        &self,
        position: usize,
        response: Option<Duration>,
        wakings: &[Waking],
    ) -> Option<u64> {
        let own = &self.servers[position];
        let threads = &self.threads[position];
        // Each job finds all of the budget in one piece.
        if is_in_step(&self.servers, position, threads, self.costs) {
            return Some(1);
        }
        let supply = self.context(position, response).supply()?;
        let late = response?.saturating_sub(own.budget);
        periods_behind(wakings, supply, own.budget, late)
    }

    pub(crate) fn costs(&self) -> &'a CostTable {
        self.costs
    }

    /// The response of one server, in so many steps at most.
    pub(crate) fn response(&self, server: usize, steps: &mut Steps) -> ServerResponse {
        let own = &self.servers[server];
        server_response_in(&self.servers, server, own, self.costs, steps)
    }

    pub(crate) fn context(&self, server: usize, response: Option<Duration>) -> ServerContext<'_> {
        ServerContext {
            servers: &self.servers,
            index: server,
            response,
            costs: self.costs,
        }
    }

    /// The response of one thread, in so many steps at most.
    pub(crate) fn thread_response(
        &self,
        server: usize,
        thread: usize,
        steps: &mut Steps,
    ) -> ThreadResponse {
        let response = self.response(server, steps).response;
        let context = self.context(server, response);
        thread_response(&context, &self.threads[server], thread, steps)
    }
}

/// Returns whether doorbells ring at a sandbox.
fn rings_at(system: &System, sandbox: usize) -> bool {
    let mut channels = system.channels.iter();
    channels.any(|it| it.doorbell.is_some() && it.readers.contains(&(sandbox as u32)))
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
        activations: 1,
        raised: None,
    }
}

fn thread_model(system: &System, thread: &Thread) -> ThreadModel {
    let nanos = Duration::from_nanos;
    let (wcet, period) = jobs(thread).unwrap_or((thread.wcet, thread.period));
    let wakes = match thread.runs {
        Runs::Replica(set) => match voting(system, set) {
            Some(Voting::Unprotected) => 1,
            // At the release and at the verdict.
            Some(Voting::Arbitrator { .. } | Voting::Distributed | Voting::Lockstep { .. })
            | None => 2,
        },
        Runs::Voter(set) => match voting(system, set) {
            Some(Voting::Arbitrator { .. } | Voting::Unprotected) | None => 1,
            // When ballots are due, and when verdicts are.
            Some(Voting::Distributed | Voting::Lockstep { .. }) => 2,
        },
        Runs::Nothing | Runs::Program { .. } | Runs::Driver(_) => 1,
    };
    ThreadModel {
        wakes,
        ..ThreadModel::periodic(nanos(wcet), nanos(period))
    }
}

/// The longest of a thread's explicit jobs, and the shortest time from one to the next; those
/// released at the same instant are one. Whatever its `wcet` and `period` say.
fn jobs(thread: &Thread) -> Option<(u64, u64)> {
    let mut jobs: Vec<(u64, u64)> = Vec::new();
    for job in &thread.jobs {
        match jobs.last_mut() {
            Some((at, work)) if *at == job.at => *work = work.saturating_add(job.work),
            _ => jobs.push((job.at, job.work)),
        }
    }
    let longest = jobs.iter().map(|(_, work)| *work).max()?;
    let distances = jobs
        .windows(2)
        .map(|pair| pair[1].0.saturating_sub(pair[0].0));
    let shortest = distances.min().unwrap_or(thread.period);
    Some((
        longest.max(thread.wcet),
        shortest.min(thread.period.max(1)).max(1),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_config::Job;

    /// Found by a search: a doorbell's handler that had begun on an idle core delayed a release of
    /// the lowest server. For servers above it a section of those below is counted already.
    #[test]
    fn a_doorbell_may_be_in_the_way_of_the_lowest_server() {
        let server = |priority| Server {
            budget: 10,
            period: 100,
            priority,
            ..Server::default()
        };
        let mut system = System {
            sandboxes: vec![tern_config::Sandbox {
                servers: vec![server(0), server(1)],
                ..tern_config::Sandbox::default()
            }],
            ..System::default()
        };
        let costs = CostTable {
            longest_non_preemptible: Duration::from_nanos(3),
            ..CostTable::NONE
        };
        let blocking = |system: &System| {
            let (core, _) = Core::new(system, 0, &costs);
            let servers = core.servers.iter();
            servers.map(|it| it.blocking.as_nanos()).collect::<Vec<_>>()
        };
        let channel = tern_config::Channel {
            readers: vec![0],
            ..tern_config::Channel::default()
        };
        system.channels.push(channel.clone());
        assert_eq!(blocking(&system), [0, 0], "a silent one rings nobody");
        system.channels.push(tern_config::Channel {
            doorbell: Some(1_000),
            ..channel
        });
        assert_eq!(blocking(&system), [0, 3]);
        system.channels[1].readers = vec![1];
        assert_eq!(blocking(&system), [0, 0], "it rings elsewhere");
    }

    /// Whatever its jobs do: so a server whose budget is always enough for what is promised counts
    /// with the pieces of its list, too.
    #[test]
    fn each_thing_that_a_thread_runs_activates_its_server() {
        let costs = CostTable {
            context_switch: Duration::from_nanos(1),
            ..CostTable::NONE
        };
        let activations = |period, jitter, runs| {
            let server = Server {
                budget: 1_000,
                period: 10_000,
                jitter,
                threads: vec![Thread {
                    wcet: 10,
                    period,
                    runs,
                    ..Thread::default()
                }],
                ..Server::default()
            };
            let system = System {
                sandboxes: vec![tern_config::Sandbox {
                    servers: vec![server],
                    ..tern_config::Sandbox::default()
                }],
                ..System::default()
            };
            let (core, _) = Core::new(&system, 0, &costs);
            core.servers[0].activations
        };
        // By the clock: at one instant modulo the period, at two, or at any.
        assert_eq!(activations(20_000, 0, Runs::Nothing), 1);
        assert_eq!(activations(15_000, 0, Runs::Nothing), 2);
        assert_eq!(activations(15_001, 0, Runs::Nothing), 1 + 3);
        assert_eq!(activations(20_000, 0, Runs::Voter(0)), 1);
        // Releases that may be late, and interrupts, come at any instant.
        assert_eq!(activations(20_000, 1, Runs::Nothing), 1 + 3);
        assert_eq!(activations(20_000, 0, Runs::Driver(0)), 1 + 3);
        // Release, verdict, seven looks for the voter and seven in a repair: and all as pieces.
        assert_eq!(activations(10_000, 0, Runs::Replica(0)), 16 + 18);
    }

    #[test]
    fn the_jobs_of_a_thread_count_as_they_are_whatever_else_it_says() {
        let at = |at, work| Job { at, work };
        let thread = |list: &[Job]| Thread {
            wcet: 2,
            period: 50,
            jobs: list.to_vec(),
            ..Thread::default()
        };
        assert_eq!(jobs(&thread(&[])), None);
        assert_eq!(jobs(&thread(&[at(7, 3)])), Some((3, 50)), "only one");
        assert_eq!(
            jobs(&thread(&[at(0, 1), at(20, 9), at(90, 1)])),
            Some((9, 20))
        );
        // Three at once are one of their sum.
        let burst = [at(0, 4), at(5, 3), at(5, 3), at(5, 3), at(40, 1)];
        assert_eq!(jobs(&thread(&burst)), Some((9, 5)));
    }
}
