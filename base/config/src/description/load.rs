//! Loads that no core can carry. They are warnings: such systems are there to be
//! simulated, and `tern check` refuses them with more to say.
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::problem::{Places, Problem, sandbox_place, thread_place};
use super::read::show;
use crate::system::{Sandbox, ThreadRef};

/// That the servers of a sandbox ask for more than a core has, if they do.
pub(super) fn overload(places: &Places, index: usize, sandbox: &Sandbox) -> Option<Problem> {
    // Shares in units of 2^-64 of a core, rounded down: what is above one core here is
    // so in truth. Budgets are below 2^60, so nothing is lost at the top.
    const CORE: u128 = 1 << 64;
    let share = |budget: u64, period: u64| (u128::from(budget) << 64) / u128::from(period.max(1));
    let shares = sandbox
        .servers
        .iter()
        .map(|server| share(server.budget, server.period));
    let total: u128 = shares.sum();
    (total > CORE).then(|| {
        let percent = (total * 1000).div_ceil(CORE);
        let reason = format!(
            "overload: its servers ask for {}.{}% of a core",
            percent / 10,
            percent % 10
        );
        places.problem(&sandbox_place(index), "server", reason)
    })
}

/// Threads whose jobs are longer than they should be.
pub(super) fn long_jobs(places: &Places, sandbox: usize, owner: &Sandbox) -> Vec<Problem> {
    let mut warnings = Vec::new();
    for (server, thread, it) in owner.threads() {
        let place = thread_place(&ThreadRef {
            sandbox: sandbox as u32,
            server,
            thread,
        });
        let at = places.problem(&place, "wcet", String::new());
        if it.wcet > it.period && it.period > 0 && it.jobs.is_empty() {
            let (wcet, period) = (show(it.wcet), show(it.period));
            let reason = format!("{wcet} is above the period, {period}: jobs pile up");
            warnings.push(Problem {
                reason,
                ..at.clone()
            });
        }
        if it.jobs.iter().any(|job| job.work > it.wcet) {
            let reason = "a job of `jobs` is longer".to_string();
            warnings.push(Problem { reason, ..at });
        }
    }
    warnings
}
