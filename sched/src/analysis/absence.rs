//! Bounds on threads by how long their server may be without budget: that of Davis and Burns,
//! and that by the supply.
use super::charge::Charge;
use super::demand::Demand;
use super::level::Level;
use super::search::{Ending, Steps, least_fixed_point, scale_up, utilization};
use super::supply::Supply;
use crate::ServerKind;

/// One thread of a server, and what the server supplies.
///
/// The load L(w) = (q+1)e + Σ_hp ⌈(w + J)/P⌉e takes k + 1 = ⌈L/C_s⌉ budgets of the server. A job
/// may come when one has just been used up, and wait for the next: T_s − C_s.
///
/// *Davis–Burns* (equations 9 to 11 of the paper, for unbound tasks): the last budget begins kT_s
/// after the first, and interference of other servers counts only there:
/// w = kT_s + v, v = (L − kC_s) + B_s + Σ_X I_X(v), R = w + (T_s − C_s) + J − qP, with the J of
/// others increased by T_s − C_s, too. v is the time from which on the server works at what is
/// left for the last budget, searched for on its own and once for each amount. Assumes that the
/// server's budget is delivered within its period.
///
/// *Supply*: the last budget comes at the end of its period: v = (L − kC_s) + (T_s − C_s), and
/// as much later as the server's response is than its period. Assumes only that it is bounded.
///
/// J holds the jitter of the server.
///
/// *Overruns.* A sporadic server may have taken of its next budget when the window begins, or a
/// thread of lower precedence take while it cannot be preempted: one section D, as a debt is
/// paid before the next is made; so L holds D. An I/O server has no debts: D moves its next
/// replenishment by D/U, U = C_s/T_s. So the wait is longer by that; and after u of the load the
/// next budget begins u/U after the first, wherever it was used: u is between kC_s and
/// k(C_s + D), and less than L.
#[derive(Debug)]
pub(super) struct Absence<'a, 'b> {
    demand: &'b Demand<'a>,
    level: &'b mut Level<'a>,
    supply: Supply,
    index: usize,
    /// What may be missing of a sporadic server's budget when the window begins.
    debt: u64,
    /// By how much an I/O server may overrun each budget.
    overrun: u64,
    steps: &'b mut Steps,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    DavisBurns,
    Supply,
}

impl<'a, 'b> Absence<'a, 'b> {
    pub(super) fn new(
        demand: &'b Demand<'a>,
        level: &'b mut Level<'a>,
        supply: Supply,
        index: usize,
        steps: &'b mut Steps,
    ) -> Self {
        let section = level.kernel_work().section;
        let (debt, overrun) = match demand.server.kind {
            ServerKind::Sporadic => (section, 0),
            ServerKind::Io => (0, section),
        };
        Self {
            demand,
            level,
            supply,
            index,
            debt,
            overrun,
            steps,
        }
    }

    pub(super) fn davis_burns(&mut self) -> Result<u64, Ending> {
        self.response(By::DavisBurns)
    }

    pub(super) fn by_supply(&mut self) -> Result<u64, Ending> {
        self.response(By::Supply)
    }

    /// The bound by the supply with lines in place of steps: sbf(t) ≥ (C/T)(t − 2(T − C)), and
    /// ⌈(w + J)/P⌉·e ≤ e(1 + (w + J)/P); so
    /// w ≤ (2(T − C) + (D + e + Σ_hp e(1 + J/P))·T/C) / (1 − Σ_hp (e/P)·T/C).
    pub(super) fn closed_form(&self) -> Result<u64, Ending> {
        let (budget, gap) = self.supply.capacity_and_gap();
        let period = budget.saturating_add(gap);
        let offered = utilization(budget, period);
        if self.asked() > offered {
            return Err(Ending::Unbounded);
        }
        let threads = self.demand.threads;
        let last = self.demand.until_done(&threads[self.index]);
        let mut work = self.debt.saturating_add(last);
        for thread in &threads[..self.index] {
            let charge = self.demand.of(thread);
            let late = scale_up(charge.jitter, charge.each, charge.period);
            work = work.saturating_add(charge.each).saturating_add(late);
        }
        let start = gap.saturating_mul(2).saturating_add(self.supply.delay());

        // Of the share that is offered, in units of 2⁻⁶⁴, those above leave this.
        let above = self.demand.share(&threads[..self.index]) + self.index as u128;
        let left = offered.checked_sub(above).filter(|left| *left > 0);
        let left = left.ok_or(Ending::Unbounded)?;
        let start = u128::from(start).checked_mul(offered + 1);
        let needed = start.and_then(|start| start.checked_add(u128::from(work) << 64));
        let window = needed.ok_or(Ending::Unbounded)?.div_ceil(left);
        let window = u64::try_from(window).map_err(|_| Ending::Unbounded)?;
        let late = self.own().jitter;
        Ok(window.saturating_add(late))
    }

    fn own(&self) -> Charge {
        self.demand.of(&self.demand.threads[self.index])
    }

    /// The share of the core that the thread and those above it ask for.
    fn asked(&self) -> u128 {
        self.demand.share(&self.demand.threads[..=self.index])
    }

    fn response(&mut self, by: By) -> Result<u64, Ending> {
        let own = self.own();
        let (capacity, gap) = self.supply.capacity_and_gap();
        let offered = utilization(capacity, capacity.saturating_add(gap));
        let asked = self.asked();
        if asked > offered {
            return Err(Ending::Unbounded);
        }
        let thread = &self.demand.threads[self.index];
        // Counted from the instant at which the server may be without budget at first.
        let longest = gap.saturating_add(self.demand.server.overrun(self.level.kernel_work()));
        let absence = match by {
            By::DavisBurns => longest,
            By::Supply => 0,
        };
        let late = self.demand.lateness(thread).saturating_add(absence);
        self.steps.begin();
        let mut demand = self.debt.saturating_add(self.demand.until_done(thread));
        let (mut worst, mut arrival, mut end) = (0, 0_u64, demand);
        loop {
            end = self.finish(by, absence, end, demand)?;
            let done = end.saturating_add(late);
            worst = worst.max(done - arrival);
            arrival = arrival.checked_add(own.period).ok_or(Ending::Unbounded)?;
            if done <= arrival {
                return Ok(worst);
            }
            let first = arrival == own.period;
            if first && demand > 0 && !self.window_may_end(by, offered, asked) {
                return Err(Ending::GaveUp);
            }
            demand = demand.saturating_add(own.each);
        }
    }

    /// When this much of the thread's own work is done: the least solution of the
    /// equation for w at or above `start`.
    fn finish(&mut self, by: By, absence: u64, start: u64, demand: u64) -> Result<u64, Ending> {
        let (_, gap) = self.supply.capacity_and_gap();
        let above = &self.demand.threads[..self.index];
        least_fixed_point(start, |window| {
            self.steps.take(1)?;
            let window = window.saturating_add(absence);
            let load = self.demand.within(above, window, self.steps)?;
            let load = demand.saturating_add(load);
            let mut end = 0;
            for (start, left) in self.last_budgets(load) {
                let last = match by {
                    By::Supply if left == 0 => 0,
                    By::Supply => left
                        .saturating_add(gap.saturating_mul(2))
                        .saturating_add(self.supply.delay()),
                    By::DavisBurns => self.level.end_of(left, self.steps)?,
                };
                end = end.max(start.saturating_add(last));
            }
            Ok(end)
        })
    }

    /// When the last of the budgets begins that a load takes, from when the first does, and what
    /// is left for it; and the same of the most load that takes one less, which is not done
    /// later, but may be by these numbers.
    fn last_budgets(&self, load: u64) -> [(u64, u64); 2] {
        let (capacity, _) = self.supply.capacity_and_gap();
        let whole = load.div_ceil(capacity).saturating_sub(1);
        let last = (self.begins(whole, load), load - whole * capacity);
        if whole == 0 || self.overrun == 0 {
            return [last; 2];
        }
        let before = (self.begins(whole - 1, whole * capacity), capacity);
        [last, before]
    }

    /// When the budget begins that serves the rest of a load after so many whole ones.
    fn begins(&self, whole: u64, load: u64) -> u64 {
        let (capacity, gap) = self.supply.capacity_and_gap();
        let period = capacity.saturating_add(gap);
        if self.overrun == 0 {
            return whole.saturating_mul(period);
        }
        let used = whole.saturating_mul(capacity.saturating_add(self.overrun));
        let used = used.min(load.saturating_sub(1));
        // Each replenishment is rounded up.
        scale_up(used, period, capacity).saturating_add(whole)
    }

    /// Whether the window may be over in the steps that are left, of which each job takes one
    /// at least: a necessary test, so that those that are not need no search.
    ///
    /// With U = C_s/T_s offered and u of it asked, both bounds give L/U + x at least, absence
    /// included: x is the gap for the supply bound, and B + Σ I(1) for that of Davis and
    /// Burns. L has n jobs of its own and at least the share of those above of that time. So
    /// n jobs are done within nP only if nP(U − u) ≥ xU.
    fn window_may_end(&self, by: By, offered: u128, asked: u128) -> bool {
        let Some(spare) = offered.checked_sub(asked) else {
            return false;
        };
        let behind = match by {
            By::DavisBurns => self.level.held_up(1),
            By::Supply => self.supply.capacity_and_gap().1,
        };
        // The shares are rounded down: what is spare may be one unit more.
        let gained = (spare + 1)
            .saturating_mul(u128::from(self.own().period))
            .saturating_mul(u128::from(self.steps.left()));
        u128::from(behind).saturating_mul(offered) <= gained
    }
}
