//! What a system description promises: whether every deadline holds, by analysis of the servers
//! and threads that it gives to the kernel, and which change helps where one does not.
#![forbid(unsafe_code)]

use tern_config::System;
use tern_sched::analysis::CostTable;
use tern_units::Duration;

mod advice;

mod core;
mod promises;
mod recovery;
mod report;
mod room;
mod sandbox;
mod wakings;

pub use promises::promises;
pub use recovery::RecoveryReport;
pub use report::{Failure, Report, SandboxReport, ServerReport, ThreadReport};
pub use room::give_room;

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
    let sandbox = |index| sandbox::sandbox_report(system, index, costs, advise);
    Report {
        system: system.name.clone(),
        platform: system.platform.clone(),
        sandboxes: sandboxes.map(sandbox).collect(),
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
