//! The sporadic server: a budget C in every period T, kept as a list of
//! replenishments.
//!
//! Sprunt, Sha, Lehoczky 1989, as corrected by Stanovich, Baker, Wang, Harbour,
//! "Defects of the POSIX sporadic server and how to correct them", RTAS 2010. The rules
//! are numbered as in docs/sched.md.
use crate::{AddError, ServerParameters};
use tern_units::{Duration, Instant};

/// A chunk of budget and the instant from which it may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replenishment {
    /// Its activation time.
    pub time: Instant,
    /// How much.
    pub amount: Duration,
}

/// Budget that was consumed, on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    /// When it returns: the activation time of the chunk it was taken from, plus the
    /// period.
    pub time: Instant,
    /// How much was consumed.
    pub amount: Duration,
    /// The last entry of the server's list, which now holds it. Larger than `amount`
    /// where it was merged: then the entry is the one reported before, grown (or, if
    /// its time differs too, delayed).
    pub entry: Replenishment,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Chunk {
    time: u64,
    amount: u64,
}

impl Chunk {
    /// The end of the chunk if it is used without a break from its activation on.
    const fn end(self) -> u64 {
        self.time.saturating_add(self.amount)
    }

    const fn public(self) -> Replenishment {
        Replenishment {
            time: Instant::from_nanos(self.time),
            amount: Duration::from_nanos(self.amount),
        }
    }
}

/// A sporadic server with a list of at most `CHUNKS` replenishments.
///
/// Two properties hold after every operation. **Conservation** (rule 1): the amounts
/// in the list sum to C. **Order** (rule 2): each entry starts later than the entry
/// before it could have been used up. Two entries that touch, the second starting
/// exactly at the end of the first, are kept as one: whoever starts on the first no
/// earlier than its time ends it no earlier than the second's, so the list with one
/// entry grants the same service at the same times.
///
/// Activation times near the end of time saturate at [`Instant::NEVER`]: budget may
/// come later than it should, never earlier.
#[derive(Clone, Debug)]
pub struct SporadicServer<const CHUNKS: usize = 16> {
    budget: u64,
    period: u64,
    minimum: u64,
    first: usize,
    count: usize,
    chunks: [Chunk; CHUNKS],
}

impl<const CHUNKS: usize> SporadicServer<CHUNKS> {
    const NONEMPTY: () = assert!(CHUNKS > 0, "a server needs at least one replenishment");

    /// A placeholder in tables.
    pub(crate) const EMPTY: Self = Self::full(1, 1, 0, 0);

    /// A server with its whole budget available from `start` on.
    ///
    /// # Errors
    /// If the parameters are not those of a sporadic server that can run.
    pub fn new(parameters: ServerParameters, start: Instant) -> Result<Self, AddError> {
        parameters.check()?;
        Ok(Self::full(
            parameters.budget.as_nanos(),
            parameters.period.as_nanos(),
            parameters.minimum_budget.as_nanos(),
            start.as_nanos(),
        ))
    }

    const fn full(budget: u64, period: u64, minimum: u64, start: u64) -> Self {
        let () = Self::NONEMPTY;
        let mut chunks = [Chunk { time: 0, amount: 0 }; CHUNKS];
        chunks[0] = Chunk {
            time: start,
            amount: budget,
        };
        Self {
            budget,
            period,
            minimum,
            first: 0,
            count: 1,
            chunks,
        }
    }

    /// Budget C.
    #[must_use]
    pub const fn budget(&self) -> Duration {
        Duration::from_nanos(self.budget)
    }

    /// Period T.
    #[must_use]
    pub const fn period(&self) -> Duration {
        Duration::from_nanos(self.period)
    }

    /// The replenishments, earliest first. The first is the one in use or next in use.
    pub fn replenishments(&self) -> impl Iterator<Item = Replenishment> + '_ {
        (0..self.count).map(|position| self.chunks[self.slot(position)].public())
    }

    /// The first replenishment. There always is one.
    #[must_use]
    pub fn head(&self) -> Replenishment {
        self.chunks[self.first].public()
    }

    /// How long the server may run from `now` on before it must be charged: the first
    /// chunk, or zero if that is not active yet (rule 7: then nothing of it runs).
    #[must_use]
    pub fn available(&self, now: Instant) -> Duration {
        let head = self.head();
        if head.time <= now {
            head.amount
        } else {
            Duration::ZERO
        }
    }

    /// Charges `used` for what ran since the last charge (rule 3): to be called when
    /// the server is preempted, blocks or exhausts its first chunk.
    ///
    /// What is taken of a chunk returns at that chunk's own activation time plus T. An
    /// overrun is taken from the chunks that come next, however far in the future, as
    /// often as it takes.
    pub fn charge(&mut self, used: Duration, mut posted: impl FnMut(Posted)) {
        let mut left = used.as_nanos();
        if left > self.budget {
            left = self.charge_whole_rounds(left, &mut posted);
        }
        while left >= self.chunks[self.first].amount {
            left -= self.charge_first(&mut posted);
        }
        let head = self.chunks[self.first];
        if left > 0 {
            let rest = Chunk {
                time: head.time.saturating_add(left),
                amount: head.amount - left,
            };
            self.chunks[self.first] = rest;
            self.post(head.time.saturating_add(self.period), left, &mut posted);
        }
        if self.chunks[self.first].amount < self.minimum {
            self.delay_head();
        }
    }

    /// The server becomes runnable after having been blocked (rule 4). Never to be
    /// called when it is merely dispatched: that would delay the budget of a preempted
    /// server without bound.
    ///
    /// Budget that waited unused is as if it were activated now.
    pub fn unblock(&mut self, now: Instant) {
        let head = &mut self.chunks[self.first];
        if head.time < now.as_nanos() {
            head.time = now.as_nanos();
            self.merge_touched_by_head();
        }
    }

    const fn slot(&self, position: usize) -> usize {
        let slot = self.first + position;
        if slot >= CHUNKS { slot - CHUNKS } else { slot }
    }

    /// Uses up the first chunk. Returns how much that was.
    fn charge_first(&mut self, posted: &mut impl FnMut(Posted)) -> u64 {
        let head = self.chunks[self.first];
        self.first = self.slot(1);
        self.count -= 1;
        self.post(head.time.saturating_add(self.period), head.amount, posted);
        head.amount
    }

    /// Takes all of the budget as often as it fits in `used`, in steps that do not grow
    /// with `used`: where no entries merge, each round moves the whole list by a period.
    /// Reports the last round only. Returns the rest, at most the budget.
    fn charge_whole_rounds(&mut self, used: u64, posted: &mut impl FnMut(Posted)) -> u64 {
        let mut left = used;
        while left > self.budget && self.first_merges_into_last() {
            left -= self.charge_first(posted);
        }
        let rounds = left / self.budget;
        if rounds == 0 {
            return left;
        }
        let shift = self.period.saturating_mul(rounds);
        let (entries, chunks) = (self.count, self.chunks);
        let first = self.first;
        self.count = 0;
        for position in first..first + entries {
            let chunk = chunks[if position >= CHUNKS {
                position - CHUNKS
            } else {
                position
            }];
            self.post(chunk.time.saturating_add(shift), chunk.amount, posted);
        }
        left - rounds * self.budget
    }

    /// Whether the first chunk, when it is used up, does not become an entry of its own.
    fn first_merges_into_last(&self) -> bool {
        let last = self.chunks[self.slot(self.count - 1)];
        let returns = self.chunks[self.first].time.saturating_add(self.period);
        self.count > 1 && (last.end() >= returns || last.amount < self.minimum)
    }

    /// Adds an entry at the end. `time` is never before that of the last entry.
    fn post(&mut self, time: u64, amount: u64, posted: &mut impl FnMut(Posted)) {
        let mut entry = Chunk { time, amount };
        let last = self.chunks[self.slot(self.count.saturating_sub(1))];
        if self.count > 0 && last.end() >= time {
            // They touch. (They overlap only where an entry was delayed. Then the new
            // one is delayed to the end of the last, and touches it.)
            entry = Chunk {
                time: last.time,
                amount: last.amount + amount,
            };
        } else if self.count == CHUNKS || (self.count > 0 && last.amount < self.minimum) {
            // Rules 5 and 6: the earlier entry is delayed.
            entry.amount += last.amount;
        } else {
            self.count += 1;
        }
        self.chunks[self.slot(self.count - 1)] = entry;
        posted(Posted {
            time: Instant::from_nanos(time),
            amount: Duration::from_nanos(amount),
            entry: entry.public(),
        });
    }

    /// Rule 6: a first chunk below the minimum waits for the next. There is one: alone it
    /// would hold the whole budget, which is not below the minimum.
    fn delay_head(&mut self) {
        let amount = self.chunks[self.first].amount;
        self.first = self.slot(1);
        self.count -= 1;
        self.chunks[self.first].amount += amount;
        self.merge_touched_by_head();
    }

    /// Restores order after the head was delayed: what it now reaches is delayed to its
    /// end, and so part of it.
    fn merge_touched_by_head(&mut self) {
        let mut head = self.chunks[self.first];
        while self.count > 1 && head.end() >= self.chunks[self.slot(1)].time {
            self.first = self.slot(1);
            self.count -= 1;
            head.amount += self.chunks[self.first].amount;
        }
        self.chunks[self.first] = head;
    }
}
