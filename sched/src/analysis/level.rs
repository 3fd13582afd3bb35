//! A place in a core's order of priority: what holds up work there, and until when.
use super::charge::Charge;
use super::cost::{CostTable, KernelWork};
use super::model::ServerModel;
use super::search::{Ending, HORIZON, Steps, least_fixed_point, scale_up, utilization};
use crate::ServerKind;
use core::cell::Cell;

/// A place in the order of priority, with what searches have found out about it.
#[derive(Clone, Debug)]
pub(super) struct Level<'a> {
    servers: &'a [ServerModel],
    work: KernelWork,
    index: usize,
    /// The longest time that lower priorities hold it up.
    blocking: u64,
    /// A line above what the servers above run, once it was asked for.
    above: Cell<Option<Line>>,
    /// Whether some server interferes above its own place.
    any_raised: bool,
    /// End of a busy window of this place, where one was found.
    window: Option<u64>,
    /// End of a busy window of the place above, and the blocking that is in it.
    window_above: Option<(u64, u64)>,
    /// The least and the most work looked for, each with what has the same delay.
    known: Option<(Stretch, Stretch)>,
}

/// Amounts of work, all of which take the same time longer than they are.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    least: u64,
    most: u64,
    delay: u64,
}

impl Stretch {
    fn include(&mut self, work: u64) {
        self.least = self.least.min(work);
        self.most = self.most.max(work);
    }

    fn holds(&self, work: u64) -> bool {
        (self.least..=self.most).contains(&work)
    }
}

/// Bounds on work in a window of any length t: `burst` + U·t at most, and `least` + U·t at least
/// where t is no shorter than what comes at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    /// What comes at once.
    pub(super) burst: u64,
    /// What there always is more than in proportion to time.
    pub(super) least: u64,
    /// U in units of 2⁻⁶⁴, each part of it rounded down.
    pub(super) share: u128,
    /// Of how many parts: it is less than so many units too small.
    pub(super) parts: u64,
}

impl Line {
    /// Above ⌈(t + J)/T⌉·C as far as work is held up by it: C(1 − U) + U·J + U·t, since of the
    /// last C only what has run by then holds anything up (Davis and Burns 2008; Bini et al.,
    /// "A response-time bound in fixed-priority scheduling with arbitrary deadlines", 2009).
    pub(super) fn of_jobs(each: u64, period: u64, jitter: u64) -> Self {
        Self {
            burst: scale_up(period.saturating_sub(each), each, period)
                .saturating_add(scale_up(jitter, each, period)),
            least: scale_up(jitter, each, period).saturating_sub(1),
            share: utilization(each, period),
            parts: 1,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.burst = self.burst.saturating_add(other.burst);
        self.least = self.least.saturating_add(other.least);
        self.share = self.share.saturating_add(other.share);
        self.parts += other.parts;
    }

    /// The least t at which the line is no higher than t; `None` if it never is, or not below
    /// the horizon.
    pub(super) fn meets_time(&self) -> Option<u64> {
        let taken = self.share.saturating_add(u128::from(self.parts));
        let left = (1_u128 << 64).checked_sub(taken).filter(|left| *left > 0)?;
        let time = (u128::from(self.burst) << 64).div_ceil(left);
        u64::try_from(time).ok().filter(|time| *time < HORIZON)
    }
}

impl<'a> Level<'a> {
    /// The highest place.
    pub(super) fn top(servers: &'a [ServerModel], costs: &CostTable) -> Self {
        let mut level = Self {
            servers,
            work: costs.into(),
            index: 0,
            blocking: 0,
            above: Cell::new(Some(Line::default())),
            any_raised: servers.iter().any(|server| server.raised.is_some()),
            window: None,
            window_above: None,
            known: None,
        };
        level.blocking = level.blocking_of(level.own());
        level
    }

    /// The place of the server at `index`, for one that is `own` there.
    pub(super) fn of(
        servers: &'a [ServerModel],
        index: usize,
        own: &ServerModel,
        costs: &CostTable,
    ) -> Self {
        let mut level = Self {
            index: index.min(servers.len()),
            above: Cell::new(None),
            ..Self::top(servers, costs)
        };
        level.blocking = level.blocking_of(Some(own));
        level
    }

    /// Goes on to the next place below.
    pub(super) fn descend(&mut self) {
        let mut above = self.line_above();
        if let Some(left) = self.own() {
            above.add(self.line_of(left, false));
        }
        self.above.set(Some(above));
        let window = self.window.take().filter(|_| !self.any_raised);
        self.window_above = window.map(|end| (end, self.blocking));
        self.known = None;
        self.index += 1;
        self.blocking = self.blocking_of(self.own());
    }

    /// The server at this place.
    pub(super) fn own(&self) -> Option<&'a ServerModel> {
        self.servers.get(self.index)
    }

    /// The servers that interfere here, each with whether it is raised to do so.
    pub(super) fn interferers(&self) -> impl Iterator<Item = (&'a ServerModel, bool)> {
        let raised = match self.any_raised {
            true => self.servers.get(self.index + 1..).unwrap_or_default(),
            false => &[],
        };
        interfering(self.servers, self.index, raised)
    }

    pub(super) const fn kernel_work(&self) -> &KernelWork {
        &self.work
    }

    /// How many terms a sum over the servers that interfere has.
    pub(super) fn terms(&self) -> usize {
        match self.any_raised {
            true => self.servers.len(),
            false => self.index,
        }
    }

    /// The number of servers from this place on.
    pub(super) fn left(&self) -> usize {
        self.servers.len().saturating_sub(self.index)
    }

    /// Whether no server is of lower priority.
    pub(super) const fn is_lowest(&self) -> bool {
        self.servers.len() <= self.index + 1
    }

    /// C′ of a server.
    pub(super) fn cost(&self, server: &ServerModel) -> u64 {
        server.cost(self.work.activation)
    }

    /// Whether the servers that interfere and this one ask for more than the core has.
    pub(super) fn is_overloaded(&self, own: &ServerModel) -> bool {
        self.line().share.saturating_add(self.share(own)) > 1 << 64
    }

    /// Whether they and work of this amount in every period do.
    pub(super) fn is_overloaded_by(&self, work: u64, period: u64) -> bool {
        let share = utilization(work, period);
        self.line().share.saturating_add(share) > 1 << 64
    }

    /// What a server takes of the core; no number is enough for one that makes no sense.
    fn share(&self, server: &ServerModel) -> u128 {
        match server.is_valid() {
            true => utilization(self.cost(server), server.period.as_nanos()),
            false => u128::MAX,
        }
    }

    fn blocking_of(&self, own: Option<&ServerModel>) -> u64 {
        let own = own.map_or(0, |server| server.blocking.as_nanos());
        match self.is_lowest() {
            true => own,
            false => own.saturating_add(self.work.section),
        }
    }

    /// A line above what a server runs here.
    fn line_of(&self, server: &ServerModel, is_raised: bool) -> Line {
        let (true, Some(behind)) = (server.is_valid(), server.behind(is_raised)) else {
            return Line {
                burst: u64::MAX,
                least: u64::MAX,
                share: u128::MAX / 2,
                parts: 1,
            };
        };
        let (period, jitter) = (server.period.as_nanos(), server.jitter.as_nanos());
        let mut line = match server.kind {
            ServerKind::Sporadic => {
                let mut line = Line::of_jobs(server.budget.as_nanos(), period, jitter);
                let overhead = server.overhead(self.work.activation);
                if overhead > 0 {
                    let late = server.activation_jitter(&self.work);
                    line.add(Line::of_jobs(overhead, period, late));
                }
                line
            }
            ServerKind::Io => {
                let late = jitter.saturating_add(behind);
                let mut line = Line::of_jobs(self.cost(server), period, late);
                // What it runs beside is rounded up. And there is all of its burst.
                line.least = line.burst.saturating_sub(2);
                line.burst = line.burst.saturating_add(1);
                line
            }
        };
        let overrun = self.work.section;
        line.burst = line.burst.saturating_add(overrun);
        line.least = line.least.saturating_add(overrun);
        line
    }

    /// A line above what the servers above run.
    fn line_above(&self) -> Line {
        if let Some(known) = self.above.get() {
            return known;
        }
        let above = self.servers[..self.index].iter();
        let line = above.fold(Line::default(), |mut line, server| {
            line.add(self.line_of(server, false));
            line
        });
        self.above.set(Some(line));
        line
    }

    /// A line above all that interferes here.
    pub(super) fn line(&self) -> Line {
        let mut line = self.line_above();
        if self.any_raised {
            for (server, _) in self.interferers().filter(|(_, is_raised)| *is_raised) {
                line.add(self.line_of(server, true));
            }
        }
        line
    }

    /// Whether a busy window of jobs that ask for this share of the core, one a period, the first
    /// of which is `late`, may be over in so many steps, of which each job takes one at least: a
    /// necessary test, so that those that are not need no search.
    ///
    /// Of n jobs the last is done after w ≥ B + nC + b + Uw, with b + Uw what is taken above at
    /// least, and the window is over only if w + J ≤ nT: so if n(T(1 − U) − C) ≥ B + b + J(1 − U).
    pub(super) fn window_may_end(&self, asked: u128, period: u64, late: u64, steps: u64) -> bool {
        let line = self.line();
        let left = (1_u128 << 64).saturating_sub(line.share);
        let Some(spare) = left.checked_sub(asked) else {
            return false;
        };
        // The shares are rounded down: what is spare may be less.
        let gained = u128::from(period).saturating_mul(u128::from(steps));
        let gained = gained.saturating_mul(spare);
        let behind = self.blocking.saturating_add(line.least);
        let behind =
            (u128::from(behind) << 64).saturating_add(u128::from(late).saturating_mul(left));
        behind <= gained
    }

    /// When work is done at the latest, by a closed form: no sooner than [`Level::end_of`].
    pub(super) fn done_by(&self, work: u64) -> Option<u64> {
        let mut line = self.line();
        line.burst = line
            .burst
            .saturating_add(self.blocking)
            .saturating_add(work);
        line.meets_time()
    }

    /// The longest time that lower priorities hold it up.
    pub(super) const fn blocking(&self) -> u64 {
        self.blocking
    }

    /// Blocking, and what others run at most in a window of this length: B + Σ I(w).
    pub(super) fn held_up(&self, window: u64) -> u64 {
        self.interferers()
            .fold(self.blocking, |sum, (server, is_raised)| {
                sum.saturating_add(server.interference(window, is_raised, &self.work))
            })
    }

    /// A line above what the activations of others cost, ⌈(t + J)/T⌉·a ≤ a(1 + (t + J)/T).
    pub(super) fn interrupts(&self) -> Line {
        let mut line = Line::default();
        if self.work.activation == 0 {
            return line;
        }
        for (server, _) in self.interferers() {
            let each = server.overhead(self.work.activation);
            let (period, late) = (
                server.period.as_nanos().max(1),
                server.activation_jitter(&self.work),
            );
            let burst = each.saturating_add(scale_up(late, each, period));
            line.add(Line {
                burst,
                least: 0,
                share: utilization(each, period),
                parts: 1,
            });
        }
        line
    }

    /// What the activations of others cost in a window of this length, all of which may find
    /// the server at this place running; and the shortest window with the same cost.
    pub(super) fn interrupted(&self, window: u64, steps: &mut Steps) -> Result<(u64, u64), Ending> {
        if self.work.activation == 0 {
            return Ok((0, 0));
        }
        steps.take(self.terms())?;
        let (mut cost, mut since) = (0_u64, 0);
        for (server, _) in self.interferers() {
            let charge = Charge {
                each: server.overhead(self.work.activation),
                period: server.period.as_nanos().max(1),
                jitter: server.activation_jitter(&self.work),
            };
            cost = cost.saturating_add(charge.within(window));
            since = since.max(charge.since(window));
        }
        Ok((cost, since))
    }

    /// When work is done that comes at once with all that may hold it up: the least
    /// solution V of V = work + B + Σ I(V).
    ///
    /// The delay V − work never shrinks as the work grows. So what is between two amounts
    /// with the same delay has that delay.
    pub(super) fn end_of(&mut self, work: u64, steps: &mut Steps) -> Result<u64, Ending> {
        steps.take(1)?;
        if let Some((low, high)) = self.known {
            if let Some(known) = [low, high].iter().find(|known| known.holds(work)) {
                return Ok(work.saturating_add(known.delay));
            }
            if work < low.least && work > 1 {
                self.end_of(1, steps)?;
                return self.end_of(work, steps);
            }
        }
        let terms = self.terms();
        steps.take(terms)?;
        let start = self.not_before(work);
        if start >= HORIZON {
            return Err(Ending::Unbounded);
        }
        let end = least_fixed_point(start, |window| {
            steps.take(terms)?;
            Ok(work.saturating_add(self.held_up(window)))
        })?;
        self.learn(work, end - work);
        Ok(end)
    }

    /// Notes that a busy window of the server here ends at `end`.
    pub(super) fn window_ends(&mut self, end: u64) {
        self.window = Some(end);
    }

    /// A time before which the work is not done, to start its search from (Sjödin and
    /// Hansson, "Improved response-time analysis calculations", RTSS 1998).
    fn not_before(&self, work: u64) -> u64 {
        let mut known = self.known.iter().flat_map(|(low, high)| [high, low]);
        if let Some(less) = known.find(|known| known.least <= work) {
            return work.saturating_add(less.delay);
        }
        match self.window_above {
            // Nothing runs here before the window above is over.
            Some((end, at_least)) if self.blocking >= at_least => end.saturating_add(work),
            // The interference is at least linear, and each server's whole capacity: an I/O
            // server of which something is left by then has left nothing for the work.
            _ => {
                let alone = self.blocking.saturating_add(work);
                let left = (1_u128 << 64)
                    .saturating_sub(self.line_above().share)
                    .max(1);
                let linear = (u128::from(alone) << 64) / left;
                let once = match work {
                    0 => 0,
                    _ => self.interferers().fold(alone, |sum, (server, _)| {
                        sum.saturating_add(self.cost(server))
                    }),
                };
                u64::try_from(linear).unwrap_or(u64::MAX).max(once)
            }
        }
    }

    fn learn(&mut self, work: u64, delay: u64) {
        let new = Stretch {
            least: work,
            most: work,
            delay,
        };
        let (low, high) = self.known.get_or_insert((new, new));
        if delay == low.delay {
            low.include(work);
        } else if work < low.least {
            *low = new;
        }
        if delay == high.delay {
            high.include(work);
        } else if work > high.most {
            *high = new;
        }
    }
}

/// The servers that interfere at a place: those above, and those below that may be raised to
/// it; each with whether it is raised to do so.
pub(super) fn interferers(
    servers: &[ServerModel],
    index: usize,
) -> impl Iterator<Item = (&ServerModel, bool)> {
    let below = servers.get(index + 1..).unwrap_or_default();
    interfering(servers, index, below)
}

fn interfering<'a>(
    servers: &'a [ServerModel],
    index: usize,
    below: &'a [ServerModel],
) -> impl Iterator<Item = (&'a ServerModel, bool)> {
    let above = &servers[..index.min(servers.len())];
    let is_raised = move |server: &&ServerModel| server.raised.is_some_and(|it| it.to <= index);
    let raised = below.iter().filter(is_raised);
    let above = above.iter().map(|server| (server, false));
    above.chain(raised.map(|server| (server, true)))
}
