//! The lists of a scheduler: threads of a server that are runnable or asleep, servers of
//! a level.
use crate::slot::{NONE, Slot, Thread};
use crate::{Scheduler, ThreadState};
use tern_units::Instant;

impl<const SERVERS: usize, const THREADS: usize, const CHUNKS: usize, const WORDS: usize>
    Scheduler<SERVERS, THREADS, CHUNKS, WORDS>
{
    /// A server by its number. Those in lists are below `SERVERS`: the remainder is a
    /// mask, and takes the place of a check.
    #[inline]
    pub(crate) fn slot(&self, server: u16) -> &Slot<CHUNKS> {
        &self.servers[usize::from(server) % SERVERS]
    }

    #[inline]
    pub(crate) fn slot_mut(&mut self, server: u16) -> &mut Slot<CHUNKS> {
        &mut self.servers[usize::from(server) % SERVERS]
    }

    /// A thread by its number, likewise.
    #[inline]
    pub(crate) fn thread(&self, thread: u16) -> &Thread {
        &self.threads[usize::from(thread) % THREADS]
    }

    /// Puts a thread that is in no list among the runnable ones of its server, which
    /// unblocks at `at` if it had none (rule 4).
    #[inline]
    pub(crate) fn make_runnable(&mut self, thread: u16, at: Instant) {
        let slot = &mut self.servers[usize::from(self.threads[usize::from(thread)].server)];
        let mut previous = NONE;
        let mut next = slot.runnable;
        while next < thread {
            previous = next;
            next = self.threads[usize::from(next)].next;
        }
        match previous {
            NONE => slot.runnable = thread,
            _ => self.threads[usize::from(previous)].next = thread,
        }
        self.threads[usize::from(thread)].next = next;
        self.threads[usize::from(thread)].state = ThreadState::Runnable;
        if !slot.active {
            slot.active = true;
            slot.algorithm.unblock(at);
        }
    }

    /// Takes a thread out of the runnable or sleeping list that it is in.
    pub(crate) fn leave_list(&mut self, thread: u16) {
        let Thread {
            server,
            state,
            next,
            ..
        } = self.threads[usize::from(thread)];
        let slot = &mut self.servers[usize::from(server)];
        let first = match state {
            ThreadState::Blocked => return,
            ThreadState::Runnable => &mut slot.runnable,
            ThreadState::Sleeping(_) => &mut slot.sleeping,
        };
        if *first == thread {
            *first = next;
            return;
        }
        let mut other = *first;
        while other != NONE {
            let link = &mut self.threads[usize::from(other)].next;
            if *link == thread {
                *link = next;
                return;
            }
            other = *link;
        }
    }

    /// Puts a thread that is in no list among the sleeping ones of its server.
    pub(crate) fn join_sleeping(&mut self, thread: u16, until: Instant) {
        self.threads[usize::from(thread)].state = ThreadState::Sleeping(until);
        // Threads that sleep until the same instant wake in the order of their calls.
        let server = usize::from(self.threads[usize::from(thread)].server);
        let mut previous = NONE;
        let mut next = self.servers[server].sleeping;
        while next != NONE && self.wakes_at(next) <= until {
            previous = next;
            next = self.threads[usize::from(next)].next;
        }
        match previous {
            NONE => self.servers[server].sleeping = thread,
            _ => self.threads[usize::from(previous)].next = thread,
        }
        self.threads[usize::from(thread)].next = next;
    }

    /// When a sleeping thread wakes; never for another, or for none.
    #[inline]
    pub(crate) fn wakes_at(&self, thread: u16) -> Instant {
        match self.threads.get(usize::from(thread)) {
            Some(Thread {
                state: ThreadState::Sleeping(until),
                ..
            }) => *until,
            _ => Instant::NEVER,
        }
    }

    /// Of the servers of a level that are due, the one that is so for the longest, and
    /// whether there are others.
    #[inline]
    pub(crate) fn first_due_at(&self, level: u16) -> (u16, bool) {
        let (mut first, mut earliest, mut more) = (NONE, Instant::NEVER, false);
        let mut server = self.members[usize::from(level / 64)][usize::from(level % 64)];
        while server != NONE {
            let slot = self.slot(server);
            if slot.due <= self.now {
                more = first != NONE;
                if slot.due < earliest {
                    (first, earliest) = (server, slot.due);
                }
            }
            server = slot.next_of_level;
        }
        (first, more)
    }

    /// Brings the agenda up to date with a level.
    pub(crate) fn refresh_level(&mut self, level: u16) {
        let mut least = Instant::NEVER;
        let mut server = self.members[usize::from(level / 64)][usize::from(level % 64)];
        while server != NONE {
            let slot = &self.servers[usize::from(server)];
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
        if self.ready.contains(server) {
            self.ready.remove(server);
            self.ready.insert(server, level);
        }
    }

    pub(crate) fn join_level(&mut self, server: u16) {
        let level = self.servers[usize::from(server)].level;
        let first = &mut self.members[usize::from(level / 64)][usize::from(level % 64)];
        self.servers[usize::from(server)].next_of_level = *first;
        *first = server;
        self.refresh_level(level);
    }
}
