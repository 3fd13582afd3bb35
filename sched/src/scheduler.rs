//! The scheduler of one core: servers, their threads, and the decision what runs.
use crate::ThreadState;
use crate::agenda::Agenda;
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
/// The work of a dispatch grows with the number of instants that are due at the priority
/// that it chooses and above, not with the number of servers or threads. Waking or
/// suspending a thread takes steps in proportion to the runnable or sleeping threads *of
/// its own server*.
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
    const SIZES: () = assert!(SERVERS > 0 && THREADS > 0 && THREADS < NONE as usize);

    /// A scheduler without servers, at the epoch.
    #[must_use]
    pub const fn new() -> Self {
        let () = Self::SIZES;
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
        if matches!(
            self.thread_state(thread),
            None | Some(ThreadState::Runnable)
        ) {
            return;
        }
        self.advance(now);
        let now = self.now;
        let server = self.thread(thread.0).server;
        // Its server has work since the first of its sleepers was due, noticed or not.
        let since = now.min(self.slot(server).wakes);
        self.leave_list(thread.0);
        self.make_runnable(server, thread.0, since);
        self.refresh(server);
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
    /// server, wakes sleepers and applies replenishments that are due and may change
    /// the decision, and picks.
    #[inline(always)]
    pub fn dispatch<O: Observer + ?Sized>(&mut self, now: Instant, observer: &mut O) -> Dispatch {
        let running = self.running;
        self.advance(now);
        if running != NONE {
            self.settle(running, observer);
        }
        let next = self.next(observer);
        if next != running {
            self.running = next;
            match running {
                NONE => self.since = self.now,
                _ => self.charge(running, observer),
            }
        }
        let (thread, timer) = match next {
            NONE => (NONE, Instant::from_nanos(self.agenda.earliest())),
            _ => (self.slot(next).runnable, self.timer(self.slot(next))),
        };
        if thread != self.running_thread {
            self.running_thread = thread;
            observer.switched(identify(thread));
        }
        Dispatch {
            thread: identify(thread),
            timer,
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

    /// Notes what time it is. The end of time never comes: what is due then never is.
    #[inline]
    fn advance(&mut self, now: Instant) {
        const LAST: Instant = Instant::from_nanos(u64::MAX - 1);
        self.now = now.min(LAST).max(self.now);
    }

    /// How long the running server has run since it was last charged.
    fn uncharged(&self) -> Duration {
        self.now.saturating_since(self.since)
    }

    /// The next instant at which the decision for a server may change: budget used up, an
    /// instant of a higher priority, or a sleeper of its own with higher precedence.
    #[inline(always)]
    fn timer(&self, slot: &Slot<CHUNKS>) -> Instant {
        let above = Instant::from_nanos(self.agenda.earliest_above(slot.level));
        let exhausted = self.since.saturating_add(slot.head.amount);
        let mut timer = above.min(exhausted);
        if slot.wakes < timer {
            let mut sleeper = slot.sleeping;
            while sleeper != NONE && self.wakes_at(sleeper) < timer {
                if sleeper < slot.runnable {
                    timer = self.wakes_at(sleeper);
                }
                sleeper = self.thread(sleeper).next;
            }
        }
        timer
    }

    /// The server to run. Wakes and replenishes what is due at the highest level where
    /// anything is, and so on until something may run that nothing due is above. What is
    /// due below it waits: it could not run.
    #[inline(always)]
    fn next<O: Observer + ?Sized>(&mut self, observer: &mut O) -> u16 {
        while let Some(level) = self.agenda.first_due(self.now.as_nanos()) {
            if level > self.ready.first_level() {
                break;
            }
            self.notice_due_at(level, observer);
            let next = self.ready.first_at(level);
            if next != NONE {
                return next;
            }
        }
        self.ready.first().unwrap_or(NONE)
    }

    /// Wakes and replenishes the servers of one level, in the order of their instants.
    #[inline(always)]
    fn notice_due_at<O: Observer + ?Sized>(&mut self, level: u16, observer: &mut O) {
        let (first, due, others) = self.first_due_at(level);
        if !due {
            // The level's instant was that of a server that has been ready since.
            return self.refresh_level(level);
        }
        self.notice_due(first, observer);
        if others {
            self.notice_others_at(level, observer);
        }
    }

    #[cold]
    fn notice_others_at<O: Observer + ?Sized>(&mut self, level: u16, observer: &mut O) {
        while let (first, true, _) = self.first_due_at(level) {
            self.notice_due(first, observer);
        }
    }

    /// Wakes and replenishes one server.
    #[inline(always)]
    fn notice_due<O: Observer + ?Sized>(&mut self, server: u16, observer: &mut O) {
        let was_waiting = self.slot(server).active;
        while self.slot(server).wakes <= self.now {
            let Slot {
                sleeping: thread,
                wakes: at,
                ..
            } = *self.slot(server);
            // From this instant on it had work, whenever it is noticed: so a periodic
            // thread keeps its phase, whatever the delay of each interrupt.
            self.set_first_sleeper(server, self.thread(thread).next);
            self.make_runnable(server, thread, at);
            observer.woken(ThreadId(thread), at);
        }
        let now = self.now;
        let slot = self.slot_mut(server);
        if slot.ready || !slot.active || slot.head.time > now {
            return self.refresh(server);
        }
        // The agenda keeps its instant until it is no longer ready, or found due again.
        slot.ready = true;
        slot.due = slot.wakes;
        let (level, amount) = (slot.level, slot.head.amount);
        self.ready.append(server, level);
        if was_waiting {
            observer.replenish_applied(ServerId(server), amount);
        }
    }

    /// Charges the running server if it has blocked or its first chunk is used up.
    #[inline(always)]
    fn settle<O: Observer + ?Sized>(&mut self, running: u16, observer: &mut O) {
        let slot = self.slot(running);
        let mut blocked = slot.runnable == NONE;
        if blocked && slot.wakes <= self.now {
            self.notice_late(running, observer);
            blocked = self.slot(running).runnable == NONE;
        }
        if !blocked && self.uncharged() < self.slot(running).head.amount {
            return;
        }
        self.charge(running, observer);
        if blocked {
            self.slot_mut(running)
                .block(|posted| observer.replenish_posted(ServerId(running), posted));
            self.refresh(running);
        } else if !self.slot(running).ready {
            observer.exhausted(ServerId(running));
        }
    }

    /// The sleeper of a server that has nothing else to do is due already.
    #[cold]
    fn notice_late<O: Observer + ?Sized>(&mut self, running: u16, observer: &mut O) {
        self.notice_due(running, observer);
    }

    /// Charges the running server for what it has run since its last charge.
    #[inline(always)]
    fn charge<O: Observer + ?Sized>(&mut self, running: u16, observer: &mut O) {
        let (now, used) = (self.now, self.uncharged());
        self.since = now;
        let slot = self.slot_mut(running);
        slot.charge(used, |posted| {
            observer.replenish_posted(ServerId(running), posted)
        });
        // It was ready. While its next chunk is active nothing else changes.
        if slot.head.time > now {
            self.refresh(running);
        }
    }

    /// Brings the ready queue and the agenda up to date with a server.
    pub(crate) fn refresh(&mut self, server: u16) {
        let now = self.now;
        let slot = self.slot_mut(server);
        let (level, was_ready, eligible) = (slot.level, slot.ready, slot.head.time);
        let ready = slot.active && eligible <= now;
        let due = match slot.active && !ready {
            true => eligible.min(slot.wakes),
            false => slot.wakes,
        };
        let moved = due != slot.due;
        let last_of_level = slot.next_of_level == NONE;
        slot.ready = ready;
        slot.due = due;
        match (was_ready, ready) {
            (false, true) => self.ready.append(server, level),
            (true, false) => self.ready.take_out(server),
            _ => {}
        }
        if moved {
            match last_of_level && self.first_of_level(level) == server {
                true => self.agenda.set(level, due.as_nanos()),
                false => self.refresh_level(level),
            }
        }
    }

    /// A thread of some server has left its runnable list. The running server is settled
    /// at the next dispatch; any other that has no more work is idle at once.
    fn suspended(&mut self, thread: u16) {
        let (server, running) = (self.thread(thread).server, self.running);
        let slot = self.slot_mut(server);
        if slot.active && slot.runnable == NONE {
            if server == running {
                return;
            }
            slot.block(|_| ());
        }
        self.refresh(server);
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
