//! What work costs on a machine, measured on it: the time that a job of so many steps takes
//! where nothing comes between, and a driver's whose port has always something to say.
use super::model::{Model, Runs, Server, Thread};
use super::run::run;
use std::path::Path;
use tern_trace::Event;
use tern_units::Duration;
use trace_viewer::read::SoundTrace;
use trace_viewer::summary::Summary;
use xtask::emulator::bochs::Model as Processor;
use xtask::error::{Context, Error, Result};

/// Steps of the jobs that are measured.
const STEPS: [u64; 3] = [10, 1_000, 100_000];
/// The time between two of them.
const PERIOD: Duration = Duration::from_millis(40);
/// What all of a job that is measured fits into.
const BUDGET: Duration = Duration::from_millis(20);
/// The time between two jobs of the driver that is measured.
const DRIVER_PERIOD: Duration = Duration::from_millis(4);
/// What its job fits into.
const DRIVER_BUDGET: Duration = Duration::from_millis(2);
/// Responses are told in ticks of the machine.
const TICK: u64 = 10;

/// What work costs on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Work {
    /// A job without a step, its release and its end included.
    pub job: Duration,
    /// A thousand steps.
    pub thousand: Duration,
    /// A job of a driver whose port always has something to say.
    pub driver: Duration,
}

impl Work {
    /// Measures it by a system whose description goes to `file`: each job is on a core of its
    /// own.
    ///
    /// # Errors
    /// If the machine does not run, or the times do not grow with the steps.
    pub fn measure(processor: Processor, file: &Path) -> Result<Self> {
        let jobs = STEPS.map(|steps| vec![alone(BUDGET, PERIOD, false, Runs::Steps(steps))]);
        let mut sandboxes = jobs.to_vec();
        sandboxes.push(vec![alone(
            DRIVER_BUDGET,
            DRIVER_PERIOD,
            true,
            Runs::Driver,
        )]);
        let model = Model {
            platform: processor.platform(),
            sandboxes,
            ..Model::default()
        };
        let written = std::fs::write(file, model.description());
        written.context(|| format!("writing {}", file.display()))?;
        let ran = run(file, processor, Duration::from_millis(150))?;
        let sound = SoundTrace::of(&ran.booted.trace);
        let sound = sound.map_err(|contradiction| Error::failure(contradiction.to_string()))?;
        let summary = Summary::from_trace(&sound);
        let worst = summary.sandboxes.iter().map(|sandbox| {
            let responses = sandbox.threads.first().and_then(|it| it.response);
            responses.map(|it| Duration::from_nanos(it.max_ns.unsigned_abs()))
        });
        let worst: Option<Vec<Duration>> = worst.take(STEPS.len()).collect();
        let Some([least, middle, most]) = worst.as_deref() else {
            return Err(Error::failure("no job was complete where work is measured"));
        };
        let driver = longest_run(&sound, STEPS.len());
        if driver.is_zero() {
            return Err(Error::failure("no driver ran where its work is measured"));
        }
        Self::of([*least, *middle, *most], driver)
    }

    /// Fits the times of the jobs with [`STEPS`] steps.
    fn of([least, middle, most]: [Duration; 3], driver: Duration) -> Result<Self> {
        let steps = STEPS[2] - STEPS[0];
        let grown = most.checked_sub(least).filter(|it| !it.is_zero());
        let Some(grown) = grown else {
            let reason = format!("{steps} steps more take no time: {least}, {most}");
            return Err(Error::failure(reason));
        };
        let thousand = Duration::from_nanos((grown.as_nanos() * 1_000).div_ceil(steps));
        let rest = |response: Duration, steps: u64| {
            let steps = Duration::from_nanos(thousand.as_nanos() * steps / 1_000);
            response.saturating_sub(steps)
        };
        let jobs = [
            rest(least, STEPS[0]),
            rest(middle, STEPS[1]),
            rest(most, STEPS[2]),
        ];
        Ok(Self {
            job: jobs.into_iter().max().unwrap_or_default() + Duration::from_nanos(TICK),
            thousand,
            driver,
        })
    }

    /// Returns the most steps of which a job takes at most `time`; none where not even one
    /// without a step does.
    pub fn steps(&self, time: Duration) -> Option<u64> {
        let left = time.checked_sub(self.job)?;
        Some(left.as_nanos() * 1_000 / self.thousand.as_nanos())
    }
}

/// Returns the longest time for which a sandbox's only thread had the core at a stretch: of a
/// driver a whole job, which waits for its period before and not for anything meanwhile.
fn longest_run(sound: &SoundTrace<'_>, sandbox: usize) -> Duration {
    let (mut longest, mut since) = (0, None);
    for (time, event) in sound.events(sandbox) {
        if let Event::Switch { thread } = event {
            longest = longest.max(since.map_or(0, |since| time - since));
            since = thread.map(|_| time);
        }
    }
    Duration::from_nanos(longest.unsigned_abs())
}

/// A server with one thread, at which nothing comes between.
fn alone(budget: Duration, period: Duration, io: bool, runs: Runs) -> Server {
    Server {
        io,
        budget,
        period,
        deadline: period,
        threads: vec![Thread {
            wcet: budget,
            period,
            deadline: period.saturating_mul(2),
            offset: Duration::ZERO,
            runs,
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job takes 5 us and a step 100 ns: 6, 105 and 10,005 us.
    #[test]
    fn jobs_of_measured_times_take_no_more_than_they_are_given() {
        let micros = [6, 105, 10_005].map(Duration::from_micros);
        let work = Work::of(micros, Duration::from_micros(30)).unwrap();
        assert_eq!(work.thousand, Duration::from_micros(100));
        assert_eq!(work.job, Duration::from_nanos(5_010));
        assert_eq!(work.steps(Duration::from_micros(5)), None);
        assert_eq!(work.steps(Duration::from_nanos(5_110)), Some(1));
        assert_eq!(work.steps(Duration::from_nanos(5_109)), Some(0));
        assert_eq!(work.steps(Duration::from_micros(1_006)), Some(10_009));
    }

    #[test]
    fn times_that_do_not_grow_are_no_measurement() {
        let same = [Duration::from_micros(6); 3];
        assert!(Work::of(same, Duration::ZERO).is_err());
    }
}
