//! One core under an adversary: a sandbox's servers and threads under the kernel's scheduler,
//! which hears of each instant as late as it may.
use tern_config::layout::{MAX_SERVERS, MAX_THREADS};
use tern_config::{Sandbox, System};
use tern_sched::{Observer, Posted, Scheduler, ServerId, ServerParameters, ThreadId};
use tern_trace::{Event, SleepEnd};
use tern_units::{Duration, Instant};

use super::task::{Driver, NextJob, PendingJob, Releases, Task};
use super::{Choice, Counts, Endured, Environment};
use crate::core::parameters;
use crate::recorder::Recorder;
use crate::{JobHistory, ServerHistory, SimulationError};

/// Jobs of a driver after which what a requester sends is with the device.
const MOST_JOBS_A_REQUEST: u32 = 3;

/// A sandbox that endures an environment.
pub(super) struct Core<'a> {
    scheduler: Box<Scheduler<MAX_SERVERS, MAX_THREADS, 1>>,
    index: usize,
    sandbox: &'a Sandbox,
    environment: &'a Environment,
    random: fastrand::Rng,
    tasks: Vec<Task<'a>>,
    history: Vec<Vec<JobHistory>>,
    doorbells: Vec<Doorbell>,
    listener: Listener,
    /// What an activation costs at most, and the longest section.
    activation: u64,
    section: u64,
    /// Whether a server's list has been seen to be long.
    long: Vec<bool>,
    counts: Counts,
    until: u64,
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

    fn running(&self) -> Option<usize> {
        self.scheduler.running().map(ThreadId::index)
    }

    /// The priority at which a task's server works now.
    fn priority(&self, task: usize) -> u32 {
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
    fn charge(&mut self, task: usize, most: u64) {
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

    /// What happens next, and when the kernel notices.
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

    /// How late the kernel notices what is due at `due`.
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

    /// The blocking that all servers above the running one are described with. It is by those of
    /// lower priority: so not where a thread of the same server waits, nor where the running
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

    /// The running job sends, or is done.
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

/// Jobs: how they come and end.
impl Core<'_> {
    /// A task's first job is to come; a driver's comes at once, and turns its device on.
    fn begin(&mut self, index: usize) {
        match self.tasks[index].releases {
            Releases::Driver(_) => self.plan(index, 0),
            Releases::Clock { .. } | Releases::Explicit(_) => self.prepare(index),
        }
        self.wait(index);
    }

    /// Finds out what a task's next job is.
    fn prepare(&mut self, index: usize) {
        let before = self.tasks[index].next.map_or(0, |next| next.release);
        let server = self.tasks[index].server;
        let jitter = self.sandbox.servers[server].jitter;
        let overruns = self.environment.overrunning.contains(&(self.index, server));
        let Self {
            environment,
            random,
            counts,
            ..
        } = self;
        let task = &mut self.tasks[index];
        let wcet = task.wcet;
        // What stands for all of a server's threads always asks for all of its budget.
        let (shortfall, gaps) = match task.thread {
            Some(_) => (environment.shortfall, environment.gaps),
            None => (Choice::Least, Choice::Least),
        };
        let work = match overruns && random.bool() {
            true => {
                counts.overruns += 1;
                random.u64(wcet + 1..=wcet.saturating_mul(Environment::OVERRUN).max(wcet + 1))
            }
            false => wcet - shortfall.of(wcet.saturating_sub(1), random),
        };
        let arrives = |at: u64, work, random: &mut fastrand::Rng| NextJob {
            arrival: Some(at),
            release: at
                .saturating_add(environment.jitter.of(jitter, random))
                .max(before),
            work,
        };
        task.next = match &mut task.releases {
            Releases::Clock {
                next,
                period,
                verdict,
            } => {
                // After each job of a replica a wake for its verdict, at which it finds no work.
                let wake = verdict.filter(|_| task.next.is_some_and(|it| it.arrival.is_some()));
                match wake {
                    Some(after) => Some(NextJob {
                        arrival: None,
                        release: (*next - *period).saturating_add(after).max(before),
                        work: 0,
                    }),
                    None => {
                        let left_out = gaps.of(3, random).saturating_mul(*period);
                        let at = next.saturating_add(left_out);
                        *next = at.saturating_add(*period);
                        Some(arrives(at, work, random))
                    }
                }
            }
            Releases::Explicit(jobs) => jobs.next().map(|job| {
                let work = match work > wcet {
                    true => work,
                    false => work.min(job.work),
                };
                arrives(job.at, work, random)
            }),
            Releases::Driver(_) => None,
        };
    }

    /// Releases the jobs whose time has come. Who sleeps until then is woken by the scheduler,
    /// when that matters.
    fn release(&mut self, now: u64) {
        for index in 0..self.tasks.len() {
            let mut came = false;
            while let Some(next) = self.tasks[index].next
                && next.release <= now
                && next.release < self.until
            {
                came = true;
                self.start(index, next);
                match &self.tasks[index].releases {
                    Releases::Driver(_) => self.tasks[index].next = None,
                    Releases::Clock { .. } | Releases::Explicit(_) => self.prepare(index),
                }
            }
            // A wake that takes no time is none.
            if came && self.tasks[index].pending.is_empty() {
                self.wait(index);
            }
        }
    }

    /// A job is released.
    fn start(&mut self, index: usize, job: NextJob) {
        // What its release and its end cost is part of it.
        let most = match self.tasks[index].thread {
            Some(_) => self.activation,
            None => 0,
        };
        let cost = self.environment.charges.of(most, &mut self.random);
        self.counts.charges += u64::from(cost > 0);
        let left = job.work.saturating_add(cost);
        let task = &mut self.tasks[index];
        if left == 0 {
            return;
        }
        let sends = task.driver.is_some() && job.arrival.is_some();
        task.pending.push_back(PendingJob {
            arrival: job.arrival,
            left,
            // Before its last nanosecond, so that what preempts it may be the driver.
            sends_at: sends.then(|| match self.random.bool() {
                true => 1.min(left),
                false => self.random.u64(0..=left),
            }),
        });
        if let (Some(arrival), Some(thread)) = (job.arrival, task.thread) {
            let history = &mut self.history[index];
            history.push(JobHistory {
                sandbox: self.index,
                server: task.server,
                thread,
                release: Instant::from_nanos(arrival),
                deadline: Instant::from_nanos(arrival.saturating_add(task.deadline)),
                finish: None,
            });
            let (thread, job) = (index as u16, history.len() as u32 - 1);
            self.listener
                .recorder
                .record(Event::Release { thread, job });
        }
    }

    /// The job that a task is at is done.
    fn end(&mut self, index: usize) {
        let Some(done) = self.tasks[index].pending.pop_front() else {
            return;
        };
        let now = self.listener.recorder.now;
        let (thread, job) = (index as u16, self.tasks[index].done);
        if done.arrival.is_some()
            && let Some(history) = self.history[index].get_mut(job as usize)
        {
            history.finish = Some(now);
            self.tasks[index].done += 1;
            let missed = now > history.deadline;
            self.listener
                .recorder
                .record(Event::Complete { thread, job });
            if missed {
                self.listener.recorder.record(Event::Miss { thread, job });
            }
        }
        if matches!(self.tasks[index].releases, Releases::Driver(_)) {
            self.driver_ends(index, now.as_nanos());
        }
        if self.tasks[index].pending.is_empty() {
            self.wait(index);
        }
    }

    /// A task without a job sleeps until its next one.
    fn wait(&mut self, index: usize) {
        let thread = ThreadId::new(index as u16);
        let until = self.tasks[index]
            .next
            .map(|it| Instant::from_nanos(it.release));
        let until = until.filter(|it| it.as_nanos() < self.until);
        let record = Event::Block {
            thread: index as u16,
            until: until.map(SleepEnd::of),
        };
        self.listener.recorder.record(record);
        match until {
            Some(until) => self
                .scheduler
                .sleep_until(thread, until, &mut self.listener),
            None => self.scheduler.block(thread, &mut self.listener),
        }
    }
}

/// Devices, their drivers, and who sends through them.
impl Core<'_> {
    fn driver(&mut self, index: usize) -> Option<&mut Driver> {
        match &mut self.tasks[index].releases {
            Releases::Driver(driver) => Some(driver),
            Releases::Clock { .. } | Releases::Explicit(_) => None,
        }
    }

    /// The first interrupt of those that are not held off by what runs, and its driver.
    fn first_interrupt(&self) -> Option<(u64, usize)> {
        let works_at = self.running().map(|task| self.priority(task));
        let tasks = self.tasks.iter().enumerate();
        let all = tasks.filter_map(|(index, task)| match &task.releases {
            Releases::Driver(driver) => {
                let line = driver.line?;
                let held_off = works_at.is_some_and(|priority| line > priority);
                Some((driver.interrupt.filter(|_| !held_off)?, index))
            }
            Releases::Clock { .. } | Releases::Explicit(_) => None,
        });
        all.min()
    }

    /// The driver whose device has been held off, and is not any more.
    fn held_off(&self, now: u64) -> Option<usize> {
        let (at, driver) = self.first_interrupt()?;
        (at <= now).then_some(driver)
    }

    /// The device of a driver interrupts whom it finds, and is off until the driver is done.
    fn interrupt(&mut self, index: usize, now: u64) {
        self.counts.interrupts += 1;
        if let Some(driver) = self.driver(index) {
            driver.interrupt = None;
        }
        // The handler is a part of the activation that the driver's job is.
        if let Some(running) = self.running()
            && self.tasks[running].server != self.tasks[index].server
        {
            self.charge(running, self.environment.costs.timer_interrupt.as_nanos());
        }
        self.want(index, now);
    }

    /// There is something to do for a driver: unless it has a job, it sleeps until its next one.
    fn want(&mut self, index: usize, now: u64) {
        if self.driver(index).is_some_and(|driver| !driver.busy) {
            self.plan(index, now);
            self.wait(index);
        }
    }

    /// The next job of a driver that has none comes as soon as it may.
    fn plan(&mut self, index: usize, now: u64) {
        let work = self.tasks[index].wcet;
        let shortfall = self.environment.shortfall;
        let short = shortfall.of(work.saturating_sub(1), &mut self.random);
        let Some(driver) = self.driver(index) else {
            return;
        };
        let begun = driver
            .begun
            .map(|begun| begun.saturating_add(driver.period));
        let release = begun.map_or(now, |earliest| earliest.max(now));
        driver.begun = Some(release);
        driver.busy = true;
        self.tasks[index].next = Some(NextJob {
            arrival: Some(release),
            release,
            work: work - short,
        });
    }

    /// A driver's job is done: it has served some, and turns its device on.
    fn driver_ends(&mut self, index: usize, now: u64) {
        let silence = self.environment.silence;
        let period = self.driver(index).map_or(0, |driver| driver.period);
        let silent = silence.of(period.saturating_mul(2), &mut self.random);
        let mut served = Vec::new();
        let random = &mut self.random;
        if let Releases::Driver(driver) = &mut self.tasks[index].releases {
            driver.busy = false;
            driver.interrupt = driver.line.map(|_| now.saturating_add(silent));
            driver.requesters.retain_mut(|(requester, jobs)| {
                *jobs += 1;
                let done = *jobs >= MOST_JOBS_A_REQUEST || random.u8(..4) > 0;
                if done {
                    served.push(*requester);
                }
                !done
            });
        }
        for requester in served {
            let thread = ThreadId::new(requester as u16);
            self.scheduler.served(thread, &mut self.listener);
        }
        if self
            .driver(index)
            .is_some_and(|it| !it.requesters.is_empty())
        {
            self.plan(index, now);
        }
    }

    /// A task sends through the device of its driver, whose server works for it from now on.
    fn ask(&mut self, requester: usize) {
        let Some(index) = self.tasks[requester].driver else {
            return;
        };
        self.counts.requests += 1;
        let server = ServerId::new(self.tasks[index].server as u16);
        let thread = ThreadId::new(requester as u16);
        self.scheduler.request(thread, server, &mut self.listener);
        if let Some(driver) = self.driver(index) {
            driver.requesters.retain(|(other, _)| *other != requester);
            driver.requesters.push((requester, 0));
        }
        let now = self.listener.recorder.now.as_nanos();
        self.want(index, now);
    }
}

impl Doorbell {
    const fn new(interval: u64) -> Self {
        Self { interval, from: 0 }
    }
}

/// Hears the scheduler, for the records and for what it costs.
struct Listener {
    recorder: Recorder,
    exhausted: u64,
    /// The servers whose budget has returned while they waited for it, in this decision.
    returned: Vec<bool>,
}

impl Listener {
    fn new(mut recorder: Recorder, sandbox: usize, of: &Sandbox) -> Self {
        let servers = 0..of.servers.len();
        recorder.servers = servers
            .map(|server| ServerHistory {
                sandbox,
                server,
                ..ServerHistory::default()
            })
            .collect();
        Self {
            recorder,
            exhausted: 0,
            returned: vec![false; of.servers.len()],
        }
    }

    fn forget(&mut self) {
        self.returned.fill(false);
    }
}

impl Observer for Listener {
    fn switched(&mut self, thread: Option<ThreadId>) {
        self.recorder.switched(thread);
    }

    fn exhausted(&mut self, server: ServerId, posted: Posted) {
        self.exhausted += 1;
        self.recorder.exhausted(server, posted);
    }

    fn replenish_posted(&mut self, server: ServerId, posted: Posted) {
        self.recorder.replenish_posted(server, posted);
    }

    fn replenish_applied(&mut self, server: ServerId, amount: Duration) {
        self.returned[server.index()] = true;
        self.recorder.replenish_applied(server, amount);
    }
}
