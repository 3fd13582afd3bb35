//! What the caller says about servers and threads, and why it may be refused.
use core::fmt;
use tern_units::Duration;

/// A server of a [`Scheduler`](crate::Scheduler): its position in the order of
/// `add_server` calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub(crate) u16);

/// A thread of a [`Scheduler`](crate::Scheduler): its position in the order of
/// `add_thread` calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadId(pub(crate) u16);

macro_rules! position {
    ($name:ident) => {
        impl $name {
            /// The one at this position. Positions that a scheduler has not given
            /// out are ignored by it.
            #[must_use]
            pub const fn new(position: u16) -> Self {
                Self(position)
            }

            /// Its position.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}
position!(ServerId);
position!(ThreadId);

/// Which algorithm a server follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ServerKind {
    /// A sporadic server, for computation.
    #[default]
    Sporadic,
    /// An I/O server (priority-inheritance bandwidth-preserving server), for
    /// interrupt-driven work.
    Io,
}

/// The most replenishments that a server may have room for: 1 MiB of them.
pub const MOST_ROOM: u32 = 1 << 16;

/// What a server is entitled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerParameters {
    /// Its algorithm.
    pub kind: ServerKind,
    /// Budget C: at least 1 ns, at most the period.
    pub budget: Duration,
    /// Period T.
    pub period: Duration,
    /// Fixed priority, 0 the highest. Servers of equal priority do not preempt one
    /// another; the one that became ready first goes first.
    pub priority: u32,
    /// Chunks of budget shorter than this are merged into the next one (rule 6). At
    /// most the budget. Zero keeps every chunk.
    pub minimum_budget: Duration,
    /// The most replenishments in the list of a sporadic server, at least 1. Where one more
    /// is posted, the last is delayed to its time (rule 5). See
    /// [`Room`](crate::analysis::Room) for how many its threads need.
    pub room: u32,
}

impl ServerParameters {
    /// Room for replenishments where nothing else is said.
    pub const ROOM: u32 = 16;

    /// A sporadic server.
    #[must_use]
    pub const fn sporadic(budget: Duration, period: Duration, priority: u32) -> Self {
        Self {
            kind: ServerKind::Sporadic,
            budget,
            period,
            priority,
            minimum_budget: Duration::ZERO,
            room: Self::ROOM,
        }
    }

    /// An I/O server of utilization `budget / period`; `period` is the one it has
    /// while it serves nobody in particular.
    #[must_use]
    pub const fn io(budget: Duration, period: Duration, priority: u32) -> Self {
        Self {
            kind: ServerKind::Io,
            ..Self::sporadic(budget, period, priority)
        }
    }

    /// The same, with a minimum budget.
    #[must_use]
    pub const fn with_minimum_budget(self, minimum_budget: Duration) -> Self {
        Self {
            minimum_budget,
            ..self
        }
    }

    /// The same, with room for so many replenishments.
    #[must_use]
    pub const fn with_room(self, room: u32) -> Self {
        Self { room, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), AddError> {
        if self.budget.is_zero() || self.budget > self.period {
            return Err(AddError::Budget);
        }
        if self.minimum_budget > self.budget {
            return Err(AddError::MinimumBudget);
        }
        if self.room == 0 || self.room > MOST_ROOM {
            return Err(AddError::Room);
        }
        Ok(())
    }
}

/// Why a server or thread was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddError {
    /// The budget is zero or above the period.
    Budget,
    /// The minimum budget is above the budget.
    MinimumBudget,
    /// There is room for no replenishment, or for more than [`MOST_ROOM`].
    Room,
    /// The priority is at or above the number of levels, 64 × `WORDS`.
    Priority,
    /// All places for servers, or for threads, are taken.
    Full,
    /// There is no such server.
    UnknownServer,
}

impl fmt::Display for AddError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Budget => "the budget must be above zero and at most the period",
            Self::MinimumBudget => "the minimum budget must be at most the budget",
            Self::Room => "a server needs room for 1 to 65536 replenishments",
            Self::Priority => "the priority is beyond the levels of this scheduler",
            Self::Full => "this scheduler has no place left: raise its capacity",
            Self::UnknownServer => "this scheduler has no such server",
        })
    }
}

impl core::error::Error for AddError {}
