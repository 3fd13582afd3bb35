//! Whether a job was in time: its nominal release, its completion, its deadline.
//!
//! A response time counts from the *nominal* release, offset + number × period after
//! the epoch: a kernel that is busy notices a release late, and that lateness is part of
//! the response. Where the records do not fit such a numbering (or nothing is known of
//! the thread), the time of the release record stands in.
use std::collections::BTreeMap;

use crate::layout::{Nominal, ThreadLayout};
use crate::ranges::Ranges;

/// What is recorded of a job.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Job {
    /// When its release was recorded.
    pub(super) released: Option<i64>,
    /// Of a driver's: when it was woken for it.
    pub(super) woken: Option<i64>,
    pub(super) completed: Option<i64>,
    pub(super) missed: bool,
}

/// One job, judged. Times are nanoseconds after the epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JudgedJob {
    pub(crate) number: u32,
    /// Nominal, or of its record.
    pub(crate) release: Option<i64>,
    /// When the release was recorded.
    pub(crate) noticed: Option<i64>,
    pub(crate) completed: Option<i64>,
    /// Whether it missed its deadline, or the kernel says so.
    pub(crate) missed: bool,
    /// Whether the kernel says so of a job that is not complete: it gave it up.
    pub(super) given_up: bool,
}

impl Job {
    /// When it came, as far as its records tell.
    pub(super) fn came(self) -> Option<i64> {
        self.woken.or(self.released)
    }
}

impl JudgedJob {
    pub(crate) fn response(self) -> Option<i64> {
        Some(self.completed? - self.release?)
    }

    /// Its response, or how long it has taken by `end`, the end of what is known, where it is
    /// not complete and was not given up.
    pub(super) fn response_by(self, end: i64) -> Option<i64> {
        let until = self.completed.or((!self.given_up).then_some(end));
        Some(until? - self.release?)
    }
}

/// All jobs of which there is a record.
pub(super) fn judge(
    jobs: &BTreeMap<u32, Job>,
    nominal: Option<Nominal>,
    deadline: Option<u64>,
    end: i64,
) -> Vec<JudgedJob> {
    jobs.iter()
        .map(|(&number, job)| {
            let release = match nominal {
                Some(nominal) => Some(nominal.release(number)),
                None => job.came(),
            };
            let until = job.completed.unwrap_or(end);
            let late = match (release, deadline) {
                (Some(release), Some(deadline)) => until - release > deadline.cast_signed(),
                _ => false,
            };
            JudgedJob {
                number,
                release,
                noticed: job.released,
                completed: job.completed,
                missed: late || job.missed,
                given_up: job.missed && job.completed.is_none(),
            }
        })
        .collect()
}

/// The jobs that missed; and how many of them have no record, though they are before the
/// job `due` and after the first that has one.
pub(super) fn missed(judged: &[JudgedJob], due: u32) -> (Ranges, u64) {
    let (mut missed, mut absent) = (Ranges::default(), 0);
    let recorded = judged.iter().map(|job| (job.number, job.missed));
    let mut next = judged.first().map_or(due, |first| first.number);
    for (number, is_missed) in recorded.chain([(due, false)]) {
        let gap = next..number.min(due);
        if !gap.is_empty() {
            absent += gap.len() as u64;
            missed.push(gap.start, gap.end - 1);
        }
        if is_missed {
            missed.push(number, number);
        }
        next = number.saturating_add(1);
    }
    (missed, absent)
}

/// A record may be this much earlier than its nominal time: rounding of the clock.
const ROUNDING_NS: i64 = 1_000;

/// The numbering of periodic releases, if the records fit it: no release before its
/// time, and the first one within its period.
pub(super) fn nominal_releases(jobs: &BTreeMap<u32, Job>, known: &ThreadLayout) -> Option<Nominal> {
    let nominal = known.nominal()?;
    let mut lateness = jobs.iter().filter_map(|(&number, job)| {
        job.released
            .map(|released| released.saturating_sub(nominal.release(number)))
    });
    let first = lateness.next()?;
    let fits = first < nominal.period
        && core::iter::once(first)
            .chain(lateness)
            .all(|late| late >= -ROUNDING_NS);
    fits.then_some(nominal)
}
