//! The budget that replenishments imply, by the rules of either kind of server.
use std::collections::VecDeque;

use tern_config::ServerKind;

use crate::describe::signed_span;
use crate::layout::ServerLayout;
use crate::table::exact_instant;

/// When budget may be used at the earliest. Times are nanoseconds.
pub(super) enum Budget {
    /// A sporadic server's chunks, in the order of their times.
    Sporadic {
        /// Budget C.
        budget: i64,
        /// Period T.
        period: i64,
        chunks: VecDeque<Chunk>,
    },
    /// An I/O server's one replenishment.
    Io {
        /// Budget C.
        budget: i64,
        /// Period T.
        period: i64,
        /// e: usable from then on.
        eligible: i64,
    },
}

/// A part of the budget of a sporadic server.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    /// The earliest time from which it may be used.
    time: i64,
    amount: i64,
}

/// What a replenishment shows.
#[derive(Default)]
pub(super) struct Posting {
    /// What of it was used before it could be.
    pub overrun: i64,
    /// The rule that it breaks, and how.
    pub objection: Option<(&'static str, String)>,
}

impl Posting {
    fn objection(rule: &'static str, text: String) -> Self {
        Self {
            overrun: 0,
            objection: Some((rule, text)),
        }
    }
}

impl Budget {
    pub(super) fn new(server: &ServerLayout) -> Self {
        let (budget, period) = (server.budget.cast_signed(), server.period.cast_signed());
        match server.kind {
            ServerKind::Sporadic => Self::Sporadic {
                budget,
                period,
                chunks: VecDeque::from([Chunk {
                    time: 0,
                    amount: budget,
                }]),
            },
            ServerKind::Io => Self::Io {
                budget,
                period,
                eligible: 0,
            },
        }
    }

    /// The earliest time from which any of it may be used.
    pub(super) fn first(&self) -> i64 {
        match self {
            Self::Sporadic { chunks, .. } => chunks.front().map_or(i64::MAX, |chunk| chunk.time),
            Self::Io { eligible, .. } => *eligible,
        }
    }

    /// The server had nothing to run until `time`.
    pub(super) fn not_active_before(&mut self, time: i64) {
        match self {
            Self::Sporadic { chunks, .. } => {
                for chunk in chunks {
                    chunk.time = chunk.time.max(time);
                }
            }
            Self::Io { eligible, .. } => *eligible = time.max(*eligible),
        }
    }

    /// What may be used and not yet be charged at the end of a trace: a server is charged
    /// when it blocks or has used up a replenishment.
    pub(super) const fn unspoken(&self) -> i64 {
        match self {
            Self::Sporadic { budget, .. } | Self::Io { budget, .. } => *budget,
        }
    }

    /// At `at`, `amount` was charged and is posted to return at `returns`.
    pub(super) fn posted(&mut self, at: i64, amount: i64, returns: i64) -> Posting {
        match self {
            Self::Sporadic {
                budget,
                period,
                chunks,
            } => sporadic(chunks, (*budget, *period), at, amount, returns),
            Self::Io {
                budget,
                period,
                eligible,
            } => {
                let share = (*budget, *period);
                let posting = io(*eligible, share, amount, returns);
                *eligible = returns;
                posting
            }
        }
    }
}

/// e moves by used/U, rounded up; U is the same whatever period the server has taken
/// over from a requester.
fn io(eligible: i64, (budget, period): (i64, i64), amount: i64, returns: i64) -> Posting {
    let span = (i128::from(amount) * i128::from(period) + i128::from(budget) - 1)
        / i128::from(budget.max(1));
    let early = i128::from(eligible) + span - i128::from(returns);
    if early > 0 {
        let text = format!(
            "{} return at {}, {} too early: active from {}, of {} {} may be used",
            signed_span(amount),
            exact_instant(returns),
            signed_span(i64::try_from(early).unwrap_or(i64::MAX)),
            exact_instant(eligible),
            signed_span(period),
            signed_span(budget),
        );
        return Posting::objection("premature", text);
    }
    Posting {
        overrun: (amount - budget).max(0),
        objection: None,
    }
}

fn sporadic(
    chunks: &mut VecDeque<Chunk>,
    (budget, period): (i64, i64),
    at: i64,
    amount: i64,
    returns: i64,
) -> Posting {
    if amount > budget {
        let [amount, budget] = [amount, budget].map(signed_span);
        let text = format!("{amount} return, of a budget of {budget}");
        return Posting::objection("amplified", text);
    }
    let mut posting = Posting::default();
    let mut taken = 0;
    while taken < amount {
        let Some(chunk) = chunks.front_mut() else {
            break;
        };
        let portion = chunk.amount.min(amount - taken);
        // This portion is used, at the earliest, `taken` after the first comes back.
        let early = chunk.time + period - (returns + taken);
        posting.overrun += if chunk.time > at { portion } else { 0 };
        let active = chunk.time;
        take(chunks, portion);
        taken += portion;
        if early > 0 {
            let text = format!(
                "{} return at {}, {} too early: active from {}, period {}",
                signed_span(amount),
                exact_instant(returns),
                signed_span(early),
                exact_instant(active),
                signed_span(period),
            );
            posting.objection = Some(("premature", text));
            break;
        }
    }
    // After an objection the amounts must still sum to the budget.
    take(chunks, amount - taken);
    let place = chunks.partition_point(|chunk| chunk.time <= returns);
    let chunk = Chunk {
        time: returns,
        amount,
    };
    chunks.insert(place, chunk);
    posting
}

/// Uses up `amount`, from the first chunk on.
fn take(chunks: &mut VecDeque<Chunk>, mut amount: i64) {
    while let Some(chunk) = chunks.front_mut()
        && amount > 0
    {
        let portion = chunk.amount.min(amount);
        chunk.time += portion;
        chunk.amount -= portion;
        amount -= portion;
        if chunk.amount == 0 {
            chunks.pop_front();
        }
    }
}
