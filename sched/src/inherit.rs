//! Who an I/O server works for, and the priority and period it inherits from them.
//!
//! The original never lowers an inherited priority while the server stays busy. Here it
//! goes as soon as the requester that gave it is served. It is not handed on: who works for a
//! requester requests nothing (`tern_config` refuses descriptions that say otherwise).
use crate::slot::{Algorithm, NONE};
use crate::{Observer, Scheduler, ServerId, ThreadId};

impl<const SERVERS: usize, const THREADS: usize, const WORDS: usize>
    Scheduler<SERVERS, THREADS, WORDS>
{
    /// `thread` now waits for work by the I/O server `server`, which inherits the
    /// priority and the period of the thread's server if these are higher and shorter
    /// than what it has. A thread waits for one server at a time: an earlier request
    /// is withdrawn. No effect if `server` is a sporadic server or the thread's own.
    ///
    /// This neither blocks the thread nor wakes the server.
    pub fn request<O: Observer + ?Sized>(
        &mut self,
        thread: ThreadId,
        server: ServerId,
        observer: &mut O,
    ) {
        let Some(own) = self.server_of(thread) else {
            return;
        };
        let known = server.0 < self.server_count && server != own;
        if !known || !matches!(self.servers[server.index()].algorithm, Algorithm::Io(_)) {
            return;
        }
        self.served(thread, observer);
        let slot = &mut self.servers[server.index()];
        self.threads[thread.index()].awaits = server.0;
        self.threads[thread.index()].next_requester = slot.requesters;
        slot.requesters = thread.0;
        self.inherit(server.0, observer);
    }

    /// What `thread` requested is done, or no longer wanted: the I/O server falls back
    /// to the highest priority and shortest period of its other requesters and itself.
    pub fn served<O: Observer + ?Sized>(&mut self, thread: ThreadId, observer: &mut O) {
        if self.thread_state(thread).is_none() {
            return;
        }
        let record = &mut self.threads[thread.index()];
        let (server, next) = (record.awaits, record.next_requester);
        if server == NONE {
            return;
        }
        record.awaits = NONE;
        record.next_requester = NONE;
        let slot = &mut self.servers[usize::from(server)];
        if slot.requesters == thread.0 {
            slot.requesters = next;
        } else {
            let mut other = slot.requesters;
            while other != NONE {
                let link = &mut self.threads[usize::from(other)].next_requester;
                if *link == thread.0 {
                    *link = next;
                    break;
                }
                other = *link;
            }
        }
        self.inherit(server, observer);
    }

    /// Gives an I/O server the highest priority and the shortest period among its own
    /// and its requesters'.
    fn inherit<O: Observer + ?Sized>(&mut self, server: u16, observer: &mut O) {
        let slot = &self.servers[usize::from(server)];
        let (mut level, mut period) = (slot.own_level, slot.period());
        let mut requester = slot.requesters;
        while requester != NONE {
            let thread = &self.threads[usize::from(requester)];
            let origin = &self.servers[usize::from(thread.server)];
            level = level.min(origin.own_level);
            period = period.min(origin.period());
            requester = thread.next_requester;
        }
        self.set_level(server, level);
        self.charge(server, observer);
        self.slot_mut(server).adopt(period, |posted| {
            observer.replenish_posted(ServerId(server), posted)
        });
        self.refresh(server);
    }
}
