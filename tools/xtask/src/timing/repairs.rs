//! Measured repairs of replicas against the analysis's bound.
use super::bounds::Response;
use super::paths::events;
use crate::error::Result;
use std::collections::BTreeMap;
use tern_check::RecoveryReport;
use tern_config::description::Costs;
use tern_config::{ReplicaSet, System};
use tern_trace::{Event, RepairResult, Trace};

/// A repair, of one round or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Repair {
    /// Position of the target among the set's replicas.
    target: usize,
    /// The epochs of its first verdict and of its end.
    epochs: (u64, u64),
    /// Pages that differed at first.
    pages: u64,
    /// From the first verdict's deadline to the end of the last round, in nanoseconds.
    time: u64,
}

/// The longest repair of each replica, beside the bound that the analysis gives on a platform
/// with `costs`: none where one is not covered by it, of more pages or too soon after another.
///
/// # Errors
/// If the trace cannot be decoded.
pub fn responses(system: &System, trace: &Trace, costs: &Costs) -> Result<Vec<Response>> {
    let report = tern_check::check(system, &tern_check::cost_table(costs));
    let mut found = Vec::new();
    for (number, set) in (0..).zip(&system.replica_sets) {
        let bound = report.recovery.iter().find(|bound| bound.set == set.name);
        for (target, worst) in judged(&of_set(number, set, trace)?, bound) {
            let place = &set.replicas[target];
            let sandbox = &system.sandboxes[place.sandbox as usize];
            found.push(Response {
                name: format!("{}.{} repaired", sandbox.name, set.name),
                ..worst
            });
        }
    }
    Ok(found)
}

/// All repairs of a set that came to their end, by epoch.
fn of_set(number: u16, description: &ReplicaSet, trace: &Trace) -> Result<Vec<Repair>> {
    let mut repairs = Vec::new();
    for (target, place) in description.replicas.iter().enumerate() {
        let mut first = None;
        for (tsc, event) in events(&trace.cores[place.sandbox as usize])? {
            let ticks = tsc.saturating_sub(trace.epoch_tsc);
            let now = trace.tsc.to_duration(ticks).as_nanos();
            let epoch = now / description.period.max(1);
            match event {
                Event::RepairStart { set, differing } if set == number => {
                    first.get_or_insert((epoch, u64::from(differing)));
                }
                Event::RepairEnd {
                    set,
                    result: RepairResult::Done,
                    ..
                } if set == number => {
                    repairs.extend(first.take().map(|(begun, pages)| {
                        let verdict = begun * description.period + description.verdict_deadline;
                        Repair {
                            target,
                            epochs: (begun, epoch),
                            pages,
                            time: now.saturating_sub(verdict),
                        }
                    }));
                }
                _ => {}
            }
        }
    }
    repairs.sort_by_key(|repair| repair.epochs);
    Ok(repairs)
}

/// The longest repair of each target. One without a bound leaves its target without one.
fn judged(repairs: &[Repair], bound: Option<&RecoveryReport>) -> BTreeMap<usize, Response> {
    let mut worst = BTreeMap::new();
    let mut last = None;
    for repair in repairs {
        let covered = |report: &&RecoveryReport| {
            let apart = report.bound.as_ref().map_or(0, |bound| bound.apart);
            let soon = last.is_some_and(|last| repair.epochs.0 < last + apart);
            repair.pages <= report.pages && !soon
        };
        let bound = bound.filter(covered).and_then(|it| it.bound.as_ref().ok());
        let bound = bound.map(|bound| bound.time.as_nanos());
        last = Some(repair.epochs.1);
        let entry = worst.entry(repair.target).or_insert_with(|| Response {
            name: String::new(),
            measured: 0,
            bound,
        });
        entry.measured = entry.measured.max(repair.time);
        entry.bound = entry.bound.and(bound);
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_sched::analysis::RepairBound;
    use tern_units::Duration;

    fn report(pages: u64, apart: u64) -> RecoveryReport {
        RecoveryReport {
            set: "s".into(),
            pages,
            bound: Ok(RepairBound {
                time: Duration::from_nanos(100),
                apart,
            }),
            all: None,
        }
    }

    fn repair(target: usize, epoch: u64, pages: u64, time: u64) -> Repair {
        Repair {
            target,
            epochs: (epoch, epoch),
            pages,
            time,
        }
    }

    fn bounds(repairs: &[Repair], report: &RecoveryReport) -> Vec<(u64, Option<u64>)> {
        let judged = judged(repairs, Some(report));
        judged.values().map(|it| (it.measured, it.bound)).collect()
    }

    #[test]
    fn the_longest_repair_of_each_target_is_laid_beside_the_bound() {
        let repairs = [
            repair(0, 1, 8, 60),
            repair(1, 2, 4, 101),
            repair(0, 3, 8, 70),
        ];
        assert_eq!(
            bounds(&repairs, &report(8, 1)),
            [(70, Some(100)), (101, Some(100))]
        );
    }

    #[test]
    fn a_repair_of_more_pages_or_too_soon_after_another_is_not_covered() {
        let repairs = [repair(0, 1, 8, 60), repair(1, 2, 4, 50)];
        assert_eq!(
            bounds(&repairs, &report(7, 1)),
            [(60, None), (50, Some(100))]
        );
        assert_eq!(
            bounds(&repairs, &report(8, 2)),
            [(60, Some(100)), (50, None)]
        );
        assert_eq!(judged(&repairs, None)[&0].bound, None);
    }
}
