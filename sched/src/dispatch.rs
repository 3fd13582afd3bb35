//! The decision what runs: how the running server is charged, what is noticed, and who is
//! next. What is rare is out of line: the common way is the path of every interrupt.
use crate::agenda::Agenda;
use crate::slot::{NONE, Slot};
use crate::{Observer, Scheduler, ServerId, ThreadId};
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

impl<const SERVERS: usize, const THREADS: usize, const CHUNKS: usize, const WORDS: usize>
    Scheduler<SERVERS, THREADS, CHUNKS, WORDS>
{
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

    /// Notes what time it is. The end of time never comes: what is due then never is.
    #[inline(always)]
    pub(crate) fn advance(&mut self, now: Instant) {
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
}
