//! What a core's scheduler decides, as its servers' histories and, where that is wanted, as
//! the records that a kernel would write.
use tern_sched::{Observer, Posted, ServerId, ThreadId};
use tern_trace::{Event, Record};
use tern_units::{Duration, Instant};

use crate::ServerHistory;

/// Listens to the scheduler of one core.
pub(crate) struct Recorder {
    pub(crate) servers: Vec<ServerHistory>,
    /// What it is, for all that is recorded.
    pub(crate) now: Instant,
    records: Option<Vec<Record>>,
}

impl Recorder {
    pub(crate) fn new(keeps_records: bool) -> Self {
        let mut recorder = Self {
            servers: Vec::new(),
            now: Instant::EPOCH,
            records: keeps_records.then(Vec::new),
        };
        recorder.synchronize();
        recorder
    }

    /// Records that it is now. A trace begins and ends so: its end is the end of what is
    /// known, and nothing may happen then.
    pub(crate) fn synchronize(&mut self) {
        self.record(Event::ClockSync { now: self.now });
    }

    pub(crate) fn record(&mut self, event: Event) {
        if let Some(records) = &mut self.records {
            let (record, wide) = event.encode(self.now.as_nanos());
            records.push(record);
            records.extend(wide.map(Record::continuation));
        }
    }

    pub(crate) fn into_parts(self) -> (Vec<ServerHistory>, Option<Vec<Record>>) {
        (self.servers, self.records)
    }

    /// Budget that the scheduler merges with what it posted just before, such as that
    /// consumed after a preemption with that consumed before, is one replenishment.
    fn remember(&mut self, server: ServerId, posted: Posted) {
        let replenishments = &mut self.servers[server.index()].replenishments;
        if let Some((at, amount)) = replenishments.last_mut() {
            let both = amount.saturating_add(posted.amount);
            let touch = at.saturating_add(*amount) == posted.time;
            if touch && posted.entry.time <= *at && posted.entry.amount >= both {
                *amount = both;
                return;
            }
        }
        replenishments.push((posted.time, posted.amount));
    }
}

impl Observer for Recorder {
    fn switched(&mut self, thread: Option<ThreadId>) {
        let thread = thread.map(|thread| thread.index() as u16);
        self.record(Event::Switch { thread });
    }

    fn exhausted(&mut self, server: ServerId, posted: Posted) {
        self.remember(server, posted);
        self.record(Event::Exhaust {
            server: server.index() as u16,
            amount: posted.amount,
            at: posted.time,
        });
    }

    fn replenish_posted(&mut self, server: ServerId, posted: Posted) {
        self.remember(server, posted);
        self.record(Event::ReplenishPosted {
            server: server.index() as u16,
            amount: posted.amount,
            at: posted.time,
        });
    }

    fn replenish_applied(&mut self, server: ServerId, amount: Duration) {
        let server = server.index() as u16;
        self.record(Event::ReplenishApplied { server, amount });
    }
}
