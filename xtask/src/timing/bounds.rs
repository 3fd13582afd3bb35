//! Measured responses against the analysis's bounds.
use crate::error::{Context, Error, Result};
use std::fmt;
use tern_config::System;
use tern_config::description::Costs;
use tern_trace::{Event, Trace};
use trace_viewer::check;

/// One thread's worst response beside its bound, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// SANDBOX.THREAD.
    pub name: String,
    /// From the instant of a release to the record of its completion, at most.
    pub measured: u64,
    /// What the analysis says; `None` if it has no bound.
    pub bound: Option<u64>,
}

impl Response {
    /// Whether the bound holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.bound.is_some_and(|bound| self.measured <= bound)
    }

    /// Bound over measured, in hundredths, rounded up.
    #[must_use]
    pub fn tightness(&self) -> Option<u64> {
        let bound = self.bound?;
        Some((bound * 100).div_ceil(self.measured.max(1)))
    }
}

impl fmt::Display for Response {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, measured, .. } = self;
        write!(out, "{name:<32}{measured:>12} ns")?;
        match (self.bound, self.tightness()) {
            (Some(bound), Some(tightness)) => {
                let (whole, rest) = (tightness / 100, tightness % 100);
                write!(out, "{bound:>12} ns  {whole}.{rest:02}")?;
            }
            _ => write!(out, "    no bound")?,
        }
        match self.holds() {
            true => Ok(()),
            false => write!(out, "  EXCEEDED"),
        }
    }
}

/// The worst response of every thread that completed a job in `trace`, with the bound
/// that the analysis gives on a platform with `costs`.
///
/// # Errors
/// If the trace cannot be decoded, or a job was not completed in time.
pub fn responses(system: &System, trace: &Trace, costs: &Costs) -> Result<Vec<Response>> {
    let report = check::check(system, &check::cost_table(costs));
    let mut found = Vec::new();
    for ((sandbox, core), bounds) in system
        .sandboxes
        .iter()
        .zip(&trace.cores)
        .zip(report.sandboxes)
    {
        let threads: Vec<_> = sandbox.threads().map(|(_, _, thread)| thread).collect();
        let bounds = bounds.servers.into_iter().flat_map(|server| server.threads);
        let least = |it: check::ThreadReport| it.tighter.or(it.response).map(|r| r.as_nanos());
        let bounds: Vec<_> = bounds.map(least).collect();
        let mut worst = vec![None; threads.len()];
        for event in core.events() {
            let (tsc, event) = event.context(|| format!("the trace of {}", sandbox.name))?;
            let (number, job) = match event {
                Event::Complete { thread, job } => (usize::from(thread), job),
                Event::Miss { thread, job } => {
                    let name = &sandbox.name;
                    let line = format!("{name}: job {job} of thread {thread} was late");
                    return Err(Error::failure(line));
                }
                _ => continue,
            };
            let Some(thread) = threads.get(number) else {
                continue;
            };
            let ticks = tsc.saturating_sub(trace.epoch_tsc);
            let completed = trace.tsc.to_duration(ticks).as_nanos();
            let response = completed.saturating_sub(thread.offset + u64::from(job) * thread.period);
            worst[number] = worst[number].max(Some(response));
        }
        for ((thread, worst), bound) in threads.iter().zip(worst).zip(bounds) {
            if let Some(measured) = worst {
                let name = format!("{}.{}", sandbox.name, thread.name);
                found.push(Response {
                    name,
                    measured,
                    bound,
                });
            }
        }
    }
    Ok(found)
}

/// The median of the tightnesses, in hundredths; `None` without bounds.
#[must_use]
pub fn median_tightness(responses: &[Response]) -> Option<u64> {
    let mut all: Vec<u64> = responses.iter().filter_map(Response::tightness).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(measured: u64, bound: Option<u64>) -> Response {
        Response {
            name: "alpha.fast".into(),
            measured,
            bound,
        }
    }

    #[test]
    fn a_response_above_its_bound_or_without_one_does_not_hold() {
        assert!(response(100, Some(100)).holds());
        assert!(!response(101, Some(100)).holds());
        assert!(!response(1, None).holds());
    }

    #[test]
    fn tightness_is_the_bound_over_the_measured() {
        assert_eq!(response(100, Some(130)).tightness(), Some(130));
        assert_eq!(response(3, Some(4)).tightness(), Some(134));
        let three = [(100, 110), (100, 120), (100, 500)];
        let three = three.map(|(measured, bound)| response(measured, Some(bound)));
        assert_eq!(median_tightness(&three), Some(120));
        assert_eq!(median_tightness(&[]), None);
    }
}
