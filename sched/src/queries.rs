//! What a scheduler knows about its servers and threads.
use crate::scheduler::identify;
use crate::slot::Algorithm;
use crate::{Replenishment, Scheduler, ServerId, SporadicServer, ThreadId, ThreadState};
use tern_units::{Duration, Instant};

impl<const SERVERS: usize, const THREADS: usize, const WORDS: usize>
    Scheduler<SERVERS, THREADS, WORDS>
{
    /// The state of a thread; `None` if there is no such thread.
    #[must_use]
    pub fn thread_state(&self, thread: ThreadId) -> Option<ThreadState> {
        if thread.0 < self.thread_count {
            Some(self.threads[thread.index()].state)
        } else {
            None
        }
    }

    /// The server of a thread; `None` if there is no such thread.
    #[must_use]
    pub fn server_of(&self, thread: ThreadId) -> Option<ServerId> {
        if thread.0 < self.thread_count {
            Some(ServerId(self.threads[thread.index()].server))
        } else {
            None
        }
    }

    /// The thread that the last dispatch chose.
    #[must_use]
    pub fn running(&self) -> Option<ThreadId> {
        identify(self.running_thread)
    }

    /// The server's first replenishment, as of its last charge; `None` if there is no
    /// such server.
    #[must_use]
    pub fn head(&self, server: ServerId) -> Option<Replenishment> {
        if server.0 < self.server_count {
            Some(self.servers[server.index()].algorithm.head())
        } else {
            None
        }
    }

    /// The budget that the server will have at `at`, a later instant, if it does not run
    /// from `now` on; zero if there is no such server. What it uses from an activation
    /// within a period before `at` is not back by then. It may have more: what returns in the
    /// 33rd chunk and later does not count, nor, where its list is full, what a charge may
    /// delay (rule 5).
    #[must_use]
    pub fn budget_by(&self, server: ServerId, now: Instant, at: Instant) -> Duration {
        if server.0 >= self.server_count {
            return Duration::ZERO;
        }
        let slot = &self.servers[server.index()];
        let due = slot.amount_by(at);
        if server.0 == self.running {
            let used = now.saturating_since(self.since);
            due.saturating_sub(used.saturating_sub(slot.used))
        } else {
            due
        }
    }

    /// The sporadic server behind an identifier, as of its last charge; `None` if it is
    /// an I/O server, or there is none.
    #[must_use]
    pub fn sporadic(&self, server: ServerId) -> Option<&SporadicServer> {
        let known = &self.servers[..usize::from(self.server_count)];
        match &known.get(server.index())?.algorithm {
            Algorithm::Sporadic(sporadic) => Some(sporadic),
            Algorithm::Io(_) => None,
        }
    }

    /// The priority that a server has now, which may be inherited; `None` if there is no
    /// such server.
    #[must_use]
    pub fn priority(&self, server: ServerId) -> Option<u32> {
        let known = &self.servers[..usize::from(self.server_count)];
        Some(u32::from(known.get(server.index())?.level))
    }
}
