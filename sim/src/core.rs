//! One core: a sandbox's servers and threads under the kernel's scheduler.
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tern_config::{Sandbox, Server, ServerKind};
use tern_sched::{Scheduler, ServerId, ServerParameters, ThreadId};
use tern_trace::Event;
use tern_units::{Duration, Instant};

use crate::recorder::Recorder;
use crate::task::{Request, Task};
use crate::{ServerHistory, Simulation, SimulationError};

/// A sandbox being simulated.
pub(crate) struct Core<'a, const SERVERS: usize, const THREADS: usize, const WORDS: usize> {
    scheduler: Box<Scheduler<SERVERS, THREADS, WORDS>>,
    sandbox: &'a Sandbox,
    tasks: Vec<Task<'a>>,
    /// The next release of each task that has one before the end: when, which, and its work.
    upcoming: BinaryHeap<Reverse<(u64, usize, u64)>>,
    recorder: Recorder,
    until: u64,
}

impl<'a, const SERVERS: usize, const THREADS: usize, const WORDS: usize>
    Core<'a, SERVERS, THREADS, WORDS>
{
    /// A sandbox with its tasks, before the time epoch.
    pub(crate) fn new(
        sandbox: &'a Sandbox,
        tasks: Vec<Task<'a>>,
        until: Instant,
        recorder: Recorder,
    ) -> Result<Self, SimulationError> {
        let refused = |reason| SimulationError::Refused {
            sandbox: sandbox.name.clone(),
            reason,
        };
        let mut core = Self {
            scheduler: Box::new(Scheduler::new()),
            sandbox,
            tasks,
            upcoming: BinaryHeap::new(),
            recorder,
            until: until.as_nanos(),
        };
        for server in &sandbox.servers {
            let added = core.scheduler.add_server(parameters(server));
            added.map_err(refused)?;
        }
        for index in 0..core.tasks.len() {
            let server = ServerId::new(core.tasks[index].server as u16);
            core.scheduler.add_thread(server).map_err(refused)?;
            core.prepare(index);
        }
        Ok(core)
    }

    /// Simulates the sandbox, which is number `index`, and adds its histories to
    /// `simulation`.
    pub(crate) fn run(mut self, index: usize, simulation: &mut Simulation) {
        let servers = 0..self.sandbox.servers.len();
        self.recorder.servers = servers
            .map(|server| ServerHistory {
                sandbox: index,
                server,
                ..ServerHistory::default()
            })
            .collect();
        self.advance();
        for task in &mut self.tasks {
            for job in &mut task.history {
                job.sandbox = index;
            }
            simulation.jobs.append(&mut task.history);
        }
        let (mut servers, records) = self.recorder.into_parts();
        simulation.servers.append(&mut servers);
        simulation.records.extend(records);
    }

    /// Runs from event to event.
    fn advance(&mut self) {
        let mut now = 0;
        loop {
            self.recorder.now = Instant::from_nanos(now);
            self.release(now);
            let decision = self
                .scheduler
                .dispatch(self.recorder.now, &mut self.recorder);
            if now >= self.until {
                self.recorder.synchronize();
                return;
            }
            let running = decision.thread.map(ThreadId::index);
            let stretch = running.and_then(|task| self.tasks[task].stretch());
            let completion = stretch.map_or(u64::MAX, |stretch| now.saturating_add(stretch));
            let arrival = self.upcoming.peek();
            let arrival = arrival.map_or(u64::MAX, |Reverse((at, ..))| *at);
            let timer = decision.timer.as_nanos();
            let next = completion.min(arrival).min(timer).min(self.until);
            assert!(next > now, "the scheduler's timer stands still at {now} ns");
            if let Some(task) = running {
                self.execute(task, now, next);
            }
            now = next;
        }
    }

    /// Lets a task's first job run from `now` to `next`, and ask and end if it does then.
    fn execute(&mut self, task: usize, now: u64, next: u64) {
        let (start, end) = (Instant::from_nanos(now), Instant::from_nanos(next));
        let runs = &mut self.recorder.servers[self.tasks[task].server].runs;
        match runs.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => runs.push((start, end)),
        }
        self.recorder.now = end;
        if let Some(request) = self.tasks[task].work(next - now) {
            self.ask(task, request);
        }
        if self.tasks[task].is_done() {
            self.end(task);
        }
    }

    /// Task `requester` hands work to a driver, whose server works for it from now on.
    fn ask(&mut self, requester: usize, request: Request) {
        let Request { driver, work } = request;
        let server = ServerId::new(self.tasks[driver].server as u16);
        self.scheduler
            .request(id(requester), server, &mut self.recorder);
        self.start(driver, self.recorder.now, work, Some(requester));
    }

    /// The job that a task is at is done.
    fn end(&mut self, index: usize) {
        let task = &mut self.tasks[index];
        let ended = task.end(self.recorder.now);
        let thread = index as u16;
        let job = ended.number;
        self.recorder.record(Event::Complete { thread, job });
        if ended.missed {
            self.recorder.record(Event::Miss { thread, job });
        }
        if let Some(requester) = ended.requester
            && !task.works_for(requester)
        {
            self.scheduler.served(id(requester), &mut self.recorder);
        }
        if task.is_idle() {
            self.recorder.record(Event::Block {
                thread,
                until: None,
            });
            self.scheduler.block(id(index), &mut self.recorder);
        }
    }

    /// Releases the jobs whose time has come.
    fn release(&mut self, now: u64) {
        while let Some(Reverse((at, task, work))) = self.upcoming.peek().copied()
            && at <= now
        {
            self.upcoming.pop();
            self.start(task, Instant::from_nanos(at), work, None);
            self.prepare(task);
        }
    }

    /// Releases a job, now, that was due at `at`.
    fn start(&mut self, task: usize, at: Instant, work: u64, requester: Option<usize>) {
        let job = self.tasks[task].release(at, work, requester);
        let thread = task as u16;
        self.recorder.record(Event::Release { thread, job });
        self.scheduler.wake(id(task), self.recorder.now);
    }

    /// Takes a task's next job off its list, if it is released before the end.
    fn prepare(&mut self, task: usize) {
        if let Some(job) = self.tasks[task].next_release(self.until) {
            self.upcoming.push(Reverse((job.at, task, job.work)));
        }
    }
}

/// Tasks are added to the scheduler in their order.
fn id(task: usize) -> ThreadId {
    ThreadId::new(task as u16)
}

pub(crate) fn parameters(server: &Server) -> ServerParameters {
    let (budget, period) = (
        Duration::from_nanos(server.budget),
        Duration::from_nanos(server.period),
    );
    match server.kind {
        ServerKind::Sporadic => {
            let sporadic = ServerParameters::sporadic(budget, period, server.priority);
            sporadic.with_room(server.room)
        }
        ServerKind::Io => ServerParameters::io(budget, period, server.priority),
    }
}
