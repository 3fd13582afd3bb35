//! The decision what runs: how the running server is charged, what is noticed, and who is
//! next. What is rare is out of line: the common way is the path of every interrupt.
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

impl<const SERVERS: usize, const THREADS: usize, const WORDS: usize>
    Scheduler<SERVERS, THREADS, WORDS>
{
    /// Decides what runs from `now` on: charges the server that has run if it has blocked
    /// or used up its first chunk, wakes sleepers and applies replenishments that are due
    /// and may change the decision, and picks.
    #[inline(always)]
    pub fn dispatch<O: Observer>(&mut self, now: Instant, observer: O) -> Dispatch {
        self.decide::<false, _>(now, observer)
    }

    /// The same, and shorter, where the timer of the last decision has fired: then the budget
    /// of the running server is used up, or something is due that may preempt it.
    #[inline(always)]
    pub fn dispatch_fired<O: Observer>(&mut self, now: Instant, observer: O) -> Dispatch {
        self.decide::<true, _>(now, observer)
    }

    #[inline(always)]
    fn decide<const FIRED: bool, O: Observer>(
        &mut self,
        now: Instant,
        mut observer: O,
    ) -> Dispatch {
        let running = self.running;
        self.advance(now);
        if running != NONE {
            let (used, slot) = (self.uncharged(), self.slot(running));
            if slot.runnable == NONE {
                if self.settle_blocked(running, &mut observer) {
                    return self.preempt::<FIRED, _>(running, &mut observer);
                }
            } else if used < slot.amount || self.use_up(running, used, &mut observer) {
                return self.preempt::<FIRED, _>(running, &mut observer);
            }
        }
        match self.next::<false, _>(&mut observer) {
            Some((next, above)) => self.turn_to(next, above, &mut observer),
            None => self.idle(&mut observer),
        }
    }

    /// Charges the running server, which has used its first chunk or more. Tells whether it
    /// may go on.
    #[inline(always)]
    fn use_up<O: Observer>(&mut self, running: u16, used: Duration, observer: &mut O) -> bool {
        let now = self.now;
        let slot = self.slot_mut(running);
        let rest = used.as_nanos().wrapping_sub(slot.amount.as_nanos());
        let Some(posted) = slot.use_first(Duration::from_nanos(rest)) else {
            return self.use_more(running, used, observer);
        };
        if slot.eligible > now {
            self.exhaust(running);
            observer.exhausted(ServerId(running), posted);
            false
        } else {
            observer.replenish_posted(ServerId(running), posted);
            self.resume(running);
            true
        }
    }

    /// The running server goes on unless another preempts it.
    #[inline(always)]
    fn preempt<const FIRED: bool, O: Observer>(
        &mut self,
        running: u16,
        observer: &mut O,
    ) -> Dispatch {
        let next = self.next::<FIRED, _>(observer);
        if let Some((next, above)) = next
            && next == running
        {
            return self.stay_with(running, above, observer);
        }
        self.pause(running, observer);
        match next {
            Some((next, above)) => self.turn_to(next, above, observer),
            // An I/O server may lose its budget to a shorter period.
            None => self.idle(observer),
        }
    }

    /// The core turns to another server than it was with.
    #[inline(always)]
    fn turn_to<O: Observer>(&mut self, next: u16, above: u64, observer: &mut O) -> Dispatch {
        self.running = next;
        self.resume(next);
        let slot = self.slot(next);
        let (thread, timer) = (slot.runnable, self.timer(slot, above));
        self.running_thread = thread;
        let thread = Some(ThreadId(thread));
        observer.switched(thread);
        Dispatch { thread, timer }
    }

    /// The core stays with a server, perhaps with another thread of it.
    #[inline(always)]
    fn stay_with<O: Observer>(&mut self, running: u16, above: u64, observer: &mut O) -> Dispatch {
        let slot = self.slot(running);
        let (thread, timer) = (slot.runnable, self.timer(slot, above));
        if thread != self.running_thread {
            self.running_thread = thread;
            observer.switched(Some(ThreadId(thread)));
        }
        let thread = Some(ThreadId(thread));
        Dispatch { thread, timer }
    }

    /// No server has work and budget.
    #[inline(always)]
    fn idle<O: Observer>(&mut self, observer: &mut O) -> Dispatch {
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

    /// The next instant at which the decision for a server may change: budget used up, the
    /// earliest of a higher priority, or a sleeper of its own with higher precedence.
    #[inline(always)]
    fn timer(&self, slot: &Slot, above: u64) -> Instant {
        let timer = self.since.saturating_add(slot.amount);
        let mut timer = timer.min(Instant::from_nanos(above));
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

    /// The server to run, and the earliest instant above it. Notices what is due at the
    /// highest level where anything is, and so on until something may run that nothing due is
    /// above. What is due below it waits: it could not run.
    ///
    /// The answer is the same whether it begins with a `SEARCH` for what is due, which is
    /// shorter where something is, or with whether anything is.
    #[inline(always)]
    fn next<const SEARCH: bool, O: Observer>(&mut self, observer: &mut O) -> Option<(u16, u64)> {
        let now = self.now;
        loop {
            let first = self.ready.first_level();
            if let Some(first) = first
                && !SEARCH
            {
                let above = self.agenda.above(first);
                if above > now.as_nanos() && self.none_due_at(first, now) {
                    observer.works_at(Some(first));
                    return Some((self.ready.first_at(first), above));
                }
            }
            let level = match (self.agenda.first_due(now.as_nanos()), first) {
                (Some(due), None) => due,
                (Some(due), Some(first)) if due < first => due,
                (_, Some(first)) if self.none_due_at(first, now) => {
                    observer.works_at(Some(first));
                    return Some((self.ready.first_at(first), self.agenda.above(first)));
                }
                (_, Some(first)) => first,
                (None, None) => {
                    observer.works_at(None);
                    return None;
                }
            };
            let server = self.first_of_level(level);
            let slot = self.slot(server);
            if !slot.alone {
                self.notice_several(level, observer);
            } else if slot.due > now {
                // The instant was that of a server that has been ready since.
                self.refresh_level(level);
            } else {
                self.notice_due(server, now, observer);
                let slot = self.slot(server);
                if slot.ready && slot.due > now {
                    observer.works_at(Some(level));
                    return Some((self.ready.first_at(level), self.agenda.above(level)));
                }
            }
        }
    }

    /// Whether nothing is due at a level where a server is ready. In the agenda there may still
    /// be the instant from which on it has been.
    #[inline(always)]
    fn none_due_at(&self, level: u16, now: Instant) -> bool {
        let slot = self.slot(self.ready.first_at(level));
        slot.due > now && (slot.alone || self.agenda.at(level) > now.as_nanos())
    }

    /// Of the servers of a level where something was due, the one that is due first; or
    /// brings the agenda up to date if none is.
    #[cold]
    #[inline(never)]
    fn notice_several<O: Observer>(&mut self, level: u16, observer: &mut O) {
        let (server, now) = (self.first_due_of(level), self.now);
        match self.slot(server).due > now {
            true => self.refresh_level(level),
            false => self.notice_due(server, now, observer),
        }
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
    fn use_more<O: Observer>(&mut self, running: u16, used: Duration, observer: &mut O) -> bool {
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
        goes_on
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
    fn settle_blocked<O: Observer>(&mut self, running: u16, observer: &mut O) -> bool {
        if self.slot(running).wakes <= self.now {
            self.notice_due(running, self.now, observer);
            // The agenda may not have had the instant that has passed.
            self.set_due(running, self.slot(running).wakes);
            let used = self.uncharged();
            if used >= self.slot(running).amount {
                return self.use_more(running, used, observer);
            }
            return true;
        }
        self.charge(running, observer);
        self.slot_mut(running)
            .block(|posted| observer.replenish_posted(ServerId(running), posted));
        self.refresh(running);
        false
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
    fn pause<O: Observer>(&mut self, server: u16, observer: &mut O) {
        let used = self.uncharged();
        let slot = self.slot_mut(server);
        slot.used = used;
        let left = slot.amount.as_nanos().wrapping_sub(used.as_nanos());
        if left < slot.minimum.as_nanos() {
            self.delay(server, observer);
        }
    }

    /// What is left of the first chunk of a server that was preempted is less than its
    /// minimum (rule 6).
    #[cold]
    #[inline(never)]
    fn delay<O: Observer>(&mut self, server: u16, observer: &mut O) {
        self.charge(server, observer);
        self.refresh(server);
    }

    /// A server gets the core, and goes on with what it has used already.
    #[inline(always)]
    fn resume(&mut self, next: u16) {
        let used = self.slot(next).used.as_nanos();
        self.since = Instant::from_nanos(self.now.as_nanos().wrapping_sub(used));
    }
}
