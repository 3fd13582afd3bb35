//! The replay of one core: which server runs, which has work, and what a decision must have
//! charged.
use tern_config::ServerKind;
use tern_trace::{Event, Trace};

use super::ServerConformance;
use super::lateness::Lateness;
use super::server::ServerReplay;
use crate::layout::CoreLayout;
use crate::read::{State, Threads};

/// A core while its records are read. Times are nanoseconds.
pub(super) struct CoreReplay<'a> {
    names: &'a CoreLayout,
    threads: Threads,
    servers: Vec<ServerReplay>,
    /// The server that has the core.
    running: Option<usize>,
    /// Up to when its running is in its budget.
    since: i64,
    /// When the handler of an interrupt began.
    interrupted: i64,
    latest: i64,
    late: Lateness,
}

/// Whether the records that follow can be replayed, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replayed {
    GoOn,
    /// Records are missing here.
    Blind,
}

impl<'a> CoreReplay<'a> {
    pub(super) fn new(names: &'a CoreLayout, trace: &Trace, core: usize) -> Self {
        let threads = Threads::new(names, trace.origin);
        let mut servers: Vec<_> = names.servers.iter().map(ServerReplay::new).collect();
        for (server, replay) in names.servers.iter().zip(&mut servers) {
            // Drivers run from the epoch on.
            let ready = |thread| threads.state(thread as u16) == Some(State::Ready);
            if server.threads.clone().any(ready) {
                replay.wakes(0);
            }
        }
        Self {
            names,
            threads,
            servers,
            running: None,
            since: 0,
            interrupted: 0,
            latest: 0,
            late: Lateness::of(trace, core),
        }
    }

    /// Takes in a record.
    pub(super) fn event(&mut self, at: i64, event: Event) -> Replayed {
        self.latest = at;
        match event {
            Event::Switch { thread } => {
                let next = thread.and_then(|thread| self.names.server_of(thread));
                // Within a server it is its own affair which thread goes first.
                if next != self.running {
                    self.turn_to(at, next);
                }
            }
            Event::Release { thread, .. } | Event::Wake { thread, .. } => {
                self.wake(at, event, thread)
            }
            Event::Exhaust {
                server,
                amount,
                at: returns,
            }
            | Event::ReplenishPosted {
                server,
                amount,
                at: returns,
            } => {
                let amount = Trace::within_horizon(amount.as_nanos());
                let returns = Trace::within_horizon(returns.as_nanos());
                let exhausted = matches!(event, Event::Exhaust { .. });
                self.posted(at, server.into(), (amount, returns), exhausted);
            }
            Event::ReplenishApplied { server, amount } => {
                self.notice(at, server.into());
                let amount = Trace::within_horizon(amount.as_nanos());
                self.servers[usize::from(server)].applied(at, amount);
            }
            Event::InterruptIn { .. } => self.interrupted = at,
            Event::InterruptOut { .. } => self.after_interrupt(at),
            Event::Lost { .. } => return Replayed::Blind,
            Event::Block { .. }
            | Event::Complete { .. }
            | Event::Miss { .. }
            | Event::SystemCall { .. }
            | Event::Hypercall { .. }
            | Event::Exit { .. }
            | Event::Hash { .. }
            | Event::Ballot { .. }
            | Event::Vote { .. }
            | Event::RepairStart { .. }
            | Event::RepairPage { .. }
            | Event::RepairEnd { .. }
            | Event::PageGiven { .. }
            | Event::PageConfirmed { .. }
            | Event::Scrub { .. }
            | Event::Input { .. }
            | Event::Fault { .. }
            | Event::ClockSync { .. }
            | Event::Process { .. }
            | Event::Rejoin { .. }
            | Event::Stop { .. }
            | Event::Checkpoint { .. }
            | Event::RollBack { .. }
            | Event::Withheld { .. }
            | Event::Noise { .. }
            | Event::NoDevice { .. } => {}
        }
        self.threads.apply(at, event, self.names);
        Replayed::GoOn
    }

    /// Whether a server has a thread that wants the core.
    fn wants(&self, server: usize, at: i64) -> bool {
        let mut threads = self.names.servers[server].threads.clone();
        threads.any(|thread| self.threads.wants(thread as u16, at))
    }

    /// A server that was asleep has work since the first of its sleepers woke.
    fn notice(&mut self, at: i64, server: usize) {
        if !self.servers[server].is_active()
            && let Some(woke) = self
                .threads
                .first_woken(self.names.servers[server].threads.clone(), at)
        {
            self.servers[server].wakes(woke);
        }
    }

    /// A thread is woken or released, which may give its server work.
    fn wake(&mut self, at: i64, event: Event, thread: u16) {
        let Some(server) = self.names.server_of(thread) else {
            return;
        };
        self.notice(at, server);
        let wakes = match event {
            // One that is to sleep first is noticed like any other that sleeps.
            Event::Wake { until, .. } => until.is_none(),
            _ => self.threads.release_wakes(),
        };
        if wakes && self.threads.state(thread) == Some(State::Waiting) {
            let replay = &mut self.servers[server];
            if !replay.is_active() {
                replay.wakes(at);
            }
            replay.noticed(at);
        }
    }

    /// Brings the budget of the running server up to `at`.
    fn run_up_to(&mut self, at: i64) {
        if let Some(server) = self.running {
            self.servers[server].runs(at, (at - self.since).max(0));
        }
        self.since = at;
    }

    /// The core turns to another server, or to none.
    fn turn_to(&mut self, at: i64, next: Option<usize>) {
        if let Some(server) = self.running {
            self.run_up_to(at);
            let wants = self.wants(server, at);
            let replay = &mut self.servers[server];
            replay.measure(at, &self.late);
            replay.stops(at, wants);
        }
        if let Some(server) = next {
            self.notice(at, server);
            self.servers[server].starts(at);
        }
        (self.running, self.since) = (next, at);
        self.look_for_passed_over(at, next);
    }

    /// Whoever has work, budget and a higher priority than the one that gets the core was
    /// passed over.
    fn look_for_passed_over(&mut self, at: i64, next: Option<usize>) {
        // An I/O server may have the priority of one that asks it for work.
        let priority = next.map_or(u32::MAX, |next| self.names.servers[next].highest);
        for server in 0..self.servers.len() {
            if Some(server) == next || self.names.servers[server].priority >= priority {
                continue;
            }
            self.notice(at, server);
            let by = next.map_or("nobody", |next| &self.names.servers[next].name);
            self.servers[server].passed_over(at, by);
        }
    }

    /// A server is charged: the running one, or an I/O server when it is asked for work.
    fn posted(&mut self, at: i64, server: usize, posting: (i64, i64), exhausted: bool) {
        let is_running = self.running == Some(server);
        if is_running {
            self.run_up_to(at);
        }
        self.notice(at, server);
        let wants = self.wants(server, at);
        let decided = is_running && self.names.servers[server].kind == ServerKind::Sporadic;
        let replay = &mut self.servers[server];
        replay.measure(at, &self.late);
        replay.posted(at, posting, wants, exhausted, decided);
    }

    /// The handler of an interrupt asks the scheduler: whoever had used up its budget by then
    /// was charged.
    fn after_interrupt(&mut self, at: i64) {
        let Some(server) = self.running else { return };
        let begun = self.interrupted;
        if self.since > begun || !self.wants(server, begun) {
            return;
        }
        let left = self.servers[server].left() - (begun - self.since);
        if left <= 0 {
            self.run_up_to(begun);
            self.servers[server].measure(begun, &self.late);
            self.servers[server].settle(at, true);
        }
    }

    /// The trace ends; what runs then is not charged yet.
    pub(super) fn finish(mut self) -> Vec<ServerConformance> {
        let end = self.latest;
        self.run_up_to(end);
        if let Some(server) = self.running {
            self.servers[server].measure(end, &self.late);
        }
        let servers = self.servers.into_iter().zip(&self.names.servers);
        servers
            .map(|(replay, server)| replay.finish(self.names.sandbox.clone(), server.name.clone()))
            .collect()
    }
}
