//! Bounds from the analysis, to lay beside what was measured.
//!
//! A trace carries the description but not the platform's cost table, so these bounds
//! are without overheads: the measured maximum may exceed them a little where overheads
//! are not part of the threads' execution times.
use tern_config::System;
use tern_sched::analysis::CostTable;

/// For each sandbox, the bound on each thread's response in nanoseconds, in the order of
/// thread numbers; `None` where there is none. Empty for a description that the analysis
/// does not take: a trace's need not have been validated.
#[must_use]
pub fn thread_bounds(system: &System) -> Vec<Vec<Option<u64>>> {
    if !is_analysable(system) {
        return Vec::new();
    }
    let report = crate::check(system, &CostTable::NONE);
    let sandboxes = report.sandboxes.into_iter();
    sandboxes
        .map(|sandbox| {
            let threads = sandbox
                .servers
                .into_iter()
                .flat_map(|server| server.threads);
            threads
                .map(|thread| thread.response.map(|bound| bound.as_nanos()))
                .collect()
        })
        .collect()
}

/// Whether a description has what the analysis relies on without looking.
fn is_analysable(system: &System) -> bool {
    let in_range = |nanos: u64| (1..=1 << 60).contains(&nanos);
    system.references_hold()
        && system.sandboxes.iter().all(|sandbox| {
            let mut priorities: Vec<_> = sandbox.servers.iter().map(|s| s.priority).collect();
            priorities.sort_unstable();
            let distinct = (0..)
                .zip(&priorities)
                .all(|(position, &priority)| position == priority);
            let servers = sandbox.servers.iter().all(|server| {
                in_range(server.period) && (1..=server.period).contains(&server.budget)
            });
            let mut threads = sandbox.servers.iter().flat_map(|server| &server.threads);
            distinct && servers && threads.all(|t| in_range(t.period) && in_range(t.wcet))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_config::{Sandbox, Server, Thread};

    /// (1, 4) above (1, 5) above (2, 6), one thread each that uses the whole budget: the
    /// exact responses are 1, 2 and 4.
    fn system() -> System {
        let servers = [(1, 4), (1, 5), (2, 6)];
        let servers = servers
            .iter()
            .zip(0..)
            .map(|(&(budget, period), priority)| Server {
                budget,
                period,
                deadline: period,
                priority,
                threads: vec![Thread {
                    wcet: budget,
                    period,
                    deadline: period,
                    ..Thread::default()
                }],
                ..Server::default()
            });
        let sandbox = Sandbox {
            servers: servers.collect(),
            ..Sandbox::default()
        };
        System {
            sandboxes: vec![sandbox],
            ..System::default()
        }
    }

    #[test]
    fn bounds_lie_between_the_exact_responses_and_the_deadlines() {
        let bounds = thread_bounds(&system());
        assert_eq!((bounds.len(), bounds[0].len()), (1, 3));
        for (bound, within) in bounds[0].iter().zip([1..=4, 2..=5, 4..=6]) {
            assert!(
                bound.is_some_and(|bound| within.contains(&bound)),
                "{bounds:?}"
            );
        }
    }

    #[test]
    fn a_description_that_nobody_validated_has_no_bounds() {
        let change = |change: fn(&mut Server)| {
            let mut system = system();
            change(&mut system.sandboxes[0].servers[1]);
            thread_bounds(&system)
        };
        assert!(change(|server| server.priority = 7).is_empty());
        assert!(change(|server| server.period = 0).is_empty());
        assert!(change(|server| server.budget = 6).is_empty());
        assert!(change(|server| server.budget = 0).is_empty());
        assert!(change(|server| server.threads[0].period = 0).is_empty());
        assert!(change(|server| server.threads[0].period = u64::MAX).is_empty());
        assert!(!change(|_| ()).is_empty());
    }
}
