//! How much room a server's list of replenishments needs, so that it is never full (rule 5).
//!
//! An entry of the list, but for the first, begins where a wake of the server was, or whole
//! periods later: what is used of a chunk that was activated at a wake u returns at u + T; if
//! it is used again before the server has had no work, at u + 2T, and so on. So there are no
//! more entries than wakes whose budget is still on its way like that, and
//!
//! * threads that only the clock wakes, at o + kP, wake at T / gcd(T, P) instants modulo T, and
//!   two entries do not begin at the same one: for them this holds whatever their jobs do;
//! * the budget of a wake u is handed on for another period only as long as more arrives than
//!   there is budget. *Proof.* Let an entry that began at u begin at u + kT. For each m < k the
//!   chunk at u + mT was used there, so after all budget before it: mC of work that arrived
//!   from u on, where the server had no work, and more was there. The last of it was used as
//!   late as the server's supply may be, by u + mT + L, L = R − C. So α(mT + L) > mC. Let n be
//!   the least number of periods with α(nT + L) ≤ nC: then k ≤ n. All entries begin within T
//!   of the first, so their wakes lie within nT.
//!
//! Preemptions split nothing: budget keeps its activation (rule 4). One more entry is the first,
//! and one is the budget from the start.
use super::supply::Supply;
use crate::{MOST_ROOM, ServerKind};
use tern_units::Duration;

/// The most steps of a search for the number of periods.
const MOST_STEPS: u32 = 1 << 12;

/// Something that wakes a server again and again, and the work that comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waking {
    /// The work of each arrival, at most.
    pub work: Duration,
    /// The least time from one arrival to the next, above zero.
    pub period: Duration,
    /// How much closer two of them may come.
    pub jitter: Duration,
    /// How often each arrival wakes the server at most.
    pub wakes: u64,
    /// For one that the clock alone wakes: its instants modulo the period of the server.
    pub instants: Option<u64>,
}

impl Waking {
    /// A thread that is released by the clock alone at o + kP, in a server of period `server`,
    /// and waits for nothing else.
    #[must_use]
    pub const fn by_clock(work: Duration, period: Duration, server: Duration) -> Self {
        let common = greatest_common_divisor(server.as_nanos(), period.as_nanos());
        Self {
            work,
            period,
            jitter: Duration::ZERO,
            wakes: 1,
            instants: server.as_nanos().checked_div(common),
        }
    }

    /// A thread that is released once in a period at most, at any instants.
    #[must_use]
    pub const fn at_any_time(work: Duration, period: Duration) -> Self {
        Self {
            work,
            period,
            jitter: Duration::ZERO,
            wakes: 1,
            instants: None,
        }
    }

    /// Arrivals in a half-open window of this length.
    fn arrivals(&self, window: u64) -> u64 {
        let window = window.saturating_add(self.jitter.as_nanos());
        window.div_ceil(self.period.as_nanos().max(1))
    }

    /// Instants modulo the server's period at which it wakes the server in a window.
    fn instants_in(&self, window: u64) -> u64 {
        let wakes = self.arrivals(window).saturating_mul(self.wakes);
        wakes.min(self.instants.unwrap_or(u64::MAX))
    }
}

/// The room for replenishments that a server gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many there may be at a time.
    pub replenishments: u32,
    /// Whether there never are more. Else what its threads need is not bounded, or above
    /// [`MOST_ROOM`], and their bounds do not hold.
    pub is_enough: bool,
}

impl Room {
    /// The room for threads that are woken like this, in a server of this period, where
    /// budget is handed on for so many periods at most.
    #[must_use]
    pub fn new(wakings: &[Waking], period: Duration, periods: Option<u64>) -> Self {
        let within = |periods: u64| {
            let window = period.as_nanos().saturating_mul(periods);
            let instants = wakings.iter().map(|it| it.instants_in(window));
            instants.fold(2, u64::saturating_add)
        };
        // Where no number of periods is enough, instants may be.
        let needed = within(periods.unwrap_or(u64::MAX));
        match u32::try_from(needed) {
            Ok(replenishments) if replenishments <= MOST_ROOM => Self {
                replenishments,
                is_enough: true,
            },
            _ => Self {
                replenishments: u32::try_from(within(2)).map_or(MOST_ROOM, |it| it.min(MOST_ROOM)),
                is_enough: false,
            },
        }
    }
}

/// How often a server may become active in a period, whatever its jobs do: where it is woken, and
/// where budget returns to it while it waits for that. At least 1.
///
/// Servers below count on this number where a job takes longer than it promises, too. Such jobs
/// wake the server no more often. But after them it may wait for budget, also one whose
/// threads never ask for more than that. Budget that is used returns a period later: so in any
/// window of one period each entry of a sporadic server's list returns once, of which there are
/// `pieces` at most, however they came about; and what is left of an entry when the server blocks
/// is used after another wake.
///
/// Where the clock alone wakes it, there are no more instants than those modulo its period,
/// as what was activated at one of them returns at it (rules 3 and 4), but for the time of an
/// overrun, which is taken from later budget and delays its activation.
#[must_use]
pub fn activations(
    kind: ServerKind,
    period: Duration,
    wakings: &[Waking],
    pieces: impl FnOnce() -> u32,
) -> u32 {
    let wakes = wakings.iter().map(|it| it.instants_in(period.as_nanos()));
    let wakes = wakes.fold(0, u64::saturating_add);
    let most = match kind {
        // One replenishment: it returns once after each wake, or after all of it was used.
        ServerKind::Io => wakes.saturating_add(1),
        ServerKind::Sporadic => {
            let mut clocks = wakings.iter().map(|it| it.instants);
            let instants = clocks.try_fold(0_u64, |sum, it| Some(sum.saturating_add(it?)));
            let all = wakes.saturating_add(u64::from(pieces()));
            instants.map_or(all, |instants| instants.min(all))
        }
    };
    u32::try_from(most).unwrap_or(u32::MAX).max(1)
}

/// For how many periods budget is handed on at most until the server has no work: the least
/// n with α(nT + L) ≤ nC. `None` if there is no such number, or none with room for it.
///
/// `supply` is what the server has for its threads, `late` its L. What the kernel's own work
/// takes of a budget it takes of those in L, too, and of the one in which that begins.
#[must_use]
pub fn periods_behind(
    wakings: &[Waking],
    supply: Supply,
    budget: Duration,
    late: Duration,
) -> Option<u64> {
    let (left, gap) = supply.capacity_and_gap();
    let (period, late) = (left + gap, late.as_nanos());
    let taken = budget.as_nanos().saturating_sub(left);
    let beside = match taken {
        0 => 0,
        _ => taken.saturating_mul(late.div_ceil(period).saturating_add(1)),
    };
    let mut periods = 1_u64;
    for _ in 0..MOST_STEPS {
        let window = period.saturating_mul(periods).saturating_add(late);
        let work = wakings.iter().fold(beside, |sum: u64, it| {
            let each = it.work.as_nanos();
            sum.saturating_add(it.arrivals(window).saturating_mul(each))
        });

        // More arrives than there is budget up to this many periods.
        let enough = work.div_ceil(left);
        if enough <= periods {
            return Some(periods);
        }
        let instants = wakings.iter().map(|it| it.instants_in(window));
        if instants.fold(0, u64::saturating_add) > u64::from(MOST_ROOM) {
            return None;
        }
        periods = enough;
    }
    None
}

const fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn span(nanos: u64) -> Duration {
        Duration::from_nanos(nanos)
    }

    fn periods(wakings: &[Waking], budget: u64, period: u64, late: u64) -> Option<u64> {
        let supply = Supply::new(span(budget), span(period)).unwrap();
        periods_behind(wakings, supply, span(budget), span(late))
    }

    #[test]
    fn a_clock_wakes_at_instants_that_repeat() {
        for (period, server, instants) in [
            (40, 40, 1),
            (80, 40, 1),
            (20, 40, 2),
            (30, 40, 4),
            (1, 40, 40),
            (7, 40, 40),
        ] {
            let waking = Waking::by_clock(span(1), span(period), span(server));
            assert_eq!(waking.instants, Some(instants), "{period} in {server}");
        }
    }

    #[test]
    fn budget_is_handed_on_until_what_arrives_is_less_than_there_is() {
        // 43/83 alone, threads 1/59 and 59/118: 62 in a period, then 63, 123, 124, 184,
        // 185, 245, 246 of 43, 86, 129, 172, 215, 258.
        let threads = [(1, 59), (59, 118)];
        let any = threads.map(|(work, period)| Waking::at_any_time(span(work), span(period)));
        let alpha = |x: u64| x.div_ceil(59) + 59 * x.div_ceil(118);
        let least = (1..).find(|n| alpha(83 * n) <= 43 * n);
        assert_eq!(periods(&any, 43, 83, 0), least);

        // Never asked for more than the budget: the wakes of a period.
        let tick = Waking::at_any_time(span(1), span(10));
        assert_eq!(periods(&[tick], 4, 40, 0), Some(1));
        // And where the last may come late.
        assert_eq!(periods(&[tick], 5, 40, 20), Some(2));
        assert_eq!(periods(&[tick], 4, 40, 1), None, "as much as there is");
        assert_eq!(periods(&[tick], 3, 40, 0), None, "more than there is");
    }

    #[test]
    fn room_is_for_the_first_entry_the_first_budget_and_each_wake() {
        let clock = Waking::by_clock(span(1), span(20), span(40));
        let any = Waking {
            wakes: 3,
            ..Waking::at_any_time(span(1), span(20))
        };
        let room = |wakings: &[Waking], periods| Room::new(wakings, span(40), periods);
        let enough = |replenishments| Room {
            replenishments,
            is_enough: true,
        };
        assert_eq!(room(&[clock], None), enough(2 + 2));
        assert_eq!(room(&[clock, any], Some(5)), enough(2 + 2 + 3 * 10));
        let unbounded = Room {
            replenishments: 2 + 2 + 3 * 4,
            is_enough: false,
        };
        assert_eq!(room(&[clock, any], None), unbounded);
        let many = u64::from(MOST_ROOM) / 6 + 1;
        assert!(!room(&[any], Some(many)).is_enough);
        assert!(room(&[any], Some(many - 1)).is_enough);
    }
    /// Found by a search: 6 every 31 in a server of 7 every 16 never asks for more than the budget,
    /// so that it was taken to become active once in 16. But where jobs take longer, its budget
    /// comes back in up to three pieces, beside a wake.
    #[test]
    fn a_server_becomes_active_at_wakes_and_as_often_as_its_list_has_entries() {
        let period = span(16);
        let sporadic = |wakings: &[Waking]| {
            let pieces = || Room::new(wakings, period, Some(1)).replenishments;
            activations(ServerKind::Sporadic, period, wakings, pieces)
        };
        let any = Waking::at_any_time(span(6), span(31));
        assert_eq!(sporadic(&[any]), 1 + 3);
        // 31 is no multiple of 16: instants modulo 16 do not repeat.
        let clock = |every| Waking::by_clock(span(6), span(every), period);
        assert_eq!(sporadic(&[clock(31)]), 1 + 3);
        // At 2 instants modulo 16, and at 1.
        assert_eq!(sporadic(&[clock(24)]), 2);
        assert_eq!(sporadic(&[clock(32)]), 1);
        assert_eq!(sporadic(&[clock(32), clock(24)]), 3);
        // Twice within 16, and four pieces.
        assert_eq!(sporadic(&[clock(32), any]), 2 + 4);
        let often = Waking { wakes: 5, ..any };
        assert_eq!(sporadic(&[often]), 5 + 7);
        // Two of them within 16.
        let late = Waking {
            jitter: span(20),
            ..any
        };
        assert_eq!(sporadic(&[late]), 2 + 4);

        let io = |wakings: &[Waking]| activations(ServerKind::Io, period, wakings, || 1_000);
        assert_eq!(io(&[any]), 1 + 1, "it has one replenishment");
        assert_eq!(io(&[clock(32)]), 1 + 1, "which is not at instants");
    }
}
