//! The analysis on numbers that are known: the examples that the scheduling rules come
//! with, and tables computed by hand.
use tern_sched::analysis::{CostTable, ServerModel, server_responses};
use tern_units::Duration;

mod across;
mod admission;
mod recovery;
mod servers;
mod supply;
mod threads;

fn span(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

fn sporadic(budget: u64, period: u64) -> ServerModel {
    ServerModel::sporadic(span(budget), span(period))
}

fn responses(servers: &[ServerModel], costs: &CostTable) -> Vec<Option<u64>> {
    server_responses(servers, costs)
        .map(|it| it.response.map(Duration::as_nanos))
        .collect()
}
