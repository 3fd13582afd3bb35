//! One server inside a scheduler: its algorithm, its place in the priority order, and
//! the lists of its threads.
use crate::{
    AddError, IoServer, Posted, Replenishment, ServerKind, ServerParameters, SporadicServer,
};
use tern_units::{Duration, Instant};

/// "No entry" in the lists of threads and servers.
pub(crate) const NONE: u16 = u16::MAX;

/// Either algorithm.
#[derive(Clone, Debug)]
pub(crate) enum Algorithm {
    Sporadic(SporadicServer),
    Io(IoServer),
}

impl Algorithm {
    fn new(parameters: ServerParameters, start: Instant) -> Result<Self, AddError> {
        Ok(match parameters.kind {
            ServerKind::Sporadic => Self::Sporadic(SporadicServer::new(parameters, start)?),
            ServerKind::Io => Self::Io(IoServer::new(parameters, start)?),
        })
    }

    pub(crate) fn head(&self) -> Replenishment {
        match self {
            Self::Sporadic(server) => server.head(),
            Self::Io(server) => server.head(),
        }
    }
}

/// A server in its scheduler, in a power of two of bytes: each decision finds several.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// Changed by the methods here alone, which keep the next fields.
    pub(crate) algorithm: Algorithm,
    /// Of the algorithm's first replenishment, which every decision asks for: how much it is,
    /// and when what is left of it may be used.
    pub(crate) amount: Duration,
    pub(crate) eligible: Instant,
    /// What was used of it and not charged yet: less than all of it. While the server runs
    /// this is what it had used when it got the core.
    pub(crate) used: Duration,
    /// The least that may be left of it when the server is preempted (rule 6), 1 ns for none.
    pub(crate) minimum: Duration,
    /// The priority it was given, and the one it has, which may be inherited.
    pub(crate) own_level: u16,
    pub(crate) level: u16,
    /// The next server of the same level: a list without order.
    pub(crate) next_of_level: u16,
    /// Whether it is the only one.
    pub(crate) alone: bool,
    /// First of its runnable threads, in order of precedence.
    pub(crate) runnable: u16,
    /// First of its sleeping threads, in order of time, and when it wakes.
    pub(crate) sleeping: u16,
    pub(crate) wakes: Instant,
    /// First of the threads, of other servers, that wait for this I/O server.
    pub(crate) requesters: u16,
    /// Whether it has work. It keeps it until the dispatch after its last thread blocked.
    pub(crate) active: bool,
    /// Whether it is in the ready queue: active, and with budget.
    pub(crate) ready: bool,
    /// Its instant in the agenda.
    pub(crate) due: Instant,
}

const _: () = assert!(size_of::<Slot>() == 128);

impl Slot {
    pub(crate) const EMPTY: Self = Self {
        algorithm: Algorithm::Io(IoServer::EMPTY),
        amount: Duration::ZERO,
        eligible: Instant::EPOCH,
        used: Duration::ZERO,
        minimum: Duration::ZERO,
        own_level: 0,
        level: 0,
        next_of_level: NONE,
        alone: true,
        runnable: NONE,
        sleeping: NONE,
        wakes: Instant::NEVER,
        requesters: NONE,
        active: false,
        ready: false,
        due: Instant::NEVER,
    };

    pub(crate) fn new(parameters: ServerParameters, start: Instant) -> Result<Self, AddError> {
        let level = u16::try_from(parameters.priority).map_err(|_| AddError::Priority)?;
        let algorithm = Algorithm::new(parameters, start)?;
        Ok(Self {
            amount: algorithm.head().amount,
            eligible: algorithm.head().time,
            minimum: match algorithm {
                Algorithm::Sporadic(_) => parameters.minimum_budget.max(Duration::from_nanos(1)),
                Algorithm::Io(_) => Duration::from_nanos(1),
            },
            algorithm,
            own_level: level,
            level,
            ..Self::EMPTY
        })
    }

    /// T as the description has it, for requesters to pass on.
    pub(crate) fn period(&self) -> Duration {
        match &self.algorithm {
            Algorithm::Sporadic(server) => server.period(),
            Algorithm::Io(server) => server.own_period(),
        }
    }

    /// What is left of its first replenishment.
    #[inline(always)]
    pub(crate) const fn left(&self) -> Duration {
        self.amount.saturating_sub(self.used)
    }

    /// Notes what the algorithm's first replenishment is, of which `used` is used. That was
    /// ahead of its time, so the rest is to be used that much later.
    #[inline(always)]
    fn note(&mut self, head: Replenishment, used: Duration) {
        self.used = used;
        self.amount = head.amount;
        self.eligible = head.time.saturating_add(used);
    }

    /// Charges what was used.
    pub(crate) fn charge(&mut self, posted: impl FnMut(Posted)) {
        match &mut self.algorithm {
            Algorithm::Sporadic(server) => server.charge(self.used, posted),
            Algorithm::Io(server) => server.charge(self.used, posted),
        }
        self.note(self.algorithm.head(), Duration::ZERO);
    }

    /// Charges the first replenishment, which is used up, and keeps `rest` as used of the
    /// next. Returns what is on its way back; `None`, and nothing done, where this is not all:
    /// then it is for [`Slot::use_more`].
    ///
    /// What is used of a chunk that is not used up waits for that: a chunk returns a period
    /// after its activation, whatever it is charged for at once.
    #[inline(always)]
    pub(crate) fn use_first(&mut self, rest: Duration) -> Option<Posted> {
        let Algorithm::Sporadic(server) = &mut self.algorithm else {
            return None;
        };
        if let Some(posted) = server.use_only(rest, self.minimum) {
            self.used = rest;
            self.eligible = posted.time.saturating_add(rest);
            return Some(posted);
        }
        let posted = server.use_first(rest.saturating_add(self.minimum))?;
        let head = server.head();
        self.note(head, rest);
        Some(posted)
    }

    /// Charges `used`, and keeps as used what is less than the first replenishment then.
    pub(crate) fn use_more(&mut self, used: Duration, mut posted: impl FnMut(Posted)) {
        self.used = used;
        if let Algorithm::Sporadic(server) = &mut self.algorithm {
            let rest = server.charge_whole(used, &mut posted);
            let head = server.head();
            self.note(head, rest);
            if self.left() >= self.minimum {
                return;
            }
        }
        self.charge(posted);
    }

    /// It has no more work: a sporadic server keeps what it has.
    #[inline]
    pub(crate) fn block(&mut self, posted: impl FnMut(Posted)) {
        self.active = false;
        if let Algorithm::Io(server) = &mut self.algorithm {
            server.block(posted);
            let head = server.head();
            self.note(head, Duration::ZERO);
        }
    }

    /// It has work from `at` on, after a while without.
    #[inline(always)]
    pub(crate) fn unblock(&mut self, at: Instant) {
        self.active = true;
        let head = match &mut self.algorithm {
            Algorithm::Sporadic(server) => {
                server.unblock(at);
                server.head()
            }
            Algorithm::Io(server) => {
                server.unblock(at);
                server.head()
            }
        };
        self.amount = head.amount;
        self.eligible = head.time;
    }

    /// The replenishments that are due by `at`, together, if it does not run until then: at
    /// least, as [`SporadicServer::waiting_by`] is.
    pub(crate) fn amount_by(&self, at: Instant) -> Duration {
        let due = |time: Instant, amount| match time <= at {
            true => amount,
            false => Duration::ZERO,
        };
        let first = due(self.eligible, self.left());
        match &self.algorithm {
            Algorithm::Sporadic(server) => {
                let back = server.head().time.saturating_add(server.period());
                first
                    .saturating_add(due(back, self.used))
                    .saturating_add(server.waiting_by(at))
            }
            Algorithm::Io(_) => first,
        }
    }

    /// An I/O server takes over a period; no effect on another.
    pub(crate) fn adopt(&mut self, period: Duration, posted: impl FnMut(Posted)) {
        if let Algorithm::Io(server) = &mut self.algorithm {
            server.adopt(period, posted);
            let head = server.head();
            self.note(head, Duration::ZERO);
        }
    }
}

/// A thread in its scheduler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread {
    pub(crate) server: u16,
    pub(crate) state: ThreadState,
    /// The next in the list that its state puts it in.
    pub(crate) next: u16,
    /// The I/O server it waits for, and the next thread that does so.
    pub(crate) awaits: u16,
    pub(crate) next_requester: u16,
}

impl Thread {
    pub(crate) const EMPTY: Self = Self {
        server: NONE,
        state: ThreadState::Blocked,
        next: NONE,
        awaits: NONE,
        next_requester: NONE,
    };
}

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadState {
    /// It has work. Whether it runs is a question of budget and priority.
    Runnable,
    /// It waits for a wake.
    Blocked,
    /// It waits for a wake or this instant, whichever is first.
    Sleeping(Instant),
}
