//! Exits to the hypervisor: in all, and in the steady state between the first and the
//! last epoch, where there should be none.
//!
//! The totals are the hypervisor's own counts at the end of the run. The kernel reads
//! those counts as it starts and then in each epoch, and records what was added: a
//! reading before the sandbox's first release (or the time epoch) belongs to the start,
//! one up to the last ballot, vote or input of any sandbox to the steady state.
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

#[derive(Clone, Debug, Default)]
pub(super) struct ExitLog {
    /// Time, reason, how many, and whether a job had been released before.
    readings: Vec<(i64, usize, u64, bool)>,
    released: bool,
}

impl ExitLog {
    pub(super) fn event(&mut self, at: i64, event: Event) {
        match event {
            Event::Release { .. } => self.released = true,
            Event::Exit { reason, count } => {
                self.readings
                    .push((at, reason.into(), count.into(), self.released));
            }
            _ => {}
        }
    }

    pub(super) fn summarize(&self, trace: &Trace, core: &Core, last_epoch: Option<i64>) -> Exits {
        let is_steady = |at: i64, released: bool| {
            released && at > 0 && last_epoch.is_none_or(|last_epoch| at <= last_epoch)
        };
        let reasons = self
            .readings
            .iter()
            .map(|&(_, reason, ..)| reason + 1)
            .max()
            .unwrap_or(0);
        let recorded = !self.readings.is_empty();
        let by_reason: Vec<_> = (0..reasons.max(core.exits.len()))
            .map(|number| {
                let readings = self.readings.iter().filter(|reading| reading.1 == number);
                let (mut sum, mut steady) = (0, 0);
                for &(at, _, count, released) in readings {
                    sum += count;
                    steady += if is_steady(at, released) { count } else { 0 };
                }
                let total = core.exits.get(number).copied().unwrap_or(0).max(sum);
                ExitCount {
                    reason: trace.exit_reason(number),
                    total,
                    steady: (recorded || total == 0).then_some(steady),
                }
            })
            .filter(|count| count.total > 0)
            .collect();
        Exits {
            total: by_reason.iter().map(|count| count.total).sum(),
            steady: by_reason.iter().map(|count| count.steady).sum(),
            by_reason,
        }
    }
}
