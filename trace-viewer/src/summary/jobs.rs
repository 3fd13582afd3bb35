//! Jobs: how many, how long they took, and how many were late.
use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use tern_config::Runs;
use tern_trace::Event;

use super::apart::{Apart, ApartJobs};
use super::judged::{Job, JudgedJob, judge, missed, nominal_releases};
use crate::layout::{CoreLayout, ThreadLayout};
use crate::ranges::Ranges;
use crate::table::span;

/// One thread's jobs. Times are nanoseconds.
#[derive(Clone, Debug, Serialize)]
pub struct ThreadSummary {
    /// Its name.
    pub thread: String,
    /// Its server's name.
    pub server: String,
    /// Jobs released.
    pub released: u64,
    /// Jobs complete.
    pub completed: u64,
    /// Jobs still running at the end whose deadlines had not passed.
    pub unfinished: u64,
    /// Response times of the jobs that are complete.
    pub response: Option<Responses>,
    /// The deadline, relative to the release.
    pub deadline_ns: Option<u64>,
    /// The longest response that the analysis promised.
    pub bound_ns: Option<u64>,
    /// Jobs whose response was longer than that: whether that is judged depends on what the
    /// bound counts.
    pub above_bound: u64,
    /// The longest of these and how long it took, in nanoseconds, or has by the end.
    pub longest_above: Option<(u32, i64)>,
    /// Jobs that were late, never completed, or never released while others were.
    pub misses: u64,
    /// Of these, the ones whose release is missing.
    pub absent: u64,
    /// Misses that the kernel itself recorded.
    pub recorded_misses: u64,
    /// The jobs that missed.
    pub missed_jobs: Ranges,
    /// Jobs of a replica that missed from the fault that was injected into it to its return:
    /// what is expected of it is to be outvoted and repaired, not to be in time.
    pub misses_while_out: u64,
    /// Jobs that missed because their core was held from outside.
    pub misses_while_held: u64,
    /// Whether responses count from the nominal release; else from the release's record.
    pub nominal: bool,
    /// Of a driver: the shortest time from one wake to the next.
    pub closest_ns: Option<u64>,
    /// Of a driver: jobs that it was woken for sooner after the one before than its period
    /// promises. Its bound, and those of other threads of its core, do not count on these.
    pub too_close: u64,
}

/// Response times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Responses {
    /// The shortest.
    pub min_ns: i64,
    /// The middle one; of an even number, the mean of the two in the middle.
    pub median_ns: i64,
    /// The longest.
    pub max_ns: i64,
    /// The job that took the longest.
    pub max_job: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct JobLog {
    threads: BTreeMap<u16, BTreeMap<u32, Job>>,
    /// When drivers were woken for jobs that have not begun.
    wakes: BTreeMap<u16, VecDeque<i64>>,
}

impl JobLog {
    /// The jobs of each thread.
    pub(crate) fn judged(&self, layout: &CoreLayout, end: i64) -> BTreeMap<u16, Vec<JudgedJob>> {
        self.threads
            .iter()
            .map(|(&thread, jobs)| {
                let known = layout.threads.get(usize::from(thread));
                let nominal = known.and_then(|known| nominal_releases(jobs, known));
                (
                    thread,
                    judge(jobs, nominal, known.and_then(ThreadLayout::deadline), end),
                )
            })
            .collect()
    }

    pub(crate) fn event(&mut self, at: i64, event: Event) {
        match event {
            Event::Wake { thread, .. } => self.wakes.entry(thread).or_default().push_back(at),
            Event::Release { thread, job } => {
                let wakes = self.wakes.get_mut(&thread);
                let woken = wakes.and_then(VecDeque::pop_front);
                let job = self.job(thread, job);
                job.released.get_or_insert(at);
                job.woken = job.woken.or(woken);
            }
            Event::Complete { thread, job } => {
                self.job(thread, job).completed.get_or_insert(at);
            }
            Event::Miss { thread, job } => self.job(thread, job).missed = true,
            _ => {}
        }
    }

    fn job(&mut self, thread: u16, job: u32) -> &mut Job {
        self.threads
            .entry(thread)
            .or_default()
            .entry(job)
            .or_default()
    }

    pub(super) fn summarize(
        mut self,
        (core, layout): (usize, &CoreLayout),
        end: i64,
        apart: &Apart,
        warnings: &mut Vec<String>,
    ) -> Vec<ThreadSummary> {
        for thread in 0..layout.threads.len() {
            self.threads.entry(thread as u16).or_default();
        }
        self.threads
            .iter()
            .map(|(&thread, jobs)| {
                let known = layout.threads.get(usize::from(thread));
                let releases = jobs.iter().filter_map(|(job, it)| Some((*job, it.came()?)));
                let apart = apart.jobs(core, thread, known, releases);
                let summary = summarize(jobs, known, end, &apart);
                let name = layout.thread_name(thread);
                if let Some(known) = known
                    && known.is_periodic()
                    && !summary.nominal
                    && summary.released > 0
                {
                    warnings.push(format!(
                        "sandbox {}, thread {name}: releases do not fall on offset + number x period; \
                         responses count from the release records",
                        layout.sandbox
                    ));
                }
                if summary.too_close > 0
                    && let (Some(known), Some(closest)) = (known, summary.closest_ns)
                {
                    warnings.push(format!(
                        "sandbox {}, thread {name}: {} of {} jobs came closer together than its \
                         period, {}, the closest after {}: bounds do not hold for that",
                        layout.sandbox,
                        summary.too_close,
                        summary.released,
                        span(known.period),
                        span(closest)
                    ));
                }
                ThreadSummary {
                    thread: name,
                    server: known
                        .map_or_else(String::new, |known| layout.server_name(known.server as u16)),
                    ..summary
                }
            })
            .collect()
    }
}

fn summarize(
    jobs: &BTreeMap<u32, Job>,
    known: Option<&ThreadLayout>,
    end: i64,
    apart: &ApartJobs,
) -> ThreadSummary {
    let nominal = known.and_then(|known| nominal_releases(jobs, known));
    let deadline = known.and_then(ThreadLayout::deadline);
    let bound = known.and_then(|known| known.bound);
    let judged = judge(jobs, nominal, deadline, end);
    let count =
        |which: fn(&JudgedJob) -> bool| judged.iter().filter(|job| which(job)).count() as u64;
    let due = match (nominal, deadline) {
        (Some(nominal), Some(deadline)) => nominal.due(end, deadline.cast_signed()),
        _ => 0,
    };
    let (missed_jobs, absent) = missed(&judged, due);
    let (misses_while_out, missed_jobs) = split(missed_jobs, &apart.out);
    let (misses_while_held, missed_jobs) = split(missed_jobs, &apart.held);
    let in_place = judged.iter().filter(|job| !apart.contains(job.number));
    let responses = in_place.filter_map(|job| Some((job.number, job.response_by(end)?)));
    let is_above = |time: i64| bound.is_some_and(|bound| time > bound.cast_signed());
    let above: Vec<(u32, i64)> = responses.filter(|(_, time)| is_above(*time)).collect();
    ThreadSummary {
        thread: String::new(),
        server: String::new(),
        released: count(|job| job.noticed.is_some()),
        completed: count(|job| job.completed.is_some()),
        unfinished: count(|job| job.completed.is_none() && !job.missed),
        response: distribution(
            judged
                .iter()
                .filter_map(|job| Some((job.response()?, job.number)))
                .collect(),
        ),
        deadline_ns: deadline,
        bound_ns: bound,
        above_bound: above.len() as u64,
        longest_above: above.into_iter().max_by_key(|(_, time)| *time),
        misses_while_out,
        misses_while_held,
        misses: missed_jobs.count(),
        absent,
        recorded_misses: jobs.values().filter(|job| job.missed).count() as u64,
        missed_jobs,
        nominal: nominal.is_some(),
        closest_ns: distances(jobs, known).min(),
        too_close: distances(jobs, known)
            .filter(|distance| known.is_some_and(|known| *distance < known.period))
            .count() as u64,
    }
}

/// How many numbers are in any of these intervals, and the others.
fn split(numbers: Ranges, intervals: &[(u32, u32)]) -> (u64, Ranges) {
    intervals
        .iter()
        .fold((0, numbers), |(count, left), (first, end)| {
            let (inside, left) = left.split(*first, *end);
            (count + inside.count(), left)
        })
}

/// The times from one wake to the next of a driver, whose jobs come when its device or a
/// requester has something for it.
fn distances<'a>(
    jobs: &'a BTreeMap<u32, Job>,
    known: Option<&ThreadLayout>,
) -> impl Iterator<Item = u64> + 'a {
    let driver = known.is_some_and(|known| matches!(known.runs, Runs::Driver(_)));
    let begun = jobs.values().filter_map(|job| job.came());
    let begun = begun.filter(move |_| driver);
    let next = begun.clone().skip(1);
    begun.zip(next).map(|(one, next)| one.abs_diff(next))
}

fn distribution(mut responses: Vec<(i64, u32)>) -> Option<Responses> {
    responses.sort_unstable();
    let &(min_ns, _) = responses.first()?;
    let &(max_ns, max_job) = responses.last()?;
    let (low, high) = (
        responses[(responses.len() - 1) / 2].0,
        responses[responses.len() / 2].0,
    );
    Some(Responses {
        min_ns,
        median_ns: low + (high - low) / 2,
        max_ns,
        max_job,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(offset: u64, period: u64, deadline: u64) -> ThreadLayout {
        ThreadLayout {
            name: "t".to_string(),
            server: 0,
            period,
            deadline,
            offset,
            runs: Runs::Nothing,
            explicit_releases: Vec::new(),
            bound: None,
        }
    }

    fn jobs(records: &[(u32, Option<i64>, Option<i64>)]) -> BTreeMap<u32, Job> {
        records
            .iter()
            .map(|&(number, released, completed)| {
                (
                    number,
                    Job {
                        released,
                        woken: None,
                        completed,
                        missed: false,
                    },
                )
            })
            .collect()
    }

    #[test]
    fn responses_count_from_the_nominal_release_however_late_it_was_noticed() {
        // Period 100: releases at 10, 110, 210; noticed at 10, 150, 210.
        let log = jobs(&[
            (0, Some(10), Some(40)),
            (1, Some(150), Some(180)),
            (2, Some(210), Some(230)),
        ]);
        let summary = summarize(&log, Some(&thread(10, 100, 60)), 240, &ApartJobs::default());
        let response = Responses {
            min_ns: 20,
            median_ns: 30,
            max_ns: 70,
            max_job: 1,
        };
        assert_eq!(summary.response, Some(response));
        assert!(summary.nominal);
        assert_eq!(
            (summary.misses, summary.missed_jobs.to_string()),
            (1, "1".into())
        );
    }

    #[test]
    fn a_drivers_jobs_that_come_closer_than_its_period_are_counted() {
        let log = jobs(&[
            (0, Some(0), Some(10)),
            (1, Some(100), Some(110)),
            (2, Some(199), Some(210)),
            (3, Some(400), None),
        ]);
        let driver = ThreadLayout {
            runs: Runs::Driver(0),
            ..thread(0, 100, 60)
        };
        let summary = summarize(&log, Some(&driver), 500, &ApartJobs::default());
        assert_eq!((summary.closest_ns, summary.too_close), (Some(99), 1));
        let other = summarize(&log, Some(&thread(0, 100, 60)), 500, &ApartJobs::default());
        assert_eq!((other.closest_ns, other.too_close), (None, 0));
    }

    #[test]
    fn a_numbering_that_does_not_fit_falls_back_to_the_records() {
        for (offset, why) in [
            (9_000, "before its time"),
            (0, "long after the first period"),
        ] {
            let log = jobs(&[(0, Some(5_000), Some(5_030)), (1, Some(5_100), Some(5_150))]);
            let summary = summarize(
                &log,
                Some(&thread(offset, 100, 60)),
                5_200,
                &ApartJobs::default(),
            );
            assert!(!summary.nominal, "{why}");
            assert_eq!(summary.response.unwrap().median_ns, 40, "{why}");
            assert_eq!(summary.misses, 0, "{why}");
        }
    }

    #[test]
    fn a_job_without_an_end_is_missed_once_its_deadline_has_passed() {
        let log = jobs(&[(0, Some(0), None)]);
        let at = |end| {
            let summary = summarize(&log, Some(&thread(0, 100, 60)), end, &ApartJobs::default());
            (summary.unfinished, summary.misses)
        };
        assert_eq!(at(60), (1, 0));
        assert_eq!(at(61), (0, 1));
    }

    #[test]
    fn releases_that_stop_are_misses_from_the_first_deadline_on_that_passed() {
        // Jobs 0 and 2; 1 is absent, and so are 3 and 4, due at 360 and 460.
        let log = jobs(&[(0, Some(0), Some(10)), (2, Some(200), Some(210))]);
        for (end, absent) in [(220, 1), (360, 1), (361, 2), (460, 2), (461, 3)] {
            let summary = summarize(&log, Some(&thread(0, 100, 60)), end, &ApartJobs::default());
            assert_eq!(
                (summary.absent, summary.misses),
                (absent, absent),
                "end {end}"
            );
        }
    }

    #[test]
    fn the_kernels_own_misses_count_even_where_no_deadline_is_known() {
        let mut log = JobLog::default();
        log.event(5, Event::Release { thread: 3, job: 7 });
        log.event(9, Event::Miss { thread: 3, job: 7 });
        log.event(12, Event::Complete { thread: 3, job: 7 });
        let threads = log.summarize(
            (0, &CoreLayout::default()),
            20,
            &Apart::default(),
            &mut Vec::new(),
        );
        assert_eq!(threads.len(), 1);
        assert_eq!(threads[0].thread, "thread 3");
        assert_eq!((threads[0].misses, threads[0].recorded_misses), (1, 1));
        assert_eq!(threads[0].response.unwrap().max_ns, 7);
    }
}
