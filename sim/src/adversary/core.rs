//! One core under an adversary: a sandbox's servers and threads under the kernel's scheduler,
//! which hears of each instant as late as it may.
use tern_config::layout::{MAX_SERVERS, MAX_THREADS};
use tern_config::{Sandbox, System};
use tern_sched::{Scheduler, ServerId, ServerParameters, ThreadId};
use tern_units::Instant;

use super::listener::Listener;
use super::task::Task;
use super::{Counts, Endured, Environment};
use crate::core::parameters;
use crate::recorder::Recorder;
use crate::{JobHistory, SimulationError};

/// A sandbox that endures an environment.
pub(super) struct Core<'a> {
    pub(super) scheduler: Box<Scheduler<MAX_SERVERS, MAX_THREADS, 1>>,
    pub(super) index: usize,
    pub(super) sandbox: &'a Sandbox,
    pub(super) environment: &'a Environment,
    pub(super) random: fastrand::Rng,
    pub(super) tasks: Vec<Task<'a>>,
    pub(super) history: Vec<Vec<JobHistory>>,
    doorbells: Vec<Doorbell>,
    pub(super) listener: Listener,
    /// What an activation costs at most, and the longest section.
    pub(super) activation: u64,
    section: u64,
    /// Whether a server's list has been seen to be long.
    long: Vec<bool>,
    pub(super) counts: Counts,
    pub(super) until: u64,
}

/// A doorbell that rings here: its least interval, and from when on it may ring again.
#[derive(Debug)]
struct Doorbell {
    interval: u64,
    from: u64,
}

/// What the loop has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The running job sends or is done.
    Stretch,
    /// The timer fires.
    Timer,
    /// The device of a driver interrupts.
    Interrupt(usize),
    /// The end of all.
    End,
}

impl<'a> Core<'a> {
    pub(super) fn new(
        system: &'a System,
        index: usize,
        tasks: Vec<Task<'a>>,
        environment: &'a Environment,
        until: Instant,
        recorder: Recorder,
    ) -> Result<Self, SimulationError> {
        let sandbox = &system.sandboxes[index];
        let refused = |reason| SimulationError::Refused {
            sandbox: sandbox.name.clone(),
            reason,
        };
        let mut scheduler = Box::new(Scheduler::new());
        for server in &sandbox.servers {
            scheduler.add_server(parameters(server)).map_err(refused)?;
        }
        for task in &tasks {
            let server = ServerId::new(task.server as u16);
            scheduler.add_thread(server).map_err(refused)?;
        }
        let rings = system.channels.iter();
        let rings = rings.filter(|it| it.readers.contains(&(index as u32)));
        let doorbells = rings.filter_map(|it| it.doorbell);
        let seed = environment.seed ^ (index as u64).rotate_right(8);
        Ok(Self {
            scheduler,
            index,
            sandbox,
            environment,
            random: fastrand::Rng::with_seed(seed),
            history: vec![Vec::new(); tasks.len()],
            tasks,
            doorbells: doorbells.map(Doorbell::new).collect(),
            listener: Listener::new(recorder, index, sandbox),
            activation: environment.costs.activation().as_nanos(),
            section: environment.costs.longest_non_preemptible.as_nanos(),
            long: vec![false; sandbox.servers.len()],
            counts: Counts::default(),
            until: until.as_nanos(),
        })
    }

    /// Runs to the end, and adds what happened to `endured`.
    pub(super) fn run(mut self, endured: &mut Endured) {
        for task in 0..self.tasks.len() {
            self.begin(task);
        }
        self.advance();
        self.counts.exhausted = self.listener.exhausted;
        self.counts.long_lists = self.long.iter().filter(|long| **long).count() as u64;
        endured.jobs.extend(self.history.into_iter().flatten());
        let (servers, records) = self.listener.recorder.into_parts();
        endured.servers.extend(servers);
        endured.records.extend(records);
        endured.counts += self.counts;
    }

    /// Runs from event to event.
    fn advance(&mut self) {
        let (mut now, mut fired) = (0, false);
        loop {
            self.release(now);
            let timer = self.decide(now, fired);
            if now >= self.until {
                self.listener.recorder.synchronize();
                return;
            }
            // What was held off until now interrupts at once.
            if let Some(driver) = self.held_off(now) {
                self.interrupt(driver, now);
                fired = false;
                continue;
            }

            let (next, at) = self.next(now, timer);
            assert!(
                at > now || next == Next::Stretch,
                "time stands still at {now} ns"
            );
            if let Some(running) = self.running() {
                self.execute(running, now, at);
            }
            now = at;
            self.listener.recorder.now = Instant::from_nanos(now);
            fired = next == Next::Timer;
            match next {
                Next::Stretch => self.stretch_ends(),
                Next::Interrupt(driver) => self.interrupt(driver, now),
                Next::Timer | Next::End => {}
            }
        }
    }

    pub(super) fn running(&self) -> Option<usize> {
        self.scheduler.running().map(ThreadId::index)
    }

    /// Returns the priority at which a task's server works now.
    pub(super) fn priority(&self, task: usize) -> u32 {
        let server = ServerId::new(self.tasks[task].server as u16);
        self.scheduler.priority(server).unwrap_or(u32::MAX)
    }

    /// Lets the scheduler decide, and charges what that costs. Returns for when it wants its
    /// timer.
    fn decide(&mut self, now: u64, fired: bool) -> u64 {
        let before = self.running();
        self.listener.recorder.now = Instant::from_nanos(now);
        self.listener.forget();
        let at = Instant::from_nanos(now);
        let decision = match fired {
            true => self.scheduler.dispatch_fired(at, &mut self.listener),
            false => self.scheduler.dispatch(at, &mut self.listener),
        };
        let after = decision.thread.map(ThreadId::index);
        self.note_lists();

        // Its budget has returned: that is an activation of its own.
        if let Some(after) = after
            && self.listener.returned[self.tasks[after].server]
        {
            self.charge(after, self.activation);
        }
        // One of higher priority became active, and found a job running.
        if let Some(before) = before
            && !self.tasks[before].pending.is_empty()
            && let Some(after) = after
            && self.tasks[after].server != self.tasks[before].server
            && self.priority(after) < self.priority(before)
        {
            self.charge(before, self.activation);
        }
        decision.timer.as_nanos()
    }

    /// Makes the job that a task is at longer by the kernel's work, of which it does up to
    /// `most`.
    pub(super) fn charge(&mut self, task: usize, most: u64) {
        let cost = self.environment.charges.of(most, &mut self.random);
        // What stands for all of a server's threads is taken to ask for no more than its budget.
        if self.tasks[task].thread.is_some()
            && let Some(job) = self.tasks[task].pending.front_mut()
        {
            job.left += cost;
            self.counts.charges += u64::from(cost > 0);
        }
    }

    fn note_lists(&mut self) {
        for (server, long) in self.long.iter_mut().enumerate() {
            let list = match *long {
                true => None,
                false => self.scheduler.sporadic(ServerId::new(server as u16)),
            };
            *long |= list.is_some_and(|it| {
                let room = ServerParameters::ROOM as usize;
                it.replenishments().nth(room).is_some()
            });
        }
    }

    /// Returns the next event, and when the kernel notices it.
    fn next(&mut self, now: u64, timer: u64) -> (Next, u64) {
        let running = self.running();
        let stretch = running.and_then(|task| self.tasks[task].stretch());
        let done = stretch.map_or(u64::MAX, |stretch| now.saturating_add(stretch));
        let (mut next, mut at) = (Next::End, self.until);
        if done <= at {
            (next, at) = (Next::Stretch, done);
        }
        let interrupt = self.first_interrupt();
        let interrupts = interrupt.is_some_and(|(time, _)| time < timer);
        let due = interrupt.filter(|_| interrupts).map_or(timer, |it| it.0);
        if due >= at {
            return (next, at);
        }
        // A section with interrupts off is in the way, of a job that may be done before it ends.
        let late = self.late(now, due);
        if due.saturating_add(late) < at {
            at = due.saturating_add(late);
            next = match interrupt {
                Some((_, driver)) if interrupts => Next::Interrupt(driver),
                _ => Next::Timer,
            };
        }
        (next, at)
    }

    /// Chooses how late the kernel notices an event that is due at `due`.
    fn late(&mut self, now: u64, due: u64) -> u64 {
        let most = match self.running() {
            Some(running) => self.section + self.blocking(running, now, due),
            None => self.section.saturating_sub(1),
        };
        let mut late = self.environment.sections.of(most, &mut self.random);
        if self.running().is_none() && late > 0 {
            // A doorbell rings just before, where one may: its handler is a section.
            let rings = due.saturating_sub(1);
            let mut doorbells = self.doorbells.iter_mut();
            match doorbells.find(|it| it.from.max(now) <= rings) {
                None => late = 0,
                Some(doorbell) => {
                    doorbell.from = rings.saturating_add(doorbell.interval);
                    self.counts.doorbells += 1;
                }
            }
        }
        self.counts.late += u64::from(late > 0);
        late
    }

    /// Returns the blocking that all servers above the running one are described with. Those of
    /// lower priority cause it: so not where a thread of the same server waits, nor where the running
    /// one's budget ends, as what holds up others is no reason to overrun.
    fn blocking(&self, running: usize, now: u64, due: u64) -> u64 {
        let priority = self.priority(running);
        let servers = self.sandbox.servers.iter();
        let above = servers.filter(|it| it.priority < priority);
        let most = above.map(|it| it.blocking).min().unwrap_or(0);
        let noticed = due.saturating_add(most);

        let place = self.tasks[running].server;
        let mut beside = self.tasks.iter().filter(|it| it.server == place);
        let waits = beside.any(|it| it.next.is_some_and(|next| next.release <= noticed));
        let now = Instant::from_nanos(now);
        let server = ServerId::new(place as u16);
        let budget = self.scheduler.budget_by(server, now, now).as_nanos();
        let lasts = now.as_nanos().saturating_add(budget);
        match waits || noticed > lasts {
            true => 0,
            false => most,
        }
    }

    /// Lets a task's job run from `now` to `end`.
    fn execute(&mut self, task: usize, now: u64, end: u64) {
        if end == now {
            return;
        }
        let (from, to) = (Instant::from_nanos(now), Instant::from_nanos(end));
        let server = self.tasks[task].server;
        let runs = &mut self.listener.recorder.servers[server].runs;
        match runs.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => runs.push((from, to)),
        }
        if let Some(job) = self.tasks[task].pending.front_mut() {
            job.left -= end - now;
        }
    }

    /// Lets the running job send, or end.
    fn stretch_ends(&mut self) {
        let Some(running) = self.running() else {
            return;
        };
        let task = &mut self.tasks[running];
        let sends = task.pending.front_mut().and_then(|it| it.sends_at.take());
        if sends.is_some() {
            self.ask(running);
        }
        let job = self.tasks[running].pending.front();
        if job.is_some_and(|job| job.left == 0) {
            self.end(running);
        }
    }
}

impl Doorbell {
    const fn new(interval: u64) -> Self {
        Self { interval, from: 0 }
    }
}
