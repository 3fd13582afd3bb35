//! A sporadic server's budget, chunk by chunk: the rules of docs/sched.md, written a second time
//! so that a fault of the scheduler's own code is seen. Times are nanoseconds.
use std::collections::VecDeque;

use super::objection::{Objection, Rule};
use crate::table::exact_instant;
use crate::table::signed_span;

/// Budgets that may be used up at one go before their use is looked at: a timer that fires is
/// not late by as many.
pub(super) const MOST_ROUNDS: i64 = 1_000;

/// A part of the budget, and from when on it may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chunk {
    time: i64,
    amount: i64,
}

impl Chunk {
    /// When it is used up at the earliest.
    const fn end(self) -> i64 {
        self.time.saturating_add(self.amount)
    }
}

/// The budget of a sporadic server.
#[derive(Clone, Debug)]
pub(super) struct Sporadic {
    budget: i64,
    period: i64,
    /// In the order of their times; they sum to the budget, and no two touch. There always is
    /// one.
    chunks: VecDeque<Chunk>,
    /// What was used of the first and not charged yet.
    used: i64,
    /// From when on the rest of the first may be used.
    eligible: i64,
    /// The most chunks that the list has room for.
    room: usize,
    /// How often the list was full, and its last chunk delayed to a later one.
    delayed: u64,
}

impl Sporadic {
    /// The whole budget, above zero, from the epoch on, in a list with some room.
    pub(super) fn new(budget: i64, period: i64, room: usize) -> Self {
        let all = Chunk {
            time: 0,
            amount: budget,
        };
        Self {
            budget,
            period,
            chunks: VecDeque::from([all]),
            used: 0,
            eligible: 0,
            room,
            delayed: 0,
        }
    }

    pub(super) const fn eligible(&self) -> i64 {
        self.eligible
    }

    pub(super) const fn delayed(&self) -> u64 {
        self.delayed
    }

    /// What is left of the first chunk: below zero for what was used beyond it.
    pub(super) fn left(&self) -> i64 {
        self.head().amount - self.used
    }

    fn head(&self) -> Chunk {
        self.chunks.front().copied().unwrap_or(Chunk {
            time: i64::MAX,
            amount: 0,
        })
    }

    /// Its threads ran so long.
    pub(super) const fn run(&mut self, time: i64) {
        self.used = self.used.saturating_add(time);
    }

    /// How long it has run, at `now`, since what it might use was used up. What was used of
    /// chunks that were active by then is within budget, as is what they give back.
    pub(super) fn ran_beyond(&self, now: i64) -> i64 {
        let again = (0..MOST_ROUNDS).flat_map(|round| {
            let shift = self.period.saturating_mul(round);
            let chunks = self.chunks.iter();
            chunks.map(move |chunk| (chunk.time.saturating_add(shift), chunk.amount))
        });
        let mut beyond = self.used - self.head().amount;
        for (time, amount) in again.skip(1) {
            // It ran without a break, so this is when the next chunk began to be used.
            let from = now.saturating_sub(beyond);
            if beyond <= 0 || time > from {
                break;
            }
            beyond -= amount;
        }
        beyond.max(0)
    }

    /// It has work again from `at` on (rule 4): budget that waited unused is as if it became
    /// active now.
    pub(super) fn unblock(&mut self, at: i64) {
        if let Some(head) = self.chunks.front_mut()
            && head.time < at
        {
            head.time = at;
            self.merge_what_the_head_reaches();
        }
        self.eligible = self.head().time;
    }

    /// It is charged for `amount`, which is said to return at `returns` (rule 3). Whatever is
    /// wrong with that, it is charged as the rules say.
    pub(super) fn post(&mut self, amount: i64, returns: i64) -> Result<(), Objection> {
        if self.due() != returns {
            // Of an overrun of many budgets the scheduler tells the last round alone.
            self.skip_rounds();
        }
        let objection = self.objection(amount, returns);
        self.charge(amount.min(self.used).min(self.head().amount));
        match objection {
            Some((rule, text)) => Err(Objection { rule, text }),
            None => Ok(()),
        }
    }

    /// When what is used of the first chunk returns.
    fn due(&self) -> i64 {
        self.head().time.saturating_add(self.period)
    }

    fn objection(&self, amount: i64, returns: i64) -> Option<(Rule, String)> {
        let (head, due) = (self.head(), self.due());
        if amount > self.used {
            let [amount, used] = [amount, self.used].map(signed_span);
            let text = format!("{amount} return, and {used} were used");
            return Some((Rule::Amplified, text));
        }
        if amount > head.amount {
            let [amount, whole] = [amount, head.amount].map(signed_span);
            let text = format!("{amount} return at once, of a chunk of {whole}");
            return Some((Rule::Merged, text));
        }
        let (rule, off) = match returns.cmp(&due) {
            std::cmp::Ordering::Less => (Rule::Premature, "too early"),
            std::cmp::Ordering::Equal => return None,
            std::cmp::Ordering::Greater => (Rule::Late, "too late"),
        };
        let text = format!(
            "{} return at {}, {} {off}: active from {}, period {}",
            signed_span(amount),
            exact_instant(returns),
            signed_span((returns - due).abs()),
            exact_instant(head.time),
            signed_span(self.period),
        );
        Some((rule, text))
    }

    /// Charges what was used as the rules say: all of it if the server does not `want` the core
    /// any more, else the chunks that are used up. Returns how much that is.
    pub(super) fn settle(&mut self, wants: bool) -> i64 {
        let before = self.used;
        self.skip_rounds();
        while self.used > 0 && (!wants || self.left() <= 0) {
            self.charge(self.used.min(self.head().amount));
        }
        before - self.used
    }

    /// Uses all of the budget as often as it fits what was used, but for the last time: each
    /// round moves every chunk by a period.
    fn skip_rounds(&mut self) {
        let rounds = (self.used / self.budget).saturating_sub(1);
        if rounds > 0 {
            self.used -= rounds * self.budget;
            let shift = rounds.saturating_mul(self.period);
            for chunk in &mut self.chunks {
                chunk.time = chunk.time.saturating_add(shift);
            }
        }
    }

    /// Charges a part of the first chunk, or all of it.
    fn charge(&mut self, amount: i64) {
        let returned = Chunk {
            time: self.due(),
            amount,
        };
        let Some(head) = self.chunks.front_mut() else {
            return;
        };
        head.time = head.time.saturating_add(amount);
        head.amount -= amount;
        if head.amount == 0 {
            self.chunks.pop_front();
        }
        if amount > 0 {
            self.push(returned);
        }
        self.used -= amount;
        // What is used of a chunk ahead of its time is to be waited for as long.
        self.eligible = self.head().time.saturating_add(self.used);
    }

    /// Adds a chunk at the end. Where it touches the last, the two are one (rule 2); where there
    /// is no room for it, the last is delayed to it (rule 5).
    fn push(&mut self, chunk: Chunk) {
        let is_full = self.chunks.len() >= self.room;
        match self.chunks.back_mut() {
            Some(last) if chunk.time <= last.end() => last.amount += chunk.amount,
            Some(last) if is_full => {
                last.time = chunk.time;
                last.amount += chunk.amount;
                self.delayed += 1;
            }
            _ => self.chunks.push_back(chunk),
        }
    }

    fn merge_what_the_head_reaches(&mut self) {
        while let Some(next) = self.chunks.get(1).copied()
            && next.time <= self.head().end()
        {
            self.chunks.remove(1);
            if let Some(head) = self.chunks.front_mut() {
                head.amount += next.amount;
            }
        }
    }
}
