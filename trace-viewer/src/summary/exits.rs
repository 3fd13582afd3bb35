//! Exits to the hypervisor: in all, and in the steady state between the first and the
//! last epoch, where there should be none.
//!
//! The totals are the hypervisor's own counts at the end of the run. The kernel reads
//! those counts as it starts and then in each epoch, and records what was added. The
//! first reading counts everything since boot, so the steady state begins there; it
//! ends with the last ballot, vote or input of any sandbox.
use std::collections::BTreeMap;

use serde::Serialize;
use tern_trace::{Core, Event, Trace};

/// Exits of one sandbox.
#[derive(Clone, Debug, Serialize)]
pub struct Exits {
    /// In all.
    pub total: u64,
    /// Between the first and the last epoch; `None` if the kernel recorded no reading,
    /// though there were exits.
    pub steady: Option<u64>,
    /// When the first reading was taken, from which on the steady state is known.
    pub steady_from_ns: Option<i64>,
    /// By reason, for the reasons that occurred.
    pub by_reason: Vec<ExitCount>,
}

/// Exits for one reason.
#[derive(Clone, Debug, Serialize)]
pub struct ExitCount {
    /// The reason.
    pub reason: String,
    /// In all.
    pub total: u64,
    /// Between the first and the last epoch.
    pub steady: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: i64,
    reason: usize,
    count: u64,
    /// Whether it belongs to the start: it is among the first, with nothing between.
    first: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ExitLog {
    readings: Vec<Reading>,
    first_is_over: bool,
}

impl ExitLog {
    pub(super) fn event(&mut self, at: i64, event: Event) {
        if let Event::Exit { reason, count } = event {
            let first = !self.first_is_over;
            self.readings.push(Reading {
                at,
                reason: reason.into(),
                count: count.into(),
                first,
            });
        } else if !self.readings.is_empty() && at > 0 {
            self.first_is_over = true;
        }
    }

    pub(super) fn summarize(&self, trace: &Trace, core: &Core, last_epoch: Option<i64>) -> Exits {
        let is_steady = |reading: &Reading| {
            !reading.first && last_epoch.is_none_or(|last_epoch| reading.at <= last_epoch)
        };
        let recorded = !self.readings.is_empty();
        // By reason: in all by the hypervisor's count, by the readings, and of these steady.
        let mut counts: BTreeMap<usize, [u64; 3]> = BTreeMap::new();
        for (reason, &total) in core.exits.iter().enumerate() {
            counts.entry(reason).or_default()[0] = total;
        }
        for reading in &self.readings {
            let [_, read, steady] = counts.entry(reading.reason).or_default();
            *read += reading.count;
            *steady += if is_steady(reading) { reading.count } else { 0 };
        }
        let by_reason: Vec<_> = counts
            .into_iter()
            .map(|(reason, [total, read, steady])| (reason, total.max(read), steady))
            .filter(|&(_, total, _)| total > 0)
            .map(|(reason, total, steady)| ExitCount {
                reason: trace.exit_reason(reason),
                total,
                steady: recorded.then_some(steady),
            })
            .collect();
        Exits {
            total: by_reason
                .iter()
                .fold(0, |sum, count| sum.saturating_add(count.total)),
            steady: by_reason.iter().map(|count| count.steady).sum(),
            steady_from_ns: self.readings.first().map(|reading| reading.at),
            by_reason,
        }
    }
}
