//! How long the repair of a replica may take, before it is ever needed.
use tern_config::{ReplicaSet, System, ThreadRef, Voting};
use tern_sched::analysis::{Copying, CostTable, RecoveryBound, Supply, recovery_epochs};
use tern_units::Duration;

/// The bound on repairs of a replica set.
#[derive(Clone, Debug)]
pub struct RecoveryReport {
    /// Its name.
    pub set: String,
    /// Pages assumed to differ: all of the program's.
    pub pages: u64,
    /// From the verdict to the release at which the replica is whole again; or why there
    /// is no bound.
    pub bound: Result<RecoveryBound, String>,
}

/// The bound of every voted set.
pub(super) fn bounds(system: &System, costs: &CostTable) -> Vec<RecoveryReport> {
    let sets = system.replica_sets.iter();
    sets.filter(|set| set.voting == Voting::Arbitrator)
        .map(|set| {
            let pages = set.assumed_pages();
            RecoveryReport {
                set: set.name.clone(),
                pages,
                bound: bound(system, set, pages, costs),
            }
        })
        .collect()
}

/// Repairs run between the verdict and the next release, on what is left of the
/// replicas' budgets by then. Any replica may be donor or target: the least supply of
/// all counts. Every page may differ, and every job may write every page.
fn bound(
    system: &System,
    set: &ReplicaSet,
    pages: u64,
    costs: &CostTable,
) -> Result<RecoveryBound, String> {
    let window = Duration::from_nanos(set.period.saturating_sub(set.verdict_deadline));
    let mut least: Option<Supply> = None;
    for place in &set.replicas {
        let Some(supply) = left_over(system, place) else {
            let sandbox = &system.sandboxes[place.sandbox as usize];
            return Err(format!(
                "server \"{}\" of sandbox \"{}\" needs its whole budget for its job: give it more",
                sandbox.servers[place.server as usize].name, sandbox.name
            ));
        };
        // The one with the least budget; the period is the set's, or about that.
        least = match least {
            Some(other) if other.budget() <= supply.budget() => Some(other),
            _ => Some(supply),
        };
    }
    let supply = least.ok_or("it has no replicas")?;
    let cost = costs
        .page_copy
        .saturating_add(costs.page_hash.saturating_mul(2));
    let copying = Copying {
        pages,
        total: pages,
        donor: supply,
        target: supply,
        donor_cost: cost,
        target_cost: cost,
        latency: Duration::ZERO,
        dirtied: pages,
        period: Duration::from_nanos(set.period),
    };
    recovery_epochs(&copying, window).map_err(|obstacle| obstacle.to_string())
}

/// What a replica's server has left in each period when the job is done.
fn left_over(system: &System, place: &ThreadRef) -> Option<Supply> {
    let server = &system.sandboxes[place.sandbox as usize].servers[place.server as usize];
    let used = server.threads.iter().fold(0, |sum: u64, thread| {
        let jobs = server.period.div_ceil(thread.period.max(1));
        sum.saturating_add(jobs.saturating_mul(thread.wcet))
    });
    let left = server.budget.saturating_sub(used);
    Supply::new(
        Duration::from_nanos(left),
        Duration::from_nanos(server.period),
    )
}
