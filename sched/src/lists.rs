//! The lists of a scheduler: threads of a server that are runnable or asleep, servers of
//! a level.
use crate::slot::{NONE, Thread};
use crate::{Scheduler, ThreadState};
use tern_units::Instant;

impl<const SERVERS: usize, const THREADS: usize, const CHUNKS: usize, const WORDS: usize>
    Scheduler<SERVERS, THREADS, CHUNKS, WORDS>
{
    /// Puts a thread that is in no list among the runnable ones of its server, which
    /// unblocks at `at` if it had none (rule 4).
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

    pub(crate) fn wakes_at(&self, thread: u16) -> Instant {
        wakes_at(&self.threads, thread)
    }

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

pub(crate) fn wakes_at(threads: &[Thread], thread: u16) -> Instant {
    match threads[usize::from(thread)].state {
        ThreadState::Sleeping(until) => until,
        ThreadState::Runnable | ThreadState::Blocked => Instant::NEVER,
    }
}
