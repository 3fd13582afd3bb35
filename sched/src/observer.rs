//! What a scheduler tells about its decisions, for traces and simulations.
use crate::{Posted, ServerId, ThreadId};
use tern_units::{Duration, Instant};

/// Hears of each decision in [`Scheduler::dispatch`](crate::Scheduler::dispatch), in
/// the order in which they are made. Every method does nothing by default.
pub trait Observer {
    /// From now on `thread` runs, or nothing does. Called only on a change.
    fn switched(&mut self, thread: Option<ThreadId>) {
        let _ = thread;
    }

    /// From now on the core works at this priority: that of the server which runs, its own or
    /// one that it inherits, or `None` where nothing runs. Told by each decision, whether it
    /// changes or not.
    fn works_at(&mut self, priority: Option<u16>) {
        let _ = priority;
    }

    /// A sleeping thread has become runnable at `at`. That is the instant it asked
    /// for: where it could not have preempted, it is noticed at a later dispatch, when it
    /// could run.
    fn woken(&mut self, thread: ThreadId, at: Instant) {
        let _ = (thread, at);
    }

    /// A server has runnable threads and no budget left: what it used last will return.
    fn exhausted(&mut self, server: ServerId, posted: Posted) {
        self.replenish_posted(server, posted);
    }

    /// Budget was consumed and will return. Not told of what [`Observer::exhausted`] is,
    /// which by default tells it here.
    fn replenish_posted(&mut self, server: ServerId, posted: Posted) {
        let _ = (server, posted);
    }

    /// A server with runnable threads that waited for budget has got this much: told when
    /// it could use it.
    fn replenish_applied(&mut self, server: ServerId, amount: Duration) {
        let _ = (server, amount);
    }
}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn switched(&mut self, thread: Option<ThreadId>) {
        (**self).switched(thread);
    }

    fn works_at(&mut self, priority: Option<u16>) {
        (**self).works_at(priority);
    }

    fn woken(&mut self, thread: ThreadId, at: Instant) {
        (**self).woken(thread, at);
    }

    fn exhausted(&mut self, server: ServerId, posted: Posted) {
        (**self).exhausted(server, posted);
    }

    fn replenish_posted(&mut self, server: ServerId, posted: Posted) {
        (**self).replenish_posted(server, posted);
    }

    fn replenish_applied(&mut self, server: ServerId, amount: Duration) {
        (**self).replenish_applied(server, amount);
    }
}

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}
