//! Bounds on threads from the last instant at which their server had no work.
use super::charge::Charge;
use super::demand::Demand;
use super::level::Level;
use super::search::{Ending, HORIZON, Steps, scale_up, utilization};

/// One thread of a sporadic server.
///
/// Let x be an instant before which the server had no work, r = x + Δ the latest release of a
/// job, f its end, R = f − a the response from its arrival a = r − J. By f the server has done at
/// most n: what arrives of lower precedence in [x, r), own jobs up to and in r, of higher
/// precedence in [x, f), and the kernel's work for others. Then for some x and j
///
/// f − x ≤ jT + V(n − jC), V(w) = w + B + Σ I(V), so R is at most the least solution of
/// R = J + max over Δ ≥ 0 and j of jT + V(n(Δ, R) − jC) − Δ: one R for all Δ together, as x may
/// be another for each instant at which the job is not done.
///
/// *Proof.* Number the units of budget in the order in which they are used. Unit k may be used
/// from β_k on, and β_{k+C} is the latest of β_k + T, β_{k+C−1} + 1, and the last wake of the
/// server (rules 3 and 4). Consider an instant before f at which the job waits, and the last
/// before it from which on the core was with this server or higher priorities: V bounds how long
/// that has been. When it began either the server had just been woken, which is x, with j = 0; or
/// a unit N came back: β_N = β_{N−C} + T, as otherwise N − 1 would have been there just
/// before. Go from N to N − C, from there over the units that follow one another to the first
/// of them, and so on, until one that was woken: that is x. In each T that this goes back, C
/// units were used.
///
/// It is enough to look at Δ < kT + (L − T), where α(kT + L − T) ≤ kC for all of the threads,
/// L ≥ T the time in which the budget is delivered: what comes later repeats what comes
/// before. Where L ≤ T it is enough to look at the greatest j.
///
/// Of lower precedence no more runs before r than Δ, and a section D, which cannot be
/// preempted. Each return of budget costs an activation, of the same budget.
#[derive(Debug)]
pub(super) struct Busy<'a, 'b> {
    demand: &'b Demand<'a>,
    level: &'b mut Level<'a>,
    index: usize,
    /// From a release of the server to the delivery of its budget.
    delivered: u64,
    /// What the activations at returns of budget cost in a period.
    returns: u64,
    /// Whether the longest Δ is that of a pattern.
    is_pattern: bool,
    steps: &'b mut Steps,
}

/// The greatest common divisor of two numbers above zero.
fn common_divisor(one: u64, other: u64) -> u64 {
    let (mut one, mut other) = (one, other);
    while other > 0 {
        (one, other) = (other, one % other);
    }
    one
}

impl<'a, 'b> Busy<'a, 'b> {
    pub(super) fn new(
        demand: &'b Demand<'a>,
        level: &'b mut Level<'a>,
        delivered: u64,
        index: usize,
        steps: &'b mut Steps,
    ) -> Self {
        let activation = level.kernel_work().activation;
        Self {
            demand,
            level,
            index,
            delivered,
            returns: demand.returns().saturating_mul(activation),
            is_pattern: false,
            steps,
        }
    }

    /// The response time from a job's arrival, if it is shorter than what is `known`.
    ///
    /// From the longest Δ down: where n is done by then, so it is at every Δ that is not shorter
    /// than n takes, as n does not grow where Δ shrinks. (So does Zhang and Burns, "Schedulability
    /// analysis for real-time systems with EDF scheduling", 2009, for its own equation.)
    pub(super) fn response(&mut self, known: u64) -> Result<u64, Ending> {
        self.steps.begin();
        let own = self.own();
        let late = own.jitter;
        let longest = self.longest()?;
        let mut response = late;
        loop {
            let before = response;
            let mut delay = longest;
            loop {
                let (work, since) = self.work(delay, response.saturating_sub(late))?;
                let end = self.end_of(work)?.saturating_add(late);
                if end.saturating_sub(since) > response {
                    response = end - since;
                    if response >= known.min(HORIZON) {
                        return Err(Ending::Unbounded);
                    }
                    continue;
                }
                // Every delay from this on is covered.
                match end.saturating_sub(response) {
                    0 => break,
                    next => delay = next - 1,
                }
            }
            if response == before {
                return Ok(response);
            }
        }
    }

    fn own(&self) -> Charge {
        self.demand.of(&self.demand.threads[self.index])
    }

    /// What is left of a budget for work.
    fn capacity(&self) -> Result<u64, Ending> {
        let budget = self.demand.server.budget.as_nanos();
        let left = budget.checked_sub(self.returns).filter(|left| *left > 0);
        left.ok_or(Ending::Unbounded)
    }

    /// The longest Δ that has to be looked at.
    fn longest(&mut self) -> Result<u64, Ending> {
        let period = self.demand.server.period.as_nanos();
        let capacity = self.capacity()?;
        let threads = self.demand.threads;
        let asked = self.demand.share(threads);
        let offered = utilization(capacity, period);
        if asked > offered {
            return Err(Ending::Unbounded);
        }
        if asked.saturating_add(threads.len() as u128) >= offered {
            return self.pattern(capacity);
        }
        let late = self.delivered.saturating_sub(period);
        let periods = self
            .demand
            .periods(self.level, capacity, late, self.steps)?;
        Ok(periods.saturating_mul(period).saturating_add(late) - 1)
    }

    /// The same where the threads ask for all that the server has, or nearly: then it may never
    /// catch up. But in a common multiple H of its period and theirs, the work grows by no more
    /// than the budgets: so at Δ + H nothing is worse than at Δ.
    fn pattern(&mut self, capacity: u64) -> Result<u64, Ending> {
        let period = self.demand.server.period.as_nanos();
        if self.level.kernel_work().activation > 0 || self.delivered > period {
            return Err(Ending::GaveUp);
        }
        let mut pattern = period;
        for thread in self.demand.threads {
            let other = self.demand.of(thread).period;
            let times = other / common_divisor(pattern, other);
            let longer = pattern.checked_mul(times).filter(|it| *it < HORIZON);
            pattern = longer.ok_or(Ending::GaveUp)?;
        }
        let asked = self.demand.threads.iter().fold(0, |sum: u64, thread| {
            let charge = self.demand.of(thread);
            sum.saturating_add((pattern / charge.period).saturating_mul(charge.each))
        });
        if asked > (pattern / period).saturating_mul(capacity) {
            return Err(Ending::Unbounded);
        }
        self.is_pattern = true;
        Ok(pattern - 1)
    }

    /// The same bound with lines in place of steps: V(w) ≤ (B + b + w)/(1 − U), with b + Ut a
    /// line above the interference, so jT + V(n − jC) ≤ v + n·T/C, v = (B + b)/(1 − U); and
    /// ⌈(t + J)/P⌉·e ≤ e(1 + (t + J)/P), so R ≤ J + (v + W·T/C) / (1 − Σ_hp (e/P)·T/C), W the sum
    /// of e(1 + J/P) over all threads, as what Δ adds to n is no more than what it takes away.
    pub(super) fn closed_form(&self) -> Result<u64, Ending> {
        let period = self.demand.server.period.as_nanos();
        let capacity = self.capacity()?;
        let offered = utilization(capacity, period);
        let interrupts = self.level.interrupts();
        let threads = self.demand.threads;
        let all = self.demand.share(threads).saturating_add(interrupts.share);
        if all > offered {
            return Err(Ending::Unbounded);
        }

        let mut work = self.returns.saturating_add(interrupts.burst);
        for (index, thread) in threads.iter().enumerate() {
            let charge = self.demand.of(thread);
            let more = match index == self.index {
                true => self.demand.until_done(thread),
                false => {
                    charge
                        .each
                        .saturating_add(scale_up(charge.jitter, charge.each, charge.period))
                }
            };
            work = work.saturating_add(more);
        }
        let start = self.level.done_by(0).ok_or(Ending::Unbounded)?;

        // In units of 2⁻⁶⁴ of the core: what is offered, less what is taken above.
        let above = self
            .demand
            .share(&threads[..self.index])
            .saturating_add(interrupts.share);
        let above = above + u128::from(interrupts.parts) + self.index as u128;
        let left = offered.checked_sub(above).filter(|left| *left > 0);
        let left = left.ok_or(Ending::Unbounded)?;
        let start = u128::from(start).checked_mul(offered + 1);
        let needed = start.and_then(|start| start.checked_add(u128::from(work) << 64));
        let time = needed.ok_or(Ending::Unbounded)?.div_ceil(left);
        let time = u64::try_from(time).map_err(|_| Ending::Unbounded)?;
        Ok(time.saturating_add(self.own().jitter))
    }

    /// n: what is done by the end of a job that is released `delay` after x at the latest, and
    /// done `response` later; and the shortest delay with the same n.
    fn work(&mut self, delay: u64, response: u64) -> Result<(u64, u64), Ending> {
        let own = self.own();
        let (above, rest) = self.demand.threads.split_at(self.index);
        self.steps.take(self.demand.threads.len())?;
        let jobs = (delay / own.period).saturating_mul(own.each);
        let last = self.demand.until_done(&self.demand.threads[self.index]);
        let mut work = jobs.saturating_add(last).saturating_add(self.returns);
        let mut since = delay - delay % own.period;

        let window = delay.saturating_add(response);
        for thread in above {
            let charge = self.demand.of(thread);
            work = work.saturating_add(charge.within(window));
            since = since.max(charge.since(window).saturating_sub(response));
        }
        let (interrupts, last) = self.level.interrupted(window, self.steps)?;
        work = work.saturating_add(interrupts);
        since = since.max(last.saturating_sub(response));

        let mut lower = 0_u64;
        for thread in &rest[1..] {
            let charge = self.demand.of(thread);
            lower = lower.saturating_add(charge.within(delay));
            since = since.max(charge.since(delay));
        }
        let section = self.level.kernel_work().section;
        if !self.is_pattern {
            // With a shorter delay than this it would not all run.
            since = since.max(lower.saturating_sub(section).min(delay));
            lower = lower.min(delay.saturating_add(section));
        }
        Ok((work.saturating_add(lower), since))
    }

    /// The greatest of jT + V(n − jC).
    fn end_of(&mut self, work: u64) -> Result<u64, Ending> {
        let period = self.demand.server.period.as_nanos();
        let capacity = self.capacity()?;
        let last = work.div_ceil(capacity).saturating_sub(1);
        let first = match self.delivered <= period {
            true => last,
            false => 0,
        };
        let mut longest = 0;
        for budgets in first..=last {
            let left = work - budgets * capacity;
            let end = self.level.end_of(left, self.steps)?;
            longest = longest.max(budgets.saturating_mul(period).saturating_add(end));
        }
        Ok(longest)
    }
}
