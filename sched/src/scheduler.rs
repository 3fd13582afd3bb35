//! The scheduler of one core: servers, their threads, and the decision what runs.
use crate::ThreadState;
use crate::agenda::Agenda;
use crate::slot::{NONE, Slot, Thread};
use crate::{AddError, Observer, ReadyQueue, ServerId, ServerParameters, ThreadId};
use tern_units::Instant;

/// Servers and threads of one core, with fixed capacities: `SERVERS` servers (at most
/// 64 × `WORDS` priority levels), `THREADS` threads in all. Adding a sporadic server
/// allocates its list of replenishments; nothing else allocates.
///
/// The work of a dispatch grows with the number of instants that are due at the priority
/// that it chooses and above, not with the number of servers or threads. Waking or
/// suspending a thread takes steps in proportion to the runnable or sleeping threads *of
/// its own server*.
///
/// No input makes it panic: identifiers it has not given out are ignored, and time that
/// seems to run backwards is taken to stand still.
#[derive(Clone, Debug)]
pub struct Scheduler<const SERVERS: usize = 64, const THREADS: usize = 128, const WORDS: usize = 1>
{
    pub(crate) servers: [Slot; SERVERS],
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

impl<const SERVERS: usize, const THREADS: usize, const WORDS: usize>
    Scheduler<SERVERS, THREADS, WORDS>
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

impl<const SERVERS: usize, const THREADS: usize, const WORDS: usize> Default
    for Scheduler<SERVERS, THREADS, WORDS>
{
    fn default() -> Self {
        Self::new()
    }
}
