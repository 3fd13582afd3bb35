//! Why a deadline does not hold, and the smallest change that would help.
use tern_config::Sandbox;
use tern_sched::analysis::{ServerResponse, Steps, ThreadResponse, server_responses};
use tern_units::Duration;

use crate::core::Core;
use crate::report::Failure;

/// No change is searched for in sandboxes with more servers than this, which no machine boots:
/// trying every server's budget would take long.
const SEARCHED_SERVERS: usize = 64;
/// Failures of a sandbox beyond this many are reported without advice.
const MOST_ADVICE: usize = 8;

/// The steps that the searches for advice on a sandbox may take, all together: some tenths of a
/// second. What they do not reach is not advised.
const STEPS: u64 = 1 << 23;
/// The steps that one search for advice may take.
const STEPS_OF_ONE: u64 = 1 << 14;

/// Searches for changes to a core.
#[derive(Debug)]
pub(crate) struct Advisor<'a> {
    core: &'a Core<'a>,
    steps: Steps,
    /// Server names by position on the core, thread names below them.
    names: Vec<&'a str>,
    /// Failures that may still be searched a remedy for.
    left: usize,
}

impl<'a> Advisor<'a> {
    pub(crate) fn new(
        core: &'a Core<'a>,
        sandbox: &'a Sandbox,
        positions: &[usize],
        search: bool,
    ) -> Self {
        let mut names = vec![""; positions.len()];
        for (server, position) in sandbox.servers.iter().zip(positions) {
            names[*position] = &server.name;
        }
        let search = search && positions.len() <= SEARCHED_SERVERS;
        Self {
            core,
            steps: Steps::in_all(STEPS, STEPS_OF_ONE),
            names,
            left: if search { MOST_ADVICE } else { 0 },
        }
    }

    /// Whether to look for a remedy once more.
    fn search(&mut self) -> bool {
        let search = self.left > 0;
        self.left = self.left.saturating_sub(1);
        search
    }

    /// On a server that is late or unbounded.
    pub(crate) fn server(&mut self, server: usize, found: &ServerResponse) -> Failure {
        let own = &self.core.servers[server];
        let reason = match found.response {
            Some(response) => {
                let what = "its budget is delivered";
                late(what, response, own.deadline, found.gave_up)
            }
            None if found.gave_up => GAVE_UP.into(),
            None => {
                let up_to = &self.core.servers[..=server];
                let asked: u128 = up_to.iter().map(|it| share(it.budget, it.period)).sum();
                format!(
                    "no bound: it and the servers of higher priority ask for {} of the core, \
                     overheads not counted",
                    percent(asked)
                )
            }
        };
        let mut changes = Vec::new();
        if self.search() {
            changes.extend(self.lower_budget(server));
        }
        if let Some(response) = found.response {
            changes.push(raise_deadline(own.deadline, response));
        }
        Failure {
            reason,
            change: join(changes),
        }
    }

    /// The server up to this one whose budget has to be lowered least for it to be in time.
    fn lower_budget(&mut self, server: usize) -> Option<String> {
        let deadline = self.core.servers[server].deadline;
        let steps = &mut self.steps;
        let mut in_time = |core: &Core<'_>| {
            let response = core.response(server, steps).response;
            response.is_some_and(|it| it <= deadline)
        };
        let mut core = self.core.clone();
        let mut best: Option<(u64, usize, u64)> = None;
        for changed in (0..=server).rev() {
            let budget = self.core.servers[changed].budget.as_nanos();
            // A change that is not smaller than the best one is not looked for.
            let low = best.map_or(1, |(least, ..)| budget.saturating_sub(least - 1).max(1));
            let found = last_that(low, budget, |nanos| {
                core.servers[changed].budget = Duration::from_nanos(nanos);
                in_time(&core)
            });
            core.servers[changed].budget = self.core.servers[changed].budget;
            if let Some(found) = found {
                best = Some((budget - found, changed, found));
            }
        }
        let (_, changed, found) = best?;
        core.servers[changed].budget = Duration::from_nanos(found);
        core.settle();
        if !in_time(&core) {
            return None;
        }
        let before = self.core.servers[changed].budget;
        let name = self.names[changed];
        Some(format!(
            "lower the budget of \"{name}\" from {} to {}",
            exact(before),
            exact(rounded_down(Duration::from_nanos(found)))
        ))
    }

    /// On a thread that is late or unbounded; `bounded` tells whether its server has a
    /// bound.
    pub(crate) fn thread(
        &mut self,
        server: usize,
        bounded: bool,
        thread: usize,
        found: &ThreadResponse,
        deadline: Duration,
    ) -> Failure {
        let own = &self.core.servers[server];
        let reason = match found.time() {
            Some(response) => late("a job may be done", response, deadline, found.gave_up),
            None if found.gave_up => GAVE_UP.into(),
            None if !bounded => "no bound: its server has none".into(),
            None => {
                let up_to = &self.core.threads[server][..=thread];
                let asked: u128 = up_to.iter().map(|it| share(it.wcet, it.period)).sum();
                format!(
                    "no bound: it and the threads before it ask for {} of the core, its server \
                     has {}, overheads not counted",
                    percent(asked),
                    percent(share(own.budget, own.period))
                )
            }
        };
        let mut changes = Vec::new();
        if self.search() {
            let raised = self.raise_budget(server, thread, deadline);
            changes.extend(raised.or_else(|| self.lower_wcet(server, thread, deadline)));
        }
        if let Some(response) = found.time() {
            changes.push(raise_deadline(deadline, response));
        } else if changes.is_empty() {
            let advice = match self.core.threads[server].len() {
                1 => "give its server a shorter period",
                _ => "give it a server of its own with a shorter period",
            };
            changes.push(advice.into());
        }
        Failure {
            reason,
            change: join(changes),
        }
    }

    /// The least budget of its server with which the thread is in time, if all servers
    /// still are.
    fn raise_budget(&mut self, server: usize, thread: usize, deadline: Duration) -> Option<String> {
        let own = &self.core.servers[server];
        let steps = &mut self.steps;
        let (before, period) = (own.budget.as_nanos(), own.period.as_nanos());
        let mut core = self.core.clone();
        let found = first_that(before, period, |nanos| {
            core.servers[server].budget = Duration::from_nanos(nanos);
            thread_in_time(&core, server, thread, deadline, steps)
        })?;
        let found = Duration::from_nanos(found);
        let mut all_in_time = |budget| {
            core.servers[server].budget = budget;
            core.settle();
            let responses = server_responses(&core.servers, core.costs());
            let mut servers = responses.zip(&core.servers);
            let in_time = servers.all(|(found, it)| {
                let response = found.response;
                response.is_some_and(|response| response <= it.deadline)
            });
            in_time && thread_in_time(&core, server, thread, deadline, steps)
        };
        let rounded = rounded_up(found).min(own.period);
        let budget = [rounded, found]
            .into_iter()
            .find(|budget| all_in_time(*budget))?;
        Some(format!(
            "raise the budget of server \"{}\" from {} to {}",
            self.names[server],
            exact(own.budget),
            exact(budget)
        ))
    }

    fn lower_wcet(&mut self, server: usize, thread: usize, deadline: Duration) -> Option<String> {
        let before = self.core.threads[server][thread].wcet;
        let steps = &mut self.steps;
        let mut core = self.core.clone();
        let found = last_that(1, before.as_nanos(), |nanos| {
            core.threads[server][thread].wcet = Duration::from_nanos(nanos);
            thread_in_time(&core, server, thread, deadline, steps)
        })?;
        Some(format!(
            "lower its wcet from {} to {}",
            exact(before),
            exact(rounded_down(Duration::from_nanos(found)))
        ))
    }
}

fn thread_in_time(
    core: &Core<'_>,
    server: usize,
    thread: usize,
    deadline: Duration,
    steps: &mut Steps,
) -> bool {
    let response = core.thread_response(server, thread, steps).time();
    response.is_some_and(|it| it <= deadline)
}

/// The greatest number from `low` to below `high` for which `holds`, which holds up to
/// some number and not beyond.
fn last_that(low: u64, high: u64, mut holds: impl FnMut(u64) -> bool) -> Option<u64> {
    if low >= high || !holds(low) {
        return None;
    }
    let (mut good, mut bad) = (low, high);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if holds(middle) {
            good = middle
        } else {
            bad = middle
        }
    }
    Some(good)
}

/// The least number above `low` up to `high` for which `holds`, which holds from some
/// number on.
fn first_that(low: u64, high: u64, mut holds: impl FnMut(u64) -> bool) -> Option<u64> {
    if low >= high || !holds(high) {
        return None;
    }
    let (mut bad, mut good) = (low, high);
    while good - bad > 1 {
        let middle = bad + (good - bad) / 2;
        if holds(middle) {
            good = middle
        } else {
            bad = middle
        }
    }
    Some(good)
}

fn late(what: &str, response: Duration, deadline: Duration, gave_up: bool) -> String {
    let beyond = rounded_up(response.saturating_sub(deadline));
    let response = rounded_up(response);
    match gave_up {
        false => format!("{what} after {response}, {beyond} beyond the deadline"),
        true => format!(
            "not shown to be in time: {what} after {response} at the latest, {beyond} beyond the \
             deadline, and the search for a shorter bound was given up"
        ),
    }
}

/// Said where a search was given up and no closed form has a bound either.
const GAVE_UP: &str = "no bound found: the search was given up, there may be one";

fn raise_deadline(deadline: Duration, response: Duration) -> String {
    format!(
        "raise its deadline from {} to {}",
        exact(deadline),
        exact(rounded_up(response))
    )
}

fn join(changes: Vec<String>) -> Option<String> {
    (!changes.is_empty()).then(|| changes.join(", or "))
}

/// Nanoseconds of the last digit that people are shown.
fn digit(nanos: u64) -> u64 {
    match nanos {
        0..1_000_000 => 1,
        1_000_000..1_000_000_000 => 1_000,
        _ => 1_000_000,
    }
}

fn rounded_up(duration: Duration) -> Duration {
    let nanos = duration.as_nanos();
    let rounded = nanos.checked_next_multiple_of(digit(nanos));
    rounded.map_or(duration, Duration::from_nanos)
}

fn rounded_down(duration: Duration) -> Duration {
    let nanos = duration.as_nanos();
    Duration::from_nanos(nanos - nanos % digit(nanos))
}

/// A duration in its natural unit, to the nanosecond.
fn exact(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (unit, digits, suffix) = match nanos {
        0..1_000 => (1, 0, "ns"),
        1_000..1_000_000 => (1_000, 3, "us"),
        1_000_000..1_000_000_000 => (1_000_000, 6, "ms"),
        _ => (1_000_000_000, 9, "s"),
    };
    let fraction = format!("{:0digits$}", nanos % unit);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}{suffix}", nanos / unit)
}

/// A share of a core in units of 2⁻³².
fn share(budget: Duration, period: Duration) -> u128 {
    (u128::from(budget.as_nanos()) << 32) / u128::from(period.as_nanos().max(1))
}

fn percent(share: u128) -> String {
    let tenths = (share * 1000).div_ceil(1 << 32);
    format!("{}.{}%", tenths / 10, tenths % 10)
}
