//! A place in a core's order of priority: what holds up work there, and until when.
use super::{CostTable, HORIZON, ServerModel, Steps, least_fixed_point, utilization};

/// A place in the order of priority, with what searches have found out about it.
#[derive(Clone, Debug)]
pub(super) struct Level<'a> {
    servers: &'a [ServerModel],
    costs: &'a CostTable,
    index: usize,
    /// What an activation costs.
    activation: u64,
    /// The longest time that lower priorities hold it up.
    blocking: u64,
    /// What the servers above take of the core, in units of 2⁻⁶⁴.
    above: u128,
    /// Whether some server interferes above its own place.
    any_raised: bool,
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

impl<'a> Level<'a> {
    /// The highest place.
    pub(super) fn top(servers: &'a [ServerModel], costs: &'a CostTable) -> Self {
        let mut level = Self {
            servers,
            costs,
            index: 0,
            activation: costs.activation().as_nanos(),
            blocking: 0,
            above: 0,
            any_raised: servers.iter().any(|server| server.raised_to.is_some()),
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
        costs: &'a CostTable,
    ) -> Self {
        let mut level = Self::top(servers, costs);
        while level.index < index.min(servers.len()) {
            level.descend();
        }
        level.blocking = level.blocking_of(Some(own));
        level
    }

    /// Goes on to the next place below.
    pub(super) fn descend(&mut self) {
        let left = self.own().map_or(0, |server| self.share(server));
        self.above = self.above.saturating_add(left);
        self.window_above = match self.known.take() {
            Some((_, most)) if !self.any_raised => {
                Some((most.most.saturating_add(most.delay), self.blocking))
            }
            _ => None,
        };
        self.index += 1;
        self.blocking = self.blocking_of(self.own());
    }

    /// The server at this place.
    pub(super) fn own(&self) -> Option<&'a ServerModel> {
        self.servers.get(self.index)
    }

    /// The number of servers from this place on.
    pub(super) fn left(&self) -> usize {
        self.servers.len().saturating_sub(self.index)
    }

    /// C′ of a server.
    pub(super) fn cost(&self, server: &ServerModel) -> u64 {
        server.cost(self.activation)
    }

    /// Whether the servers above and this one ask for more than the core has.
    pub(super) fn is_overloaded(&self, own: &ServerModel) -> bool {
        self.above.saturating_add(self.share(own)) > 1 << 64
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
        match self.servers.len() > self.index + 1 {
            true => own.saturating_add(self.costs.longest_non_preemptible.as_nanos()),
            false => own,
        }
    }

    /// Blocking, and what others run at most in a window of this length: B + Σ I(w).
    pub(super) fn held_up(&self, window: u64) -> u64 {
        interferers(self.servers, self.index).fold(self.blocking, |sum, server| {
            sum.saturating_add(server.interference(window, self.costs))
        })
    }

    /// When work is done that comes at once with all that may hold it up: the least
    /// solution V of V = work + B + Σ I(V); `None` if there is none.
    ///
    /// The delay V − work never shrinks as the work grows. So what is between two amounts
    /// with the same delay has that delay.
    pub(super) fn end_of(&mut self, work: u64, steps: &mut Steps) -> Option<u64> {
        if let Some((low, high)) = self.known {
            if let Some(known) = [low, high].iter().find(|known| known.holds(work)) {
                return Some(work.saturating_add(known.delay));
            }
            if work < low.least && work > 1 {
                self.end_of(1, steps)?;
                return self.end_of(work, steps);
            }
        }
        let start = self.not_before(work);
        if start >= HORIZON {
            return None;
        }
        let end = least_fixed_point(start, steps, |window, _| {
            Some(work.saturating_add(self.held_up(window)))
        })?;
        self.learn(work, end - work);
        Some(end)
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
                let linear =
                    (u128::from(alone) << 64) / (1_u128 << 64).saturating_sub(self.above).max(1);
                let once = match work {
                    0 => 0,
                    _ => interferers(self.servers, self.index)
                        .fold(alone, |sum, server| sum.saturating_add(self.cost(server))),
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

/// Those above, and those below that may be raised to where they interfere.
pub(super) fn interferers(
    servers: &[ServerModel],
    index: usize,
) -> impl Iterator<Item = &ServerModel> {
    let (above, rest) = servers.split_at(index.min(servers.len()));
    let raised = move |server: &&ServerModel| server.raised_to.is_some_and(|to| to <= index);
    above.iter().chain(rest.iter().skip(1).filter(raised))
}
