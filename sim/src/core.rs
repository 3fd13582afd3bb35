//! One core: a sandbox's servers and threads under the kernel's scheduler.
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use tern_config::{Sandbox, ServerKind};
use tern_sched::{Observer, Posted, Scheduler, ServerId, ServerParameters, ThreadId};
use tern_units::{Duration, Instant};

use crate::releases::Releases;
use crate::simulation::releases;
use crate::{JobHistory, ServerHistory, Simulation, SimulationError};

/// A sandbox being simulated.
pub(crate) struct Core<
    'a,
    const SERVERS: usize,
    const THREADS: usize,
    const CHUNKS: usize,
    const WORDS: usize,
> {
    scheduler: Box<Scheduler<SERVERS, THREADS, CHUNKS, WORDS>>,
    tasks: Vec<Task<'a>>,
    /// The next release of each task that has one before the end.
    upcoming: BinaryHeap<Reverse<(u64, usize)>>,
    servers: Servers,
    until: u64,
}

/// A thread with its jobs, or what stands for the threads of a server without any.
struct Task<'a> {
    id: ThreadId,
    server: usize,
    /// Index in the server, `None` for a stand-in.
    thread: Option<usize>,
    deadline: u64,
    releases: Releases<'a>,
    /// Work of the job that `upcoming` holds.
    next_work: u64,
    /// Work left of each released job that has not finished.
    pending: VecDeque<u64>,
    history: Vec<JobHistory>,
    finished: usize,
}

/// Histories of the servers, filled in as the scheduler decides.
struct Servers(Vec<ServerHistory>);

impl Observer for Servers {
    /// Budget that the scheduler merges with what it posted just before, such as that
    /// consumed after a preemption with that consumed before, is one replenishment.
    fn replenish_posted(&mut self, server: ServerId, posted: Posted) {
        let replenishments = &mut self.0[server.index()].replenishments;
        if let Some((at, amount)) = replenishments.last_mut() {
            let both = amount.saturating_add(posted.amount);
            let touch = at.saturating_add(*amount) == posted.time;
            if touch && posted.entry.time <= *at && posted.entry.amount >= both {
                *amount = both;
                return;
            }
        }
        replenishments.push((posted.time, posted.amount));
    }
}

impl<'a, const SERVERS: usize, const THREADS: usize, const CHUNKS: usize, const WORDS: usize>
    Core<'a, SERVERS, THREADS, CHUNKS, WORDS>
{
    /// Simulates one sandbox and adds its histories to `simulation`.
    pub(crate) fn run(
        index: usize,
        sandbox: &'a Sandbox,
        until: Instant,
        simulation: &mut Simulation,
    ) -> Result<(), SimulationError> {
        let refused = |reason| SimulationError::Refused {
            sandbox: sandbox.name.clone(),
            reason,
        };
        let mut core = Self {
            scheduler: Box::new(Scheduler::new()),
            tasks: Vec::new(),
            upcoming: BinaryHeap::new(),
            servers: Servers(Vec::new()),
            until: until.as_nanos(),
        };
        for (position, server) in sandbox.servers.iter().enumerate() {
            let (budget, period) = (
                Duration::from_nanos(server.budget),
                Duration::from_nanos(server.period),
            );
            let parameters = match server.kind {
                ServerKind::Sporadic => ServerParameters::sporadic(budget, period, server.priority),
                ServerKind::Io => ServerParameters::io(budget, period, server.priority),
            };
            let id = core.scheduler.add_server(parameters).map_err(refused)?;
            core.servers.0.push(ServerHistory {
                sandbox: index,
                server: position,
                ..ServerHistory::default()
            });
            for (thread, releases) in releases(server) {
                let deadline = thread.map_or(server.deadline, |it| server.threads[it].deadline);
                core.tasks.push(Task {
                    id: core.scheduler.add_thread(id).map_err(refused)?,
                    server: position,
                    thread,
                    deadline,
                    releases,
                    next_work: 0,
                    pending: VecDeque::new(),
                    history: Vec::new(),
                    finished: 0,
                });
                core.prepare(core.tasks.len() - 1);
            }
        }
        core.advance();
        for task in &mut core.tasks {
            for job in &mut task.history {
                job.sandbox = index;
            }
            simulation.jobs.append(&mut task.history);
        }
        simulation.servers.append(&mut core.servers.0);
        Ok(())
    }

    /// Runs from event to event.
    fn advance(&mut self) {
        let mut now = 0;
        loop {
            self.release(now);
            let decision = self
                .scheduler
                .dispatch(Instant::from_nanos(now), &mut self.servers);
            if now >= self.until {
                return;
            }
            let running = decision.thread.map(ThreadId::index);
            let work = running.and_then(|task| self.tasks[task].pending.front().copied());
            let completion = work.map_or(u64::MAX, |work| now.saturating_add(work));
            let arrival = self
                .upcoming
                .peek()
                .map_or(u64::MAX, |Reverse((at, _))| *at);
            let timer = decision.timer.as_nanos();
            let next = completion.min(arrival).min(timer).min(self.until);
            assert!(next > now, "the scheduler's timer stands still at {now} ns");
            if let Some(task) = running {
                self.execute(task, now, next);
            }
            now = next;
        }
    }

    /// Lets a task's first job run from `now` to `next`, and end if that is all of it.
    fn execute(&mut self, task: usize, now: u64, next: u64) {
        let task = &mut self.tasks[task];
        let (start, end) = (Instant::from_nanos(now), Instant::from_nanos(next));
        let runs = &mut self.servers.0[task.server].runs;
        match runs.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => runs.push((start, end)),
        }
        let Some(left) = task.pending.front_mut() else {
            return;
        };
        *left -= next - now;
        if *left > 0 {
            return;
        }
        task.pending.pop_front();
        if let Some(job) = task.history.get_mut(task.finished) {
            job.finish = Some(end);
            task.finished += 1;
        }
        if task.pending.is_empty() {
            self.scheduler.block(task.id, &mut self.servers);
        }
    }

    /// Releases the jobs whose time has come.
    fn release(&mut self, now: u64) {
        while let Some(Reverse((at, index))) = self.upcoming.peek().copied()
            && at <= now
        {
            self.upcoming.pop();
            let task = &mut self.tasks[index];
            task.pending.push_back(task.next_work);
            if let Some(thread) = task.thread {
                task.history.push(JobHistory {
                    sandbox: 0,
                    server: task.server,
                    thread,
                    release: Instant::from_nanos(at),
                    deadline: Instant::from_nanos(at.saturating_add(task.deadline)),
                    finish: None,
                });
            }
            self.scheduler.wake(task.id, Instant::from_nanos(now));
            self.prepare(index);
        }
    }

    /// Takes a task's next job off its list, if it is released before the end.
    fn prepare(&mut self, index: usize) {
        let task = &mut self.tasks[index];
        if let Some(job) = task.releases.next().filter(|job| job.at < self.until) {
            task.next_work = job.work;
            self.upcoming.push(Reverse((job.at, index)));
        }
    }
}
