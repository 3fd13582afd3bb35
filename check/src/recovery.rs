//! How long the repair of a replica may take, before it is ever needed.
use tern_config::layout::{REPAIR_LOOKS, REPAIR_SLOTS};
use tern_config::{LeafAlgorithm, ReplicaSet, System, Voting};
use tern_sched::analysis::{
    CostTable, Repair, RepairBound, RepairObstacle, RepairPlace, repair_bound,
};
use tern_units::Duration;

use crate::core::Core;

/// A page hash is more than what so many leaves add to a summary: two words each, mixed.
const LEAVES_IN_A_HASH: u64 = 256;

/// The bounds on repairs of a replica set.
#[derive(Clone, Debug)]
pub struct RecoveryReport {
    /// Its name.
    pub set: String,
    /// Pages that a fault may damage, by the description.
    pub pages: u64,
    /// From the verdict's deadline to the last page in place; or why there is no bound.
    pub bound: Result<RepairBound, String>,
    /// The program's pages, and the bound if all of them differ, where there is one.
    pub all: Option<(u64, RepairBound)>,
}

/// The bounds of every voted set that repairs its replicas, or has checkpoints of them.
pub(crate) fn bounds(system: &System, costs: &CostTable) -> Vec<RecoveryReport> {
    let sets = system.replica_sets.iter();
    let recovers = |set: &&ReplicaSet| set.repairs() || set.voting.keeps_checkpoints();
    sets.filter(|set| set.voting.has_verdicts() && recovers(set))
        .map(|set| {
            let all = set.assumed_pages();
            let pages = u64::from(set.repair_pages).min(all);
            let of_all = bound(system, set, all, costs).ok();
            RecoveryReport {
                set: set.name.clone(),
                pages,
                bound: bound(system, set, pages, costs),
                all: of_all.map(|bound| (all, bound)),
            }
        })
        .collect()
}

/// Any replica may be donor, witness or target.
fn bound(
    system: &System,
    set: &ReplicaSet,
    pages: u64,
    costs: &CostTable,
) -> Result<RepairBound, String> {
    let nanos = Duration::from_nanos;
    let leaves = match set.leaf {
        LeafAlgorithm::Ahash => 0,
        // The target hashes what came, and what it has put in place.
        LeafAlgorithm::Sha256 => 2,
    };
    let turns = match set.voting {
        Voting::Arbitrator { .. } | Voting::Distributed | Voting::Unprotected => 1,
        // The giver confirms all pages before it gives them, which together is less than what the
        // taker does, and only then are they taken. To keep a page in the checkpoint, or to put it
        // back, is part of that.
        Voting::Lockstep { .. } => 2,
    };
    let repair = Repair {
        pages,
        page: costs
            .page_repair
            .saturating_add(costs.page_hash.saturating_mul(leaves))
            .saturating_mul(turns),
        // Some twenty words are read and hashed: fewer than a page has.
        look: costs.page_hash,
        last: costs
            .page_hash
            .saturating_mul(set.assumed_pages().div_ceil(LEAVES_IN_A_HASH)),
        slots: REPAIR_SLOTS,
        window: nanos(set.period.saturating_sub(set.verdict_deadline)),
        looks: REPAIR_LOOKS,
        epoch: nanos(set.period),
    };
    let cores: Vec<_> = set
        .replicas
        .iter()
        .map(|place| {
            let (core, positions) = Core::new(system, place.sandbox as usize, costs);
            (core, positions[place.server as usize])
        })
        .collect();
    let named = |index: usize, obstacle: &dyn std::fmt::Display| {
        let place = &set.replicas[index];
        let sandbox = &system.sandboxes[place.sandbox as usize];
        let server = &sandbox.servers[place.server as usize];
        format!(
            "server \"{}\" of sandbox \"{}\": {obstacle}",
            server.name, sandbox.name
        )
    };
    if let Some(shared) = cores
        .iter()
        .position(|(core, at)| core.threads[*at].len() > 1)
    {
        return Err(named(shared, &RepairObstacle::Server(shared)));
    }
    let places: Vec<_> = cores
        .iter()
        .map(|(core, at)| RepairPlace {
            context: core.context(*at, None),
            wcet: core.threads[*at][0].wcet,
        })
        .collect();
    repair_bound(&repair, &places).map_err(|obstacle| match obstacle {
        RepairObstacle::Server(place) | RepairObstacle::Budget { place, .. } => {
            named(place, &obstacle)
        }
        RepairObstacle::Window { .. } | RepairObstacle::Pages => obstacle.to_string(),
    })
}
