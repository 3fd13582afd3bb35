//! The lists of a scheduler: threads of a server that are runnable or asleep, servers of
//! a level.
use crate::slot::{NONE, Slot, Thread};
use crate::{Scheduler, ThreadState};
use tern_units::Instant;

impl<const SERVERS: usize, const THREADS: usize, const WORDS: usize>
    Scheduler<SERVERS, THREADS, WORDS>
{
    /// A server by its number. Those in lists are below `SERVERS`: the remainder is a
    /// mask, and takes the place of a check.
    #[inline]
    pub(crate) fn slot(&self, server: u16) -> &Slot {
        &self.servers[usize::from(server) % SERVERS]
    }

    #[inline]
    pub(crate) fn slot_mut(&mut self, server: u16) -> &mut Slot {
        &mut self.servers[usize::from(server) % SERVERS]
    }

    /// A thread by its number, likewise.
    #[inline]
    pub(crate) fn thread(&self, thread: u16) -> &Thread {
        &self.threads[usize::from(thread) % THREADS]
    }

    #[inline]
    pub(crate) fn thread_mut(&mut self, thread: u16) -> &mut Thread {
        &mut self.threads[usize::from(thread) % THREADS]
    }

    /// Puts a thread that is in no list among the runnable ones of its server `server`, which
    /// unblocks at `at` if it had none (rule 4).
    #[inline(always)]
    pub(crate) fn make_runnable(&mut self, server: u16, thread: u16, at: Instant) {
        let mut previous = NONE;
        let mut next = self.slot(server).runnable;
        while next < thread {
            previous = next;
            next = self.thread(next).next;
        }
        match previous {
            NONE => self.slot_mut(server).runnable = thread,
            _ => self.thread_mut(previous).next = thread,
        }
        let record = self.thread_mut(thread);
        record.next = next;
        record.state = ThreadState::Runnable;
        let slot = self.slot_mut(server);
        if !slot.active {
            slot.unblock(at);
        }
    }

    /// Takes a thread out of the runnable or sleeping list that it is in.
    pub(crate) fn leave_list(&mut self, thread: u16) {
        let Thread {
            server,
            state,
            next,
            ..
        } = *self.thread(thread);
        let slot = self.slot_mut(server);
        let first = match state {
            ThreadState::Blocked => return,
            ThreadState::Sleeping(_) if slot.sleeping == thread => {
                self.set_first_sleeper(server, next);
                return;
            }
            ThreadState::Sleeping(_) => slot.sleeping,
            ThreadState::Runnable if slot.runnable == thread => {
                slot.runnable = next;
                return;
            }
            ThreadState::Runnable => slot.runnable,
        };
        let mut other = first;
        while other != NONE {
            let link = &mut self.thread_mut(other).next;
            if *link == thread {
                *link = next;
                return;
            }
            other = *link;
        }
    }

    /// Puts a thread that is in no list among the sleeping ones of its server.
    pub(crate) fn join_sleeping(&mut self, thread: u16, until: Instant) {
        // Threads that sleep until the same instant wake in the order of their calls.
        let server = self.thread(thread).server;
        let mut previous = NONE;
        let mut next = self.slot(server).sleeping;
        while next != NONE && self.wakes_at(next) <= until {
            previous = next;
            next = self.thread(next).next;
        }
        let record = self.thread_mut(thread);
        record.next = next;
        record.state = ThreadState::Sleeping(until);
        match previous {
            NONE => self.set_first_sleeper(server, thread),
            _ => self.thread_mut(previous).next = thread,
        }
    }

    #[inline]
    pub(crate) fn set_first_sleeper(&mut self, server: u16, thread: u16) {
        let wakes = match thread {
            NONE => Instant::NEVER,
            _ => self.wakes_at(thread),
        };
        let slot = self.slot_mut(server);
        slot.sleeping = thread;
        slot.wakes = wakes;
    }

    /// When a sleeping thread wakes.
    #[inline]
    pub(crate) fn wakes_at(&self, thread: u16) -> Instant {
        match self.thread(thread).state {
            ThreadState::Sleeping(until) => until,
            ThreadState::Runnable | ThreadState::Blocked => Instant::NEVER,
        }
    }

    #[inline]
    pub(crate) fn first_of_level(&self, level: u16) -> u16 {
        self.members[usize::from(level / 64) % WORDS][usize::from(level % 64)]
    }

    /// Sets a server's instant in the agenda.
    #[inline(always)]
    pub(crate) fn set_due(&mut self, server: u16, due: Instant) {
        let slot = self.slot_mut(server);
        slot.due = due;
        let level = slot.level;
        match slot.alone {
            true => self.agenda.set(level, due.as_nanos()),
            false => self.refresh_level(level),
        }
    }

    /// Of the servers of a level, which has one, the one that is due first.
    pub(crate) fn first_due_of(&self, level: u16) -> u16 {
        let mut server = self.first_of_level(level);
        let mut first = server;
        while server != NONE {
            if self.slot(server).due < self.slot(first).due {
                first = server;
            }
            server = self.slot(server).next_of_level;
        }
        first
    }

    /// Brings the agenda up to date with a level.
    #[cold]
    pub(crate) fn refresh_level(&mut self, level: u16) {
        let mut least = Instant::NEVER;
        let first = self.first_of_level(level);
        let mut server = first;
        while server != NONE {
            let slot = self.slot_mut(server);
            slot.alone = server == first && slot.next_of_level == NONE;
            least = least.min(slot.due);
            server = slot.next_of_level;
        }
        self.agenda.set(level, least.as_nanos());
    }

    /// Moves a server to another level.
    pub(crate) fn set_level(&mut self, server: u16, level: u16) {
        let old = self.servers[usize::from(server)].level;
        if old == level {
            return;
        }
        let (word, bit) = (usize::from(old / 64), usize::from(old % 64));
        let next = self.servers[usize::from(server)].next_of_level;
        if self.members[word][bit] == server {
            self.members[word][bit] = next;
        } else {
            let mut other = self.members[word][bit];
            while other != NONE {
                let link = &mut self.servers[usize::from(other)].next_of_level;
                if *link == server {
                    *link = next;
                    break;
                }
                other = *link;
            }
        }
        self.refresh_level(old);
        self.servers[usize::from(server)].level = level;
        self.join_level(server);
        if self.slot(server).ready {
            self.ready.take_out(server, old);
            self.ready.append(server, level);
        }
    }

    pub(crate) fn join_level(&mut self, server: u16) {
        let level = self.servers[usize::from(server)].level;
        let first = &mut self.members[usize::from(level / 64)][usize::from(level % 64)];
        self.servers[usize::from(server)].next_of_level = *first;
        *first = server;
        self.agenda.include(level);
        self.refresh_level(level);
    }
}
