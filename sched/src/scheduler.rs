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
    /// Since when the running server would have run if it had run what it has not been
    /// charged for without a break.
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
    pub fn block<O: Observer + ?Sized>(&mut self, thread: ThreadId, observer: &mut O) {
        if self.thread_state(thread).is_some() {
            self.leave_list(thread.0);
            self.threads[thread.index()].state = ThreadState::Blocked;
            self.suspended(thread.0, observer);
        }
    }

    /// The thread waits until `until`, or for an earlier wake. An instant that is past
    /// when dispatch is called next leaves the thread runnable, as if it had not
    /// slept; [`Instant::NEVER`] is a block.
    pub fn sleep_until<O: Observer + ?Sized>(
        &mut self,
        thread: ThreadId,
        until: Instant,
        observer: &mut O,
    ) {
        if self.thread_state(thread).is_none() {
            return;
        }
        self.leave_list(thread.0);
        let until = until.max(self.now);
        self.join_sleeping(thread.0, until);
        self.suspended(thread.0, observer);
    }

    /// Decides what runs from `now` on: charges the server that has run if it has blocked
    /// or used up its first chunk, wakes sleepers and applies replenishments that are due
    /// and may change the decision, and picks.
    ///
    /// It takes the observer as a value, and hands it on so to what is rare: an observer
    /// that nobody points to may live in registers. A `&mut` to an observer is one, too.
    #[inline(always)]
    pub fn dispatch<O: Observer>(&mut self, now: Instant, mut observer: O) -> Dispatch {
        let running = self.running;
        self.advance(now);
        if running != NONE {
            let (used, slot) = (self.uncharged(), self.slot(running));
            if slot.runnable == NONE {
                let goes_on;
                (goes_on, observer) = self.settle_blocked(running, observer);
                if goes_on {
                    return self.preempt(running, observer);
                }
            } else if used < slot.amount {
                return self.preempt(running, observer);
            } else {
                let rest = used.as_nanos().wrapping_sub(slot.amount.as_nanos());
                let now = self.now;
                let slot = self.slot_mut(running);
                let goes_on;
                if let Some(posted) = slot.use_first(Duration::from_nanos(rest)) {
                    if slot.eligible > now {
                        observer.exhausted(ServerId(running), posted);
                        self.exhaust(running);
                        goes_on = false;
                    } else {
                        observer.replenish_posted(ServerId(running), posted);
                        self.resume(running);
                        goes_on = true;
                    }
                } else {
                    (goes_on, observer) = self.use_more(running, used, observer);
                }
                if goes_on {
                    return self.preempt(running, observer);
                }
            }
        }
        let next;
        (next, observer) = self.next(observer);
        match next {
            Some(next) => self.turn_to(next, observer),
            None => self.idle(observer),
        }
    }

    /// The running server goes on unless another preempts it.
    #[inline(always)]
    fn preempt<O: Observer>(&mut self, running: u16, mut observer: O) -> Dispatch {
        let next;
        (next, observer) = self.next(observer);
        if next == Some(running) {
            return self.stay_with(running, observer);
        }
        observer = self.pause(running, observer);
        match next {
            Some(next) => self.turn_to(next, observer),
            // An I/O server may lose its budget to a shorter period.
            None => self.idle(observer),
        }
    }

    /// The core turns to another server than it was with.
    #[inline(always)]
    fn turn_to<O: Observer>(&mut self, next: u16, mut observer: O) -> Dispatch {
        self.running = next;
        self.resume(next);
        let slot = self.slot(next);
        let (thread, timer) = (slot.runnable, self.timer(slot));
        self.running_thread = thread;
        let thread = Some(ThreadId(thread));
        observer.switched(thread);
        Dispatch { thread, timer }
    }

    /// The core stays with a server, perhaps with another thread of it.
    #[inline(always)]
    fn stay_with<O: Observer>(&mut self, running: u16, mut observer: O) -> Dispatch {
        let slot = self.slot(running);
        let (thread, timer) = (slot.runnable, self.timer(slot));
        if thread != self.running_thread {
            self.running_thread = thread;
            observer.switched(Some(ThreadId(thread)));
        }
        let thread = Some(ThreadId(thread));
        Dispatch { thread, timer }
    }

    /// No server has work and budget.
    #[inline(always)]
    fn idle<O: Observer>(&mut self, mut observer: O) -> Dispatch {
        self.running = NONE;
        if self.running_thread != NONE {
            self.running_thread = NONE;
            observer.switched(None);
        }
        let timer = Instant::from_nanos(self.agenda.earliest());
        let thread = None;
        Dispatch { thread, timer }
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
    #[inline(always)]
    fn advance(&mut self, now: Instant) {
        const LAST: Instant = Instant::from_nanos(u64::MAX - 1);
        self.now = now.min(LAST).max(self.now);
    }

    /// How long the running server has run since it was last charged.
    #[inline(always)]
    fn uncharged(&self) -> Duration {
        Duration::from_nanos(self.now.as_nanos().wrapping_sub(self.since.as_nanos()))
    }

    /// The next instant at which the decision for a server may change: budget used up, an
    /// instant of a higher priority, or a sleeper of its own with higher precedence.
    #[inline(always)]
    fn timer(&self, slot: &Slot<CHUNKS>) -> Instant {
        let mut timer = self.since.saturating_add(slot.amount);
        if slot.level > 0 {
            let above = self.agenda.earliest_above(slot.level);
            timer = timer.min(Instant::from_nanos(above));
        }
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
    fn next<O: Observer>(&mut self, mut observer: O) -> (Option<u16>, O) {
        let now = self.now;
        loop {
            let first = self.ready.first_level();
            let last = first.unwrap_or(Agenda::<WORDS>::LAST_LEVEL);
            let Some(level) = self.agenda.first_due(last, now.as_nanos()) else {
                let next = first.map(|level| self.ready.first_at(level));
                return (next, observer);
            };
            let server = self.first_of_level(level);
            let slot = self.slot(server);
            if !slot.alone {
                observer = self.notice_several(level, observer);
            } else if slot.due > now {
                // The instant was that of a server that has been ready since.
                self.refresh_level(level);
            } else {
                self.notice_due(server, now, &mut observer);
                let slot = self.slot(server);
                if slot.ready && slot.due > now {
                    return (Some(self.ready.first_at(level)), observer);
                }
            }
        }
    }

    /// Of the servers of a level where something was due, the one that is due first; or
    /// brings the agenda up to date if none is.
    #[cold]
    #[inline(never)]
    fn notice_several<O: Observer>(&mut self, level: u16, mut observer: O) -> O {
        let (server, now) = (self.first_due_of(level), self.now);
        match self.slot(server).due > now {
            true => self.refresh_level(level),
            false => self.notice_due(server, now, &mut observer),
        }
        observer
    }

    /// Wakes one sleeper of a server that is due, and replenishes it.
    #[inline(always)]
    fn notice_due<O: Observer>(&mut self, server: u16, now: Instant, observer: &mut O) {
        let slot = self.slot(server);
        let waited = slot.active;
        if slot.wakes <= now {
            let (thread, at) = (slot.sleeping, slot.wakes);
            // From this instant on it had work, whenever it is noticed: so a periodic
            // thread keeps its phase, whatever the delay of each interrupt.
            self.set_first_sleeper(server, self.thread(thread).next);
            self.make_runnable(server, thread, at);
            observer.woken(ThreadId(thread), at);
        }
        // It has work: one that has none is due when a sleeper of it is.
        let slot = self.slot_mut(server);
        if !slot.ready {
            if slot.eligible > now {
                return self.refresh(server);
            }
            slot.ready = true;
            let level = slot.level;
            self.ready.append(server, level);
            if waited {
                observer.replenish_applied(ServerId(server), self.slot(server).left());
            }
        }
        // The agenda keeps its instant until it is no longer ready, or found due again.
        let slot = self.slot_mut(server);
        slot.due = slot.wakes;
    }

    /// Charges the running server, which has used `used`: its first chunk or more, and perhaps
    /// so much of the next that too little is left. Tells whether it may go on.
    #[cold]
    #[inline(never)]
    fn use_more<O: Observer>(
        &mut self,
        running: u16,
        used: Duration,
        mut observer: O,
    ) -> (bool, O) {
        let mut last = None;
        self.slot_mut(running).use_more(used, |posted| {
            if let Some(before) = last.replace(posted) {
                observer.replenish_posted(ServerId(running), before);
            }
        });
        let goes_on = self.slot(running).eligible <= self.now;
        match last {
            Some(posted) if goes_on => observer.replenish_posted(ServerId(running), posted),
            Some(posted) => observer.exhausted(ServerId(running), posted),
            None => {}
        }
        match goes_on {
            true => self.resume(running),
            false => self.exhaust(running),
        }
        (goes_on, observer)
    }

    /// The running server, whose threads have work, has no budget for now.
    #[inline(always)]
    fn exhaust(&mut self, running: u16) {
        let slot = self.slot_mut(running);
        let (level, due) = (slot.level, slot.eligible.min(slot.wakes));
        slot.ready = false;
        slot.due = due;
        if slot.alone {
            self.ready.empty(level);
            self.agenda.set(level, due.as_nanos());
        } else {
            self.ready.take_out(running, level);
            self.refresh_level(level);
        }
    }

    /// Charges the running server, which has nothing to do. If its sleeper is due already it
    /// has, and may go on.
    #[inline(never)]
    fn settle_blocked<O: Observer>(&mut self, running: u16, mut observer: O) -> (bool, O) {
        if self.slot(running).wakes <= self.now {
            self.notice_due(running, self.now, &mut observer);
            // The agenda may not have had the instant that has passed.
            self.set_due(running, self.slot(running).wakes);
            let used = self.uncharged();
            if used >= self.slot(running).amount {
                return self.use_more(running, used, observer);
            }
            return (true, observer);
        }
        self.charge(running, &mut observer);
        self.slot_mut(running)
            .block(|posted| observer.replenish_posted(ServerId(running), posted));
        self.refresh(running);
        (false, observer)
    }

    /// Charges a server for what it has used.
    pub(crate) fn charge<O: Observer + ?Sized>(&mut self, server: u16, observer: &mut O) {
        if server == self.running {
            self.slot_mut(server).used = self.uncharged();
            self.since = self.now;
        }
        self.slot_mut(server)
            .charge(|posted| observer.replenish_posted(ServerId(server), posted));
    }

    /// The server that ran is preempted: what it used of its first chunk stays with it.
    #[inline(always)]
    fn pause<O: Observer>(&mut self, server: u16, observer: O) -> O {
        let used = self.uncharged();
        let slot = self.slot_mut(server);
        slot.used = used;
        let left = slot.amount.as_nanos().wrapping_sub(used.as_nanos());
        match left < slot.minimum.as_nanos() {
            true => self.delay(server, observer),
            false => observer,
        }
    }

    /// What is left of the first chunk of a server that was preempted is less than its
    /// minimum (rule 6).
    #[cold]
    #[inline(never)]
    fn delay<O: Observer>(&mut self, server: u16, mut observer: O) -> O {
        self.charge(server, &mut observer);
        self.refresh(server);
        observer
    }

    /// A server gets the core, and goes on with what it has used already.
    #[inline(always)]
    fn resume(&mut self, next: u16) {
        let used = self.slot(next).used.as_nanos();
        self.since = Instant::from_nanos(self.now.as_nanos().wrapping_sub(used));
    }

    /// Brings the ready queue and the agenda up to date with a server.
    pub(crate) fn refresh(&mut self, server: u16) {
        let now = self.now;
        let slot = self.slot_mut(server);
        let (level, was_ready, eligible) = (slot.level, slot.ready, slot.eligible);
        let ready = slot.active && eligible <= now;
        let due = match slot.active && !ready {
            true => eligible.min(slot.wakes),
            false => slot.wakes,
        };
        let moved = due != slot.due;
        slot.ready = ready;
        match (was_ready, ready) {
            (false, true) => self.ready.append(server, level),
            (true, false) => self.ready.take_out(server, level),
            _ => {}
        }
        if moved {
            self.set_due(server, due);
        }
    }

    /// A thread of some server has left its runnable list. The running server is settled
    /// at the next dispatch; any other that has no more work is idle at once.
    fn suspended<O: Observer + ?Sized>(&mut self, thread: u16, observer: &mut O) {
        let (server, running) = (self.thread(thread).server, self.running);
        let slot = self.slot_mut(server);
        if slot.active && slot.runnable == NONE {
            if server == running {
                return;
            }
            self.charge(server, observer);
            self.slot_mut(server)
                .block(|posted| observer.replenish_posted(ServerId(server), posted));
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
