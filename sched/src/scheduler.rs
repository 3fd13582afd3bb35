//! The scheduler of one core: servers, their threads, and the decision what runs.
use crate::ThreadState;
use crate::agenda::Agenda;
use crate::lists::wakes_at;
use crate::slot::{NONE, Slot, Thread};
use crate::{AddError, Observer, ReadyQueue, ServerId, ServerParameters, ThreadId};
use tern_units::{Duration, Instant};

/// What [`Scheduler::dispatch`] decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// The thread to run until the next dispatch; `None` to idle.
    pub thread: Option<ThreadId>,
    /// When dispatch must be called again, if nothing else happens before: the budget
    /// of the running server is used up, or something that may preempt it is due.
    /// Exact: the timer should fire at this instant, as little later as it can.
    /// [`Instant::NEVER`] if there is no such instant.
    pub timer: Instant,
}

/// Servers and threads of one core, with fixed capacities: `SERVERS` servers (at most
/// 64 × `WORDS` priority levels), `THREADS` threads in all, `CHUNKS` replenishments a
/// server.
///
/// The work of a dispatch grows with the number of instants that have become due since
/// the last, not with the number of servers or threads. Waking or suspending a thread
/// takes steps in proportion to the runnable or sleeping threads *of its own server*.
///
/// No input makes it panic: identifiers it has not given out are ignored, and time that
/// seems to run backwards is taken to stand still.
#[derive(Clone, Debug)]
pub struct Scheduler<
    const SERVERS: usize = 64,
    const THREADS: usize = 128,
    const CHUNKS: usize = 16,
    const WORDS: usize = 1,
> {
    pub(crate) servers: [Slot<CHUNKS>; SERVERS],
    pub(crate) server_count: u16,
    pub(crate) threads: [Thread; THREADS],
    pub(crate) thread_count: u16,
    pub(crate) ready: ReadyQueue<SERVERS, WORDS>,
    pub(crate) agenda: Agenda<WORDS>,
    pub(crate) members: [[u16; 64]; WORDS],
    pub(crate) running: u16,
    pub(crate) running_thread: u16,
    /// Since when the running server has not been charged.
    pub(crate) since: Instant,
    /// The latest time it has been told.
    pub(crate) now: Instant,
}

impl<const SERVERS: usize, const THREADS: usize, const CHUNKS: usize, const WORDS: usize>
    Scheduler<SERVERS, THREADS, CHUNKS, WORDS>
{
    const SMALL_ENOUGH: () = assert!(THREADS < NONE as usize);

    /// A scheduler without servers, at the epoch.
    #[must_use]
    pub const fn new() -> Self {
        let () = Self::SMALL_ENOUGH;
        Self {
            servers: [const { Slot::EMPTY }; SERVERS],
            server_count: 0,
            threads: [Thread::EMPTY; THREADS],
            thread_count: 0,
            ready: ReadyQueue::new(),
            agenda: Agenda::new(),
            members: [[NONE; 64]; WORDS],
            running: NONE,
            running_thread: NONE,
            since: Instant::EPOCH,
            now: Instant::EPOCH,
        }
    }

    /// Adds a server with its whole budget available at once.
    ///
    /// # Errors
    /// If the parameters are impossible, or there is no place left.
    pub fn add_server(&mut self, parameters: ServerParameters) -> Result<ServerId, AddError> {
        let slot = Slot::new(parameters, self.now)?;
        if usize::from(slot.level) >= WORDS * 64 {
            return Err(AddError::Priority);
        }
        let server = self.server_count;
        *self
            .servers
            .get_mut(usize::from(server))
            .ok_or(AddError::Full)? = slot;
        self.server_count += 1;
        self.join_level(server);
        Ok(ServerId(server))
    }

    /// Adds a thread, blocked, to a server. The threads of a server run in the order of
    /// this call: of several that are runnable, the one added first.
    ///
    /// # Errors
    /// If there is no such server, or no place left.
    pub fn add_thread(&mut self, server: ServerId) -> Result<ThreadId, AddError> {
        if server.0 >= self.server_count {
            return Err(AddError::UnknownServer);
        }
        let thread = self.thread_count;
        *self
            .threads
            .get_mut(usize::from(thread))
            .ok_or(AddError::Full)? = Thread {
            server: server.0,
            ..Thread::EMPTY
        };
        self.thread_count += 1;
        Ok(ThreadId(thread))
    }

    /// Makes a blocked or sleeping thread runnable at `now`, between the last dispatch
    /// and the next. No effect on a runnable one.
    pub fn wake(&mut self, thread: ThreadId, now: Instant) {
        let now = now.max(self.now);
        match self.thread_state(thread) {
            Some(ThreadState::Blocked) => {}
            Some(ThreadState::Sleeping(_)) => self.leave_list(thread.0),
            Some(ThreadState::Runnable) | None => return,
        }
        self.now = now;
        self.make_runnable(thread.0, now);
        self.refresh(self.threads[thread.index()].server, now);
    }

    /// The thread waits for a wake.
    pub fn block(&mut self, thread: ThreadId) {
        if self.thread_state(thread).is_some() {
            self.leave_list(thread.0);
            self.threads[thread.index()].state = ThreadState::Blocked;
            self.suspended(thread.0);
        }
    }

    /// The thread waits until `until`, or for an earlier wake. An instant that is past
    /// when dispatch is called next leaves the thread runnable, as if it had not
    /// slept; [`Instant::NEVER`] is a block.
    pub fn sleep_until(&mut self, thread: ThreadId, until: Instant) {
        if self.thread_state(thread).is_none() {
            return;
        }
        self.leave_list(thread.0);
        let until = until.max(self.now);
        self.join_sleeping(thread.0, until);
        self.suspended(thread.0);
    }

    /// Decides what runs from `now` on: charges what ran since the last call to its
    /// server, wakes sleepers and applies replenishments that are due, and picks.
    pub fn dispatch<O: Observer + ?Sized>(&mut self, now: Instant, observer: &mut O) -> Dispatch {
        let now = now.max(self.now);
        self.now = now;
        while let Some(level) = self.agenda.due(now.as_nanos()) {
            self.process_due(level, observer);
        }
        self.settle_running(observer);
        let next = self.ready.first().unwrap_or(NONE);
        if next != self.running {
            self.charge_running(observer);
            self.running = next;
            self.since = now;
        }
        let thread = match next {
            NONE => NONE,
            _ => self.servers[usize::from(next)].runnable,
        };
        if thread != self.running_thread {
            self.running_thread = thread;
            observer.switched(identify(thread));
        }
        Dispatch {
            thread: identify(thread),
            timer: self.timer(),
        }
    }

    /// Puts the running thread behind the other runnable threads of its server. Returns
    /// the thread that runs now, which is the same if there is no other, with the timer
    /// as it was; or `None` where dispatch has to say what runs and until when.
    ///
    /// The server goes on without a charge: it is its threads' own affair in which order
    /// they use its budget. A thread that becomes runnable later still goes before those
    /// of lower precedence that have not given way.
    pub fn give_way(&mut self) -> Option<ThreadId> {
        let slot = self.servers.get_mut(usize::from(self.running))?;
        let first = slot.runnable;
        if first == NONE || first != self.running_thread {
            return None;
        }
        let second = self.threads[usize::from(first)].next;
        if second == NONE {
            return identify(first);
        }
        slot.runnable = second;
        let mut last = second;
        while self.threads[usize::from(last)].next != NONE {
            last = self.threads[usize::from(last)].next;
        }
        self.threads[usize::from(last)].next = first;
        self.threads[usize::from(first)].next = NONE;
        if slot.sleeping != NONE {
            // Which sleepers may preempt depends on the thread that runs.
            return None;
        }
        self.running_thread = second;
        identify(second)
    }

    /// How long the running server has run since it was last charged.
    fn uncharged(&self) -> Duration {
        self.now.saturating_since(self.since)
    }

    /// The next instant at which the decision may change: budget used up, an instant of
    /// a higher priority, or a sleeper of the same server with higher precedence.
    fn timer(&self) -> Instant {
        let Some(slot) = self.servers.get(usize::from(self.running)) else {
            return Instant::from_nanos(self.agenda.earliest());
        };
        let above = Instant::from_nanos(self.agenda.earliest_above(slot.level));
        let exhausted = self.since.saturating_add(slot.algorithm.head().amount);
        let mut timer = above.min(exhausted);
        let mut sleeper = slot.sleeping;
        while sleeper != NONE && self.wakes_at(sleeper) < timer {
            if sleeper < self.running_thread {
                timer = self.wakes_at(sleeper);
            }
            sleeper = self.threads[usize::from(sleeper)].next;
        }
        timer
    }

    /// Wakes and replenishes whatever of a level is due.
    fn process_due<O: Observer + ?Sized>(&mut self, level: u16, observer: &mut O) {
        let mut server = self.members[usize::from(level / 64)][usize::from(level % 64)];
        while server != NONE {
            if self.servers[usize::from(server)].due <= self.now {
                self.process_server(server, observer);
            }
            server = self.servers[usize::from(server)].next_of_level;
        }
    }

    fn process_server<O: Observer + ?Sized>(&mut self, server: u16, observer: &mut O) {
        let was_waiting = {
            let slot = &self.servers[usize::from(server)];
            slot.active && !slot.ready
        };
        loop {
            let sleeper = self.servers[usize::from(server)].sleeping;
            if sleeper == NONE || self.wakes_at(sleeper) > self.now {
                break;
            }
            let at = self.wakes_at(sleeper);
            self.leave_list(sleeper);
            // From this instant on it had work, whenever it is noticed: so a periodic
            // thread keeps its phase, whatever the delay of each interrupt.
            self.make_runnable(sleeper, at);
            observer.woken(ThreadId(sleeper), at);
        }
        self.refresh(server, self.now);
        let slot = &self.servers[usize::from(server)];
        if was_waiting && slot.ready {
            observer.replenish_applied(ServerId(server), slot.algorithm.head().amount);
        }
    }

    /// Charges the running server if it has blocked or its first chunk is used up.
    fn settle_running<O: Observer + ?Sized>(&mut self, observer: &mut O) {
        let Some(slot) = self.servers.get(usize::from(self.running)) else {
            return;
        };
        if slot.runnable == NONE {
            let server = self.running;
            self.charge_running(observer);
            let slot = &mut self.servers[usize::from(server)];
            slot.algorithm
                .block(|posted| observer.replenish_posted(ServerId(server), posted));
            slot.active = false;
            self.refresh(server, self.now);
        } else if self.uncharged() >= slot.algorithm.head().amount {
            self.charge_running(observer);
            if !self.servers[usize::from(self.running)].ready {
                observer.exhausted(ServerId(self.running));
            }
        }
    }

    fn charge_running<O: Observer + ?Sized>(&mut self, observer: &mut O) {
        let used = self.uncharged();
        self.since = self.now;
        if used.is_zero() {
            return;
        }
        let server = self.running;
        if let Some(slot) = self.servers.get_mut(usize::from(server)) {
            slot.algorithm.charge(used, |posted| {
                observer.replenish_posted(ServerId(server), posted)
            });
            self.refresh(server, self.now);
        }
    }

    /// Brings the ready queue and the agenda up to date with a server.
    pub(crate) fn refresh(&mut self, server: u16, now: Instant) {
        let Some(slot) = self.servers.get_mut(usize::from(server)) else {
            return;
        };
        let eligible = slot.algorithm.head().time;
        let ready = slot.active && eligible <= now;
        if ready != slot.ready {
            slot.ready = ready;
            match ready {
                true => self.ready.insert(server, slot.level),
                false => self.ready.remove(server),
            }
        }
        let mut due = match slot.active && !ready {
            true => eligible,
            false => Instant::NEVER,
        };
        if slot.sleeping != NONE {
            due = due.min(wakes_at(&self.threads, slot.sleeping));
        }
        if due != slot.due {
            slot.due = due;
            let level = slot.level;
            self.refresh_level(level);
        }
    }

    /// A thread of some server has left its runnable list. The running server is
    /// charged first, at the next dispatch; any other is idle at once.
    fn suspended(&mut self, thread: u16) {
        let server = self.threads[usize::from(thread)].server;
        let slot = &mut self.servers[usize::from(server)];
        if slot.active && slot.runnable == NONE && server != self.running {
            slot.active = false;
            slot.algorithm.block(|_| ());
        }
        self.refresh(server, self.now);
    }
}

pub(crate) fn identify(thread: u16) -> Option<ThreadId> {
    if thread == NONE {
        None
    } else {
        Some(ThreadId(thread))
    }
}

impl<const SERVERS: usize, const THREADS: usize, const CHUNKS: usize, const WORDS: usize> Default
    for Scheduler<SERVERS, THREADS, CHUNKS, WORDS>
{
    fn default() -> Self {
        Self::new()
    }
}
