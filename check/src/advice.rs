//! Why a deadline does not hold, and the smallest change that would help.
use tern_config::Sandbox;
use tern_sched::analysis::ServerModel;
use tern_units::Duration;

use crate::core::Core;
use crate::report::Failure;

/// Sandboxes with more servers than this get advice on the failing server alone: trying
/// every server's budget would take long.
const SEARCHED_SERVERS: usize = 64;
/// Failures of a sandbox beyond this many are reported without advice.
const MOST_ADVICE: usize = 8;

/// Searches for changes to a core.
#[derive(Debug)]
pub(crate) struct Advisor<'a> {
    core: &'a Core<'a>,
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
        Self {
            core,
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
    pub(crate) fn server(&mut self, server: usize, response: Option<Duration>) -> Failure {
        let own = &self.core.servers[server];
        let reason = match response {
            Some(response) => late("its budget is delivered", response, own.deadline),
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
        if let Some(response) = response {
            changes.push(raise_deadline(own.deadline, response));
        }
        Failure {
            reason,
            change: join(changes),
        }
    }

    /// The server up to this one whose budget has to be lowered least for it to be in time.
    fn lower_budget(&self, server: usize) -> Option<String> {
        let deadline = self.core.servers[server].deadline;
        let first = match self.core.servers.len() {
            0..=SEARCHED_SERVERS => 0,
            _ => server,
        };
        let in_time = |core: &Core<'_>| core.response(server).is_some_and(|it| it <= deadline);
        let candidates = (first..=server).filter_map(|changed| {
            let budget = self.core.servers[changed].budget.as_nanos();
            let mut core = self.core.clone();
            let found = last_that(1, budget, |nanos| {
                core.servers[changed].budget = Duration::from_nanos(nanos);
                in_time(&core)
            })?;
            Some((budget - found, std::cmp::Reverse(changed), found))
        });
        let (_, std::cmp::Reverse(changed), found) = candidates.min()?;
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
        response: Option<Duration>,
        deadline: Duration,
    ) -> Failure {
        let own = &self.core.servers[server];
        let reason = match response {
            Some(response) => late("a job may be done", response, deadline),
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
        if let Some(response) = response {
            changes.push(raise_deadline(deadline, response));
        } else if changes.is_empty() {
            changes.push("give it a server of its own with a shorter period".into());
        }
        Failure {
            reason,
            change: join(changes),
        }
    }

    /// The least budget of its server with which the thread is in time, if all servers
    /// still are.
    fn raise_budget(&self, server: usize, thread: usize, deadline: Duration) -> Option<String> {
        let own = &self.core.servers[server];
        let (before, period) = (own.budget.as_nanos(), own.period.as_nanos());
        let mut core = self.core.clone();
        let found = first_that(before, period, |nanos| {
            core.servers[server].budget = Duration::from_nanos(nanos);
            thread_in_time(&core, server, thread, deadline)
        })?;
        let found = Duration::from_nanos(found);
        let mut all_in_time = |budget| {
            core.servers[server].budget = budget;
            let mut responses = core.responses().into_iter().zip(&core.servers);
            let late = |(response, it): (Option<Duration>, &ServerModel)| {
                response.is_none_or(|response| response > it.deadline)
            };
            !responses.any(late)
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

    fn lower_wcet(&self, server: usize, thread: usize, deadline: Duration) -> Option<String> {
        let before = self.core.threads[server][thread].wcet;
        let mut core = self.core.clone();
        let found = last_that(1, before.as_nanos(), |nanos| {
            core.threads[server][thread].wcet = Duration::from_nanos(nanos);
            thread_in_time(&core, server, thread, deadline)
        })?;
        Some(format!(
            "lower its wcet from {} to {}",
            exact(before),
            exact(rounded_down(Duration::from_nanos(found)))
        ))
    }
}

fn thread_in_time(core: &Core<'_>, server: usize, thread: usize, deadline: Duration) -> bool {
    let response = core.response(server);
    let general = core.thread_responses(server, response)[thread].response;
    general.is_some_and(|it| it <= deadline)
        || core
            .in_step(server, response)
            .is_some_and(|it| it <= deadline)
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

fn late(what: &str, response: Duration, deadline: Duration) -> String {
    let beyond = rounded_up(response.saturating_sub(deadline));
    format!(
        "{what} after {}, {beyond} beyond the deadline",
        rounded_up(response)
    )
}

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
