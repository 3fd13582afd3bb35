//! The sporadic server: a budget C in every period T, kept as a list of
//! replenishments.
//!
//! Sprunt, Sha, Lehoczky 1989, as corrected by Stanovich, Baker, Wang, Harbour,
//! "Defects of the POSIX sporadic server and how to correct them", RTAS 2010. The rules
//! are numbered as in docs/sched.md.
use crate::chunks::{Chunk, Chunks};
use crate::{AddError, ServerParameters};
use tern_units::{Duration, Instant};

/// Chunks that are merged in one operation at most, so that none takes longer the more
/// replenishments there are. The rest is merged as the first chunk is used up.
const MERGED_AT_ONCE: u32 = 32;

/// A chunk of budget and the instant from which it may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replenishment {
    /// Its activation time.
    pub time: Instant,
    /// How much.
    pub amount: Duration,
}

/// Budget that was consumed, on its way back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

impl From<Chunk> for Replenishment {
    fn from(chunk: Chunk) -> Self {
        Self {
            time: Instant::from_nanos(chunk.time),
            amount: Duration::from_nanos(chunk.amount),
        }
    }
}

/// A sporadic server with a list of as many replenishments as its parameters give it room
/// for.
///
/// Two properties hold after every operation. **Conservation** (rule 1): the amounts
/// in the list sum to C. **Order** (rule 2): each entry starts later than the entry
/// before it could have been used up. Two entries that touch, the second starting
/// exactly at the end of the first, are kept as one: whoever starts on the first no
/// earlier than its time ends it no earlier than the second's, so the list with one
/// entry grants the same service at the same times.
///
/// One exception keeps every operation short. Where more than 32 entries become usable
/// together, 32 are merged, and the others stay entries that the first one reaches. They
/// grant the same service at the same times: each is merged, or counts as activated when the
/// first is used up, before anything else is asked of it.
///
/// Activation times near the end of time saturate at [`Instant::NEVER`]: budget may
/// come later than it should, never earlier.
#[derive(Clone, Debug)]
pub struct SporadicServer {
    budget: u64,
    period: u64,
    minimum: u64,
    /// The first replenishment; the others wait, in order of time.
    head: Chunk,
    waiting: Chunks,
}

impl SporadicServer {
    /// A server with its whole budget available from `start` on.
    ///
    /// Allocates its list. No other operation allocates.
    ///
    /// # Errors
    /// If the parameters are not those of a sporadic server that can run.
    pub fn new(parameters: ServerParameters, start: Instant) -> Result<Self, AddError> {
        parameters.check()?;
        let budget = parameters.budget.as_nanos();
        let others = u16::try_from(parameters.room.saturating_sub(1));
        let others = others.map_err(|_| AddError::Room)?;
        Ok(Self {
            budget,
            period: parameters.period.as_nanos(),
            minimum: parameters.minimum_budget.as_nanos(),
            head: Chunk {
                time: start.as_nanos(),
                amount: budget,
            },
            waiting: Chunks::new(others),
        })
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
        let others = (0..self.waiting.count()).map(|position| self.waiting.at(position));
        core::iter::once(self.head)
            .chain(others)
            .map(Replenishment::from)
    }

    /// The first replenishment. There always is one.
    #[must_use]
    #[inline]
    pub fn head(&self) -> Replenishment {
        self.head.into()
    }

    /// Whether there is no room for another replenishment: the next one delays the last.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.waiting.is_full()
    }

    /// The replenishments beside the first that are due by `at`, together, or less: as many
    /// are looked at as are merged at once, and the last of a full list is left out, as
    /// what is charged next delays it.
    pub(crate) fn waiting_by(&self, at: Instant) -> Duration {
        let certain = self.waiting.count() - u32::from(self.is_full() && self.waiting.count() > 0);
        let due = (0..certain.min(MERGED_AT_ONCE))
            .map(|position| self.waiting.at(position))
            .take_while(|chunk| chunk.time <= at.as_nanos())
            .fold(0_u64, |sum, chunk| sum.saturating_add(chunk.amount));
        Duration::from_nanos(due)
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

    /// Charges `used` for what ran since the last charge (rule 3): to be called at the latest
    /// when the server blocks or has exhausted its first chunk. A preemption may be charged
    /// at once or with what follows: the chunk returns at the same time.
    ///
    /// What is taken of a chunk returns at that chunk's own activation time plus T. An
    /// overrun is taken from the chunks that come next, however far in the future, as
    /// often as it takes.
    #[inline(always)]
    pub fn charge(&mut self, used: Duration, mut posted: impl FnMut(Posted)) {
        let left = match used.as_nanos() < self.head.amount {
            true => used,
            false => self.charge_whole(used, &mut posted),
        };
        if !left.is_zero() {
            self.charge_part(left.as_nanos(), &mut posted);
        }
        if self.head.amount < self.minimum {
            self.delay_head();
        }
    }

    /// Charges the chunks that are used up after `used`. Returns the rest, less than the
    /// first.
    pub(crate) fn charge_whole(
        &mut self,
        used: Duration,
        mut posted: impl FnMut(Posted),
    ) -> Duration {
        let mut left = used.as_nanos();
        if left > self.budget {
            left = self.charge_whole_rounds(left, &mut posted);
        }
        while left >= self.head.amount {
            left -= self.charge_first(&mut posted);
        }
        Duration::from_nanos(left)
    }

    /// Charges the only chunk, all of it, which returns as the first. `None`, and nothing
    /// done, if there are others, or it is not at least `needed` more than `used`. `needed` is
    /// at least 1 ns.
    #[inline(always)]
    pub(crate) fn use_only(&mut self, used: Duration, needed: Duration) -> Option<Posted> {
        if self.waiting.count() != 0 {
            return None;
        }
        let amount = self.head.amount;
        if amount.checked_sub(used.as_nanos())? < needed.as_nanos() {
            return None;
        }
        self.head.time = self.head.time.saturating_add(self.period);
        Some(Posted {
            time: Instant::from_nanos(self.head.time),
            amount: Duration::from_nanos(amount),
            entry: self.head.into(),
        })
    }

    /// Charges the first chunk of several, all of it. `None`, and nothing done, if the next is
    /// not at least `needed`.
    #[inline(always)]
    pub(crate) fn use_first(&mut self, needed: Duration) -> Option<Posted> {
        if self.waiting.count() == 0 || self.waiting.at(0).amount < needed.as_nanos() {
            return None;
        }
        let mut last = None;
        self.charge_first(&mut |posted| last = Some(posted));
        last
    }

    /// The server becomes runnable after having been blocked (rule 4). Never to be
    /// called when it is merely dispatched: that would delay the budget of a preempted
    /// server without bound.
    ///
    /// Budget that waited unused is as if it were activated now.
    #[inline]
    pub fn unblock(&mut self, now: Instant) {
        if self.head.time < now.as_nanos() {
            self.head.time = now.as_nanos();
            self.merge_touched_by_head();
        }
    }

    /// The last replenishment, which is the first where there is no other.
    #[inline]
    fn last_mut(&mut self) -> &mut Chunk {
        match self.waiting.count() {
            0 => &mut self.head,
            _ => self.waiting.last_mut(),
        }
    }

    /// Uses a part of the first chunk.
    #[inline(always)]
    fn charge_part(&mut self, used: u64, posted: &mut impl FnMut(Posted)) {
        let Chunk { time, amount } = self.head;
        self.head = Chunk {
            time: time.saturating_add(used),
            amount: amount.wrapping_sub(used),
        };
        self.post(time.saturating_add(self.period), used, posted);
        if self.waiting.merging {
            // The list does not grow while there is something to merge.
            self.go_on_merging(self.head.time);
        }
    }

    /// Uses up the first chunk. Returns how much that was.
    #[inline(always)]
    fn charge_first(&mut self, posted: &mut impl FnMut(Posted)) -> u64 {
        let Chunk { time, amount } = self.head;
        let returns = time.saturating_add(self.period);
        if self.waiting.count() == 0 {
            self.head.time = returns;
            report(returns, amount, self.head, posted);
        } else {
            self.head = self.waiting.take_first();
            if self.waiting.merging {
                self.go_on_merging(time.saturating_add(amount));
            }
            self.post(returns, amount, posted);
        }
        amount
    }

    /// Takes all of the budget as often as it fits in `used`, in steps that do not grow
    /// with `used`: where no entries merge, each round moves the whole list by a period.
    /// Reports the last round only. Returns the rest, less than the budget.
    #[cold]
    fn charge_whole_rounds(&mut self, used: u64, posted: &mut impl FnMut(Posted)) -> u64 {
        let mut left = used;
        while left >= self.budget && self.first_merges_into_last() {
            left -= self.charge_first(posted);
        }
        let rounds = left / self.budget;
        if rounds == 0 {
            return left;
        }
        let shift = self.period.saturating_mul(rounds);
        let mut end = self.head.end();
        self.head.time = self.head.time.saturating_add(shift);
        report(self.head.time, self.head.amount, self.head, posted);

        // Each takes the place of one that was read before it.
        self.waiting.merging = false;
        for position in 0..self.waiting.empty() {
            let Chunk { time, amount } = self.waiting.at(position);
            let time = time.max(end);
            end = time.saturating_add(amount);
            self.post(time.saturating_add(shift), amount, posted);
        }
        left - rounds * self.budget
    }

    /// Whether the first chunk, when it is used up, does not become an entry of its own.
    fn first_merges_into_last(&mut self) -> bool {
        let returns = self.head.time.saturating_add(self.period);
        let (alone, minimum) = (self.waiting.count() == 0, self.minimum);
        let last = self.last_mut();
        !alone && (last.reaches(returns) || last.amount < minimum)
    }

    /// Adds an entry at the end. `time` is never before that of the last entry.
    #[inline(always)]
    fn post(&mut self, time: u64, amount: u64, posted: &mut impl FnMut(Posted)) {
        let last = self.last_mut();
        let mut entry = *last;
        if time.wrapping_sub(entry.time) <= entry.amount {
            // They touch. (They overlap only where an entry was delayed. Then the new
            // one is delayed to the end of the last, and touches it.)
            entry.amount += amount;
            *last = entry;
        } else if self.is_full() || entry.amount < self.minimum {
            // Rules 5 and 6: the earlier entry is delayed.
            entry.time = time;
            entry.amount += amount;
            *self.last_mut() = entry;
        } else {
            entry = Chunk { time, amount };
            self.waiting.push(entry);
        }
        report(time, amount, entry, posted);
    }

    /// Rule 6: a first chunk below the minimum waits for the next. There is one: alone it
    /// would hold the whole budget, which is not below the minimum.
    #[cold]
    fn delay_head(&mut self) {
        let Chunk { time, amount } = self.head;
        self.head = self.waiting.take_first();
        self.head.amount += amount;
        self.go_on_merging(time);
    }

    /// Goes on with a merge that was cut short, if there was one. The head is not usable
    /// before `earliest`.
    #[cold]
    #[inline(never)]
    fn go_on_merging(&mut self, earliest: u64) {
        self.waiting.merging = false;
        self.head.time = self.head.time.max(earliest);
        self.merge_touched_by_head();
    }

    /// Restores order after the head was delayed: what it now reaches is delayed to its
    /// end, and so part of it.
    #[inline]
    fn merge_touched_by_head(&mut self) {
        if self.merge_first() && self.waiting.count() > 0 {
            self.merge_more();
        }
    }

    /// Merges what is left of the chunks that the head reaches, or as many as one operation
    /// may.
    #[cold]
    #[inline(never)]
    fn merge_more(&mut self) {
        let mut left = MERGED_AT_ONCE - 1;
        while self.merge_first() {
            left -= 1;
            if left == 0 {
                self.waiting.merging = self.waiting.count() > 0;
                return;
            }
        }
    }

    /// Merges the first waiting chunk into the head if that reaches it. Whether it did.
    #[inline(always)]
    fn merge_first(&mut self) -> bool {
        let Some(chunk) = self.waiting.take_first_by(self.head.end()) else {
            return false;
        };
        self.head.amount = self.head.amount.wrapping_add(chunk.amount);
        true
    }
}

#[inline(always)]
fn report(time: u64, amount: u64, entry: Chunk, posted: &mut impl FnMut(Posted)) {
    posted(Posted {
        time: Instant::from_nanos(time),
        amount: Duration::from_nanos(amount),
        entry: entry.into(),
    });
}
