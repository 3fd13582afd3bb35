//! What the analysis promises of a system, in the form that its traces carry: computed once, when
//! its image is made, so that no reader of a trace computes it again or otherwise.
use tern_config::System;
use tern_sched::analysis::CostTable;
use tern_trace::{Platform, Promises, RepairPromise, SandboxPromises};
use tern_units::Duration;

/// The promises of a validated system on a platform of that name and these costs. Without any
/// costs the bounds are said to be without.
#[must_use]
pub fn promises(system: &System, platform: &str, costs: &CostTable) -> Promises {
    let report = crate::check(system, costs);
    let sandboxes = report.sandboxes.iter().map(|sandbox| {
        let servers = sandbox.servers.iter();
        let threads = servers.clone().flat_map(|server| &server.threads);
        SandboxPromises {
            servers: servers.map(|server| server.response).collect(),
            threads: threads.map(|thread| thread.response).collect(),
        }
    });
    let repairs = system.replica_sets.iter().map(|set| {
        let report = report.recovery.iter().find(|it| it.set == set.name);
        report.map_or_else(RepairPromise::default, |report| {
            let bound = report.bound.as_ref().ok();
            RepairPromise {
                pages: u32::try_from(report.pages).unwrap_or(u32::MAX),
                bound: bound.map(|bound| bound.time),
                bound_for_all: report.all.as_ref().map(|(_, bound)| bound.time),
                epochs_apart: bound
                    .map_or(0, |bound| u32::try_from(bound.apart).unwrap_or(u32::MAX)),
            }
        })
    });
    Promises {
        platform: (*costs != CostTable::NONE).then(|| Platform {
            name: platform.to_string(),
            costs: named(costs),
        }),
        sandboxes: sandboxes.collect(),
        repairs: repairs.collect(),
    }
}

/// The entries of a cost table, by the names that they have in its file.
fn named(costs: &CostTable) -> Vec<(String, Duration)> {
    let CostTable {
        context_switch,
        timer_interrupt,
        replenishment,
        system_call,
        hypercall,
        page_hash,
        page_copy,
        page_repair,
        trace_record,
        longest_non_preemptible,
    } = *costs;
    [
        ("context_switch", context_switch),
        ("timer_interrupt", timer_interrupt),
        ("replenishment", replenishment),
        ("system_call", system_call),
        ("hypercall", hypercall),
        ("page_hash", page_hash),
        ("page_copy", page_copy),
        ("page_repair", page_repair),
        ("trace_record", trace_record),
        ("longest_non_preemptible", longest_non_preemptible),
    ]
    .map(|(name, cost)| (name.to_string(), cost))
    .into()
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
        let promises = promises(&system(), "none", &CostTable::NONE);
        assert_eq!(promises.platform, None);
        let [sandbox] = &promises.sandboxes[..] else {
            panic!("one sandbox")
        };
        assert_eq!((sandbox.servers.len(), sandbox.threads.len()), (3, 3));
        for (bound, within) in sandbox.threads.iter().zip([1..=4, 2..=5, 4..=6]) {
            let bound = bound.map(Duration::as_nanos);
            assert!(
                bound.is_some_and(|bound| within.contains(&bound)),
                "{bound:?}"
            );
        }
    }

    #[test]
    fn costs_are_carried_under_their_names_where_the_bounds_count_any() {
        let costs = CostTable {
            longest_non_preemptible: Duration::from_nanos(7),
            ..CostTable::NONE
        };
        let promises = promises(&system(), "here", &costs);
        assert_eq!(
            promises.platform.as_ref().map(|it| it.name.as_str()),
            Some("here")
        );
        let cost = |name: &str| promises.cost(name).map(Duration::as_nanos);
        assert_eq!(cost("longest_non_preemptible"), Some(7));
        assert_eq!(cost("timer_interrupt"), Some(0));
        assert_eq!(cost("nothing"), None);
    }
}
