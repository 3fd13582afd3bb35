//! Servers: how often and how long their threads ran, and what became of their budgets.
use std::collections::BTreeMap;

use serde::Serialize;
use tern_trace::Event;

use crate::layout::CoreLayout;

/// One server's share of its core. Times are nanoseconds.
#[derive(Clone, Debug, Serialize)]
pub struct ServerSummary {
    /// Its name.
    pub server: String,
    /// Budget C.
    pub budget_ns: u64,
    /// Period T.
    pub period_ns: u64,
    /// How often the core turned to it.
    pub runs: u64,
    /// How long its threads ran.
    pub busy_ns: u64,
    /// That time in thousandths of a budget for each period begun since the epoch.
    pub budget_use_per_mille: u64,
    /// How often its budget was exhausted.
    pub exhaustions: u64,
    /// How often it ran on after its budget was used up, until a late timer fired.
    pub overruns: u64,
    /// The longest of these.
    pub overrun_ns: u64,
    /// Replenishments posted.
    pub posted: u64,
    /// Their sum.
    pub posted_ns: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    runs: u64,
    busy: i64,
    exhaustions: u64,
    posted: u64,
    posted_nanos: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ServerLog {
    servers: BTreeMap<usize, Totals>,
    /// The server that runs, and since when.
    running: Option<(usize, i64)>,
}

impl ServerLog {
    pub(super) fn event(&mut self, at: i64, event: Event, layout: &CoreLayout) {
        match event {
            Event::Switch { thread } => {
                let next = thread.and_then(|thread| layout.server_of(thread));
                if self.running.map(|(server, _)| server) != next {
                    self.stop(at);
                    if let Some(server) = next {
                        self.of(server).runs += 1;
                        self.running = Some((server, at));
                    }
                }
            }
            Event::Exhaust { server, .. } => self.of(server.into()).exhaustions += 1,
            _ => {}
        }
        if let Some((server, amount, _)) = event.posted() {
            let totals = self.of(server.into());
            totals.posted += 1;
            totals.posted_nanos += amount.as_nanos();
        }
    }

    fn of(&mut self, server: usize) -> &mut Totals {
        self.servers.entry(server).or_default()
    }

    fn stop(&mut self, at: i64) {
        if let Some((server, since)) = self.running.take() {
            let totals = self.of(server);
            totals.busy = totals.busy.saturating_add((at - since).max(0));
        }
    }

    pub(super) fn summarize(mut self, layout: &CoreLayout, end: i64) -> Vec<ServerSummary> {
        self.stop(end);
        for server in 0..layout.servers.len() {
            self.of(server);
        }
        let since_epoch = end.max(0).cast_unsigned();
        self.servers
            .iter()
            .map(|(&number, totals)| {
                let (budget, period) = layout
                    .servers
                    .get(number)
                    .map_or((0, 0), |server| (server.budget, server.period));
                let busy = totals.busy.unsigned_abs();
                // busy / (C × ⌈span / T⌉)
                let periods = since_epoch.div_ceil(period.max(1));
                let possible = u128::from(budget) * u128::from(periods);
                let used = u128::from(busy) * 1_000;
                ServerSummary {
                    server: layout.server_name(number as u16),
                    budget_ns: budget,
                    period_ns: period,
                    runs: totals.runs,
                    busy_ns: busy,
                    budget_use_per_mille: used
                        .checked_div(possible)
                        .unwrap_or(0)
                        .min(u64::MAX.into()) as u64,
                    exhaustions: totals.exhaustions,
                    overruns: 0,
                    overrun_ns: 0,
                    posted: totals.posted,
                    posted_ns: totals.posted_nanos,
                }
            })
            .collect()
    }
}
