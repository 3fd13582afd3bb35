//! Measured responses against the analysis's bounds.
use crate::error::{Context, Error, Result};
use std::fmt;
use tern_config::description::Costs;
use tern_config::{Runs, System, Thread};
use tern_trace::{Core, Event, Trace};

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
        write!(out, "{name:<38}{measured:>12} ns")?;
        match (self.bound, self.tightness()) {
            (Some(bound), Some(tightness)) => {
                let (whole, rest) = (tightness / 100, tightness % 100);
                write!(out, "{bound:>12} ns  {whole}.{rest:02}")?;
            }
            _ => write!(out, "    no bound")?,
        }
        match self.bound.is_none() || self.holds() {
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
    let report = tern_check::check(system, &tern_check::cost_table(costs));
    let mut found = Vec::new();
    for (((index, sandbox), core), bounds) in system
        .sandboxes
        .iter()
        .enumerate()
        .zip(&trace.cores)
        .zip(report.sandboxes)
    {
        let bounds = bounds.servers.into_iter().flat_map(|server| server.threads);
        let least = |it: tern_check::ThreadReport| it.response.map(|r| r.as_nanos());
        let worst = worst(system, index, core, trace)?;
        let threads = sandbox.threads().map(|(_, _, thread)| thread);
        for ((thread, worst), bound) in threads.zip(worst).zip(bounds.map(least)) {
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

/// The worst response of each thread of a sandbox: of a driver, which has no releases by
/// the clock, from its device's interrupt, or the end of the period of the job before, or else
/// from its own first instruction, to the completion; of others from the release that the description gives.
fn worst(system: &System, index: usize, core: &Core, trace: &Trace) -> Result<Vec<Option<u64>>> {
    let sandbox = &system.sandboxes[index];
    let threads: Vec<_> = sandbox.threads().map(|(_, _, thread)| thread).collect();
    let plan = system.interrupt_plan(index);
    let vector = |thread: &Thread| match thread.runs {
        Runs::Driver(device) => {
            let line = system.devices.get(device as usize)?.interrupt;
            plan.vector(line)
        }
        _ => None,
    };
    let vectors: Vec<_> = threads.iter().map(|thread| vector(thread)).collect();
    let mut arrivals = vec![None; threads.len()];
    // Before this, what a driver's device wants waits: its jobs begin a period apart.
    let mut earliest = vec![0; threads.len()];
    let mut worst = vec![None; threads.len()];
    for event in core.events() {
        let (tsc, event) = event.context(|| format!("the trace of {}", sandbox.name))?;
        let ticks = tsc.saturating_sub(trace.epoch_tsc);
        let now = trace.tsc.to_duration(ticks).as_nanos();
        let (number, job) = match event {
            Event::InterruptIn { vector } => {
                let drivers = arrivals.iter_mut().zip(&vectors).zip(&earliest);
                for ((arrival, _), earliest) in drivers.filter(|it| *it.0.1 == Some(vector)) {
                    arrival.get_or_insert(now.max(*earliest));
                }
                continue;
            }
            Event::Release { thread, .. } => {
                let number = usize::from(thread);
                if let (Some(arrival), Some(thread)) =
                    (arrivals.get_mut(number), threads.get(number))
                {
                    arrival.get_or_insert(now);
                    earliest[number] = now + thread.period;
                }
                continue;
            }
            Event::Complete { thread, job } => (usize::from(thread), job),
            Event::Miss { thread, job } => {
                let name = &sandbox.name;
                let line = format!("{name}: job {job} of thread {thread} was late");
                return Err(Error::failure(line));
            }
            _ => continue,
        };
        let (Some(thread), Some(arrival)) = (threads.get(number), arrivals.get_mut(number)) else {
            continue;
        };
        let release = thread.offset + u64::from(job) * thread.period;
        let arrived = match thread.runs {
            Runs::Driver(_) => arrival.take().unwrap_or(now),
            _ => release,
        };
        worst[number] = worst[number].max(Some(now.saturating_sub(arrived)));
    }
    Ok(worst)
}

/// Writes all responses beside their bounds, and the median of how tight these are.
///
/// # Errors
/// If `out` cannot be written.
pub fn table(out: &mut impl fmt::Write, responses: &[Response]) -> fmt::Result {
    writeln!(
        out,
        "\n{:<38}{:>15}{:>15}  tightness",
        "worst response", "measured", "bound"
    )?;
    for response in responses {
        writeln!(out, "{response}")?;
    }
    match median_tightness(responses) {
        Some(median) => {
            let (whole, rest) = (median / 100, median % 100);
            writeln!(out, "median tightness {whole}.{rest:02}")
        }
        None => Ok(()),
    }
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
    use std::sync::atomic::{AtomicU64, Ordering};
    use tern_trace::{Mode, Origin, Ring};
    use tern_units::TscFrequency;

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

    /// The trace of the one sandbox of [`system`]: ticks of 10 ns, from the time epoch on.
    fn trace(events: &[(u64, Event)]) -> Trace {
        let words: Vec<AtomicU64> = (0..4096).map(|_| AtomicU64::new(0)).collect();
        let mut ring = Ring::format(&words, Mode::Stream).unwrap();
        for (tick, event) in events {
            ring.push_event(1000 + tick, *event);
        }
        let words: Vec<u64> = words.iter().map(|it| it.load(Ordering::Relaxed)).collect();
        Trace {
            origin: Origin::Machine,
            promises: None,
            tsc: TscFrequency::from_hertz(100_000_000).unwrap(),
            epoch_tsc: 1000,
            build: String::new(),
            system: Vec::new(),
            exit_reasons: Vec::new(),
            cores: vec![Core::from_words("alpha", &words, &[])],
            notes: Vec::new(),
        }
    }

    fn system() -> System {
        let text = r#"
            [system]
            name = "s"
            [[device]]
            name = "port"
            kind = "serial"
            port = 0x2f8
            interrupt = 3
            [[sandbox]]
            name = "alpha"
            core = 0
            memory = "16MiB"
            devices = ["port"]
              [[sandbox.server]]
              name = "a"
              budget = "1ms"
              period = "10ms"
                [[sandbox.server.thread]]
                name = "driver"
                wcet = "100us"
                period = "10ms"
                driver = "port"
              [[sandbox.server]]
              name = "b"
              budget = "1ms"
              period = "20ms"
                [[sandbox.server.thread]]
                name = "periodic"
                wcet = "100us"
                period = "20ms"
                offset = "1ms"
                program = "load"
        "#;
        tern_config::Description::parse("test", text)
            .unwrap()
            .system
    }

    fn worst_of(events: &[(u64, Event)]) -> Result<Vec<Option<u64>>> {
        let (system, trace) = (system(), trace(events));
        worst(&system, 0, &trace.cores[0], &trace)
    }

    #[test]
    fn a_response_is_from_the_release_and_a_drivers_from_its_interrupt() {
        let vector = system().interrupt_plan(0).vector(3).unwrap();
        let driver = |job| {
            (
                Event::Release { thread: 0, job },
                Event::Complete { thread: 0, job },
            )
        };
        let events = [
            (0, driver(0).0),
            (40, driver(0).1), // 400 ns from its own beginning
            (100_200, Event::Release { thread: 1, job: 0 }),
            (103_000, Event::Complete { thread: 1, job: 0 }), // 30 us from 1 ms
            (1_000_100, Event::InterruptIn { vector }),       // after the period of 10 ms
            (1_000_120, driver(1).0),
            (1_000_170, driver(1).1), // 700 ns from the interrupt
        ];
        assert_eq!(worst_of(&events).unwrap(), [Some(700), Some(30_000)]);
    }

    #[test]
    fn what_a_device_wants_within_the_period_of_a_drivers_job_waits_for_its_end() {
        let vector = system().interrupt_plan(0).vector(3).unwrap();
        let events = [
            (0, Event::Release { thread: 0, job: 0 }),
            (40, Event::Complete { thread: 0, job: 0 }), // 400 ns
            (1000, Event::InterruptIn { vector }),
            (1_000_000, Event::Release { thread: 0, job: 1 }),
            (1_000_060, Event::Complete { thread: 0, job: 1 }), // 600 ns from 10 ms
        ];
        assert_eq!(worst_of(&events).unwrap(), [Some(600), None]);
    }

    #[test]
    fn a_missed_deadline_is_a_failure() {
        let error = worst_of(&[(5, Event::Miss { thread: 1, job: 7 })]).unwrap_err();
        assert!(error.to_string().contains("job 7 of thread 1"), "{error}");
    }
}
